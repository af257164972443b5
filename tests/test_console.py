"""What a person reads on a screen: lines end between words, and what is copied from them stays whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from rich.cells import cell_len

from matlens.cli.data.audit import _example
from matlens.system.console import Reporter, command, complain, wrapped
from matlens.system.figures import new_figure, save_figure

COMMAND = "matlens data audit '/home/me/my photos' --kind exact_duplicate --kind near_duplicate --quarantine out"


@pytest.mark.parametrize("words", [
    ("evaluate", "photos", "--choose-on", "val"), ("predict", "run", "a b.jpg", "--json"),
    ("data", "store", "--cache-dir", Path("-x"), "--prune"), ("run", "--data", "\udcff", "--groups", r"(scene\d+)_"),
    ("labels", "a" * 70, "--models", "tiny"), ("compare", "it's", "the \"second\" one", "--margin", "2")])
@pytest.mark.parametrize("after", ["", ". It trains again.", ", or name another one", ") and more words follow"])
def test_a_command_stays_one_command_whatever_its_arguments_are_called(words, after):
    """A folder may be called as a word of a sentence is: photos, run."""
    written = command(*words)
    for before in range(14):
        lines = wrapped(f"error: {'word ' * before}with: {written}{after}", 80)
        assert written in (lines if len(written) <= 80 else as_a_shell_reads(lines))


def as_a_shell_reads(lines):
    """Join lines that end in a backslash with the next one."""
    return re.sub(r" \\\n +", " ", lines)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_lines_end_between_words_and_no_word_is_lost(columns):
    text = ("1 of 431 test photos is also in the training or validation set (identical file); the results are "
            "too good for photos of other objects, by as much as nobody knows")
    lines = wrapped(text, columns).split("\n")
    assert " ".join(lines) == text
    assert all(len(line) <= columns for line in lines)
    assert len(lines) > 1


@pytest.mark.parametrize("pasted", [
    COMMAND, "matlens evaluate runs/a-long-name/of-a-run --robustness", "--groups '(scene\\d+)_ (.*) x'",
    "matlens run --out 'it'\"'\"'s mine' --data /photos", "pip install 'matlens[keras]'"])
@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100])
def test_a_command_is_divided_only_behind_a_backslash_and_only_where_it_is_too_long(pasted, columns):
    """A shell would run its first half."""
    text = f"7 of 431 test photos look the same as photos of train; keep them together with: {pasted} and so on"
    lines = wrapped(text, columns)
    assert " ".join(as_a_shell_reads(lines).split("\n")) == text
    if len(pasted) <= columns:
        assert pasted in lines
    if not pasted.startswith("-"):
        longest = max(len(shlex.quote(word)) for word in shlex.split(pasted))
        assert all(len(line) <= max(columns, longest + len("     \\ ")) for line in lines.split("\n"))


def test_tables_lines_that_fit_and_pipes_stay_as_they_are():
    table = "| model | accuracy |\n| " + "x" * 90 + " | y |"
    assert wrapped(table, 80) == table
    assert wrapped("short", 80) == "short"
    assert wrapped("a long line " * 20, None) == "a long line " * 20


def test_lines_of_a_list_keep_their_indent():
    assert wrapped("  " + "word " * 10, 20).split("\n") == ["  word word word", *["  word word word"] * 2, "  word"]


def test_letters_that_take_two_columns_are_counted_as_two():
    """Names of classes may be Chinese: 42 letters take 84 columns."""
    line = " ".join(["\u6728\u6750\u77f3"] * 14)
    lines = wrapped(line, 80).split("\n")
    assert len(lines) == 2
    assert " ".join(lines) == line
    assert all(cell_len(part) <= 80 for part in lines)


def test_warnings_and_lines_are_wrapped_where_a_screen_is_and_whole_in_a_pipe(monkeypatch, capsys):
    text = "photos are left out, " * 10 + "as follows"
    for columns in ("60", None):
        monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS", raising=False)
        Reporter().say(text)
        complain(text, "yellow", "warning")
        out, err = capsys.readouterr()
        for printed, whole in ((out, text), (err, f"warning: {text}")):
            assert " ".join(printed.split()) == " ".join(whole.split())
            assert max(map(len, printed.splitlines())) <= (60 if columns else len(whole))
            assert (len(printed.splitlines()) == 1) == (columns is None)


def test_photos_of_a_finding_are_cut_in_front_on_a_narrow_screen():
    """The name of the photo tells more than the folder, which all have in common."""
    paths = ["images/cardboard/cardboard_000015.jpg", "b/x.jpg"]
    assert _example(paths, None) == _example(paths, 200) == " = ".join(paths)
    assert _example(paths, 80) == ".../cardboard_000015.jpg\n= b/x.jpg"
    assert _example(["a/" + "x" * 40 + ".jpg"], 80) == "..." + "x" * 21 + ".jpg"


def test_letters_that_no_font_has_are_told_once_and_in_a_sentence(tmp_path, capsys, recwarn):
    """Other warnings are passed on."""
    for number in range(2):
        figure = new_figure(4, 3, "Title \U0001d8a4 \u0c85", "")
        save_figure(figure, tmp_path / f"{number}.png")
    assert capsys.readouterr().err.count("\U0001d8a4") == 1
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_the_time_that_starting_takes_is_not_taken_for_that_of_a_step(capsys, monkeypatch):
    """A first step with 12 s of imports promised 1,472 s for a training of 45."""
    now = iter([0, 12, 23, 34])
    monkeypatch.setattr("matlens.system.console.time.monotonic", lambda: next(now))
    with Reporter().progress("training", 126) as advance:
        for done in (1, 12, 23):
            advance(done, "epoch 1")
    told = capsys.readouterr()
    assert (told.out + told.err).splitlines() == [
        "training: 1/126 epoch 1", "training: 12/126 epoch 1 (114 s left)", "training: 23/126 epoch 1 (103 s left)"]
