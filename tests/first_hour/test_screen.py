"""What a terminal of 80 columns shows: under a pseudo-terminal, no line is longer, and nothing is cut off."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from rich.console import Console

from matlens.system.console import Reporter
from matlens.training.history import Epoch
from matlens.types import Scores

COLUMNS = 80
WHOLE = re.compile(r"\s*\S+( \\)?")
"""A line that is a single word: an address, or an argument that is longer than the screen by itself."""


def on_terminal(*arguments: str) -> list[str]:
    """Run matlens under a pseudo-terminal. Returns the lines as they are on the screen, also those replaced later."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen([sys.executable, "-m", "matlens", *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                          env={**environment, "TERM": "xterm"}):
        os.close(theirs)
        content = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the process has ended: there is no other side
                break
            if not piece:
                break
            content += piece
    os.close(ours)
    return states(content.decode())


def states(text: str) -> list[str]:
    """Return every state of every line without the codes of colours and the cursor."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text))


@pytest.mark.parametrize("arguments", [
    ("run", "--help"), ("run", "--help-all"), ("data", "--help"), ("run", "my photo"), ("predict", "last", "none.jpg"),
    ("predict", "runs/first run", "my photos/sky/sky_000001.jpg"), ("predict", "runs/first run", "n" * 30 + ".jpg"),
    ("map", "runs/first run", "my photos/sky/sky_000001.jpg", "--out", "maps"),
    ("compare", "runs/first run"), ("data", "split", "my photos", "--out", "divided photos", "--force")], ids=" ".join)
def test_no_line_is_longer_than_the_screen(desk, arguments):
    lines = on_terminal(*arguments)
    assert any(line.strip() for line in lines)
    assert [line for line in lines if len(line.rstrip()) > COLUMNS and not WHOLE.fullmatch(line)] == []
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize("command", ["run", "train", "evaluate", "explain", "predict", "compare", "labels", "rerun",
                                     "export", "models", "demo"])
def test_help_has_words_for_values_and_none_for_switches(matlens, monkeypatch, command):
    """N, PATH and NAME; never the types of a programming language."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    for asked in ("--help", *(["--help-all"] if command in ("run", "train", "demo") else [])):
        code, out, _ = matlens(command, asked)
        assert code == 0
        assert not re.search(r"<(bool|int|str|Path|float|list|int range)", out), out
        assert max(map(len, out.splitlines())) <= COLUMNS
        if command == "explain":
            assert "--images PATH" in out


def test_main_options_come_first_and_the_others_on_request(matlens, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    short, whole = matlens("run", "--help")[1], matlens("run", "--help-all")[1]
    for option in ("--data", "--models", "--epochs", "--weights", "--out", "--help-all"):
        assert option in short
        assert option in whole
    for option in ("--logit-adjustment", "--cache-limit", "--cut"):
        assert option not in short
        assert option in whole
    assert len(short.splitlines()) < len(whole.splitlines()) / 2


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("title", ["VGG19 from scratch", "GoogLeNet (Inception V1): faithfulness of heat maps",
                                   "timm/vit_small_patch14_dinov2.lvd142m with a very long name indeed: predicting"])
def test_a_bar_fits_on_one_line_whatever_it_says(title, columns):
    """Numbers are never cut; of the words those at the end are left out."""
    screen, reporter = io.StringIO(), Reporter()
    reporter._console = Console(file=screen, force_terminal=True, width=columns, legacy_windows=False)
    with reporter.progress(title, 57_500) as advance:
        for done in (1, 30_000, 57_500):
            advance(done, "epoch 12, loss 14.055, accuracy 66.2 %, 1234 photos/s")
    lines = states(screen.getvalue())
    assert all(len(line.rstrip()) <= columns for line in lines), lines
    assert any("57500/57500" in line.replace(" ", "") for line in lines)
    assert all("…" not in line for line in lines)


def test_the_line_of_an_epoch_fits():
    scores = Scores(9.876, 0.9876)
    assert len(Epoch(99, scores, scores, 1e-3, 99.0, 999).line(improved=True)) <= COLUMNS


def test_progress_in_a_notebook_is_written_in_place(monkeypatch):
    """One output, which is updated: a cell with a line every ten seconds is unreadable."""
    shown, updates = [], []

    class Handle:
        def update(self, content, raw):
            updates.append(content["text/plain"])

    display = pytest.importorskip("IPython.display")
    monkeypatch.setattr(display, "display", lambda content, **options: shown.append(content["text/plain"]) or Handle())
    reporter = Reporter()
    reporter._console = Console(file=io.StringIO(), force_jupyter=True)
    with reporter.progress("reading photos", 8) as advance:
        advance(8, "")
    assert len(shown) == 1
    assert "8/8" in updates[-1]


def test_a_backend_of_a_notebook_that_is_not_installed_here_stops_no_picture(desk, tmp_path):
    """Notebooks hand their MPLBACKEND on to what `!` begins; a run would fail after its training."""
    done = subprocess.run([sys.executable, "-m", "matlens", "data", "counts", "my photos", "--png", tmp_path / "n.png"],
                          cwd=desk, env={**os.environ, "MPLBACKEND": "of_no_package"}, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "n.png").read_bytes().startswith(b"\x89PNG")
