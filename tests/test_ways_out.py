"""Commands that messages give work when they are pasted, whatever the user's folders are called."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import matlens
from matlens.cli import main as command_line
from matlens.evaluation.label_quality import LabelIssues
from matlens.evaluation.results import Results
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.galleries import Gallery
from matlens.jobs.predict import predicting_artifact
from matlens.robustness.curves import Robustness
from matlens.runs.record import RunRecord
from matlens.system.console import command, shell_word

PACKAGE = Path(matlens.__file__).parent
COMMANDS = "|".join(command_line.app.info.cls.names)
COMMAND = re.compile(rf"matlens (?:{COMMANDS})\b[^.,:;!]*$")
"""The words of a command before a value that is put into a text."""

QUOTED = ("command(", "shell_word(")

NAMES = ["plain", "my run", "it's \"mine\"", "$HOME `id` & co", "-x", "a;b\\c*", "line\nbreak", "esc\x1b[31m", "Holz ä"]


def values_after_words(pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield each value of an f-string that follows such words, and is not written for a shell."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            before = ""
            for part in node.values if isinstance(node, ast.JoinedStr) else ():
                if isinstance(part, ast.Constant):
                    before += part.value
                elif isinstance(part, ast.FormattedValue):
                    said = ast.unparse(part.value)
                    if pattern.search(before) and not said.startswith(QUOTED):
                        yield f"{file.relative_to(PACKAGE)}:{part.lineno}: {before[-40:]}{{{said}}}"
                    before += "X"


def test_no_value_is_put_into_a_command_as_it_is():
    allowed = ("{model}", "{name}")  # names of models, which hold no letters of a shell
    assert [place for place in values_after_words(COMMAND) if not place.endswith(allowed)] == []


def test_a_text_that_is_put_into_a_command_as_it_is_would_be_seen(tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text('x = f"{a} is damaged. Make it again with: " f"matlens evaluate {path} --svg"\n'
                                     'y = f"matlens evaluate {command(path)}"\nz = f"matlens reads {path}"\n')
    monkeypatch.setattr("test_ways_out.PACKAGE", tmp_path)
    assert [place.split(": ", 1)[0] for place in values_after_words(COMMAND)] == ["bad.py:1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_what_was_written(name, tmp_path):
    """bash itself says what it reads: each word, ended by a zero byte."""
    path = Path(name)
    line = command("evaluate", path, "--note", name)
    said = subprocess.run(["bash", "-c", f"matlens() {{ printf '%s\\0' \"$@\"; }}; {line}"], capture_output=True,
                          check=True, text=True, cwd=tmp_path).stdout.split("\0")
    assert said == ["evaluate", f"./{name}" if name.startswith("-") else name, "--note", name, ""]
    assert line.isprintable()


def test_bytes_that_are_no_utf_8_are_written_too():
    said = subprocess.run(["bash", "-c", f"printf %s {shell_word(Path('caf' + chr(0xdce9)))}"], capture_output=True,
                          check=True).stdout
    assert said == b"caf\xe9"


READERS = {
    "results": lambda run: Results.read(run / "reports" / "m_results.json"),
    "label issues": lambda run: LabelIssues.read(run / "reports" / "label_issues.json"),
    "robustness": lambda run: Robustness.read(run / "reports" / "m_robustness.json"),
    "faithfulness": lambda run: Faithfulness.read(run / "reports" / "m_faithfulness.json"),
    "gallery": lambda run: Gallery.read(run / "reports" / "m_gallery.json"),
    "damaged run": RunRecord.read,
    "artifact": predicting_artifact,
}


@pytest.mark.parametrize("name", NAMES[1:3])
@pytest.mark.parametrize("reader", READERS)
def test_the_command_of_a_message_names_the_folder_that_the_message_is_of(reader, name, tmp_path):
    """Everything behind `matlens` is taken as a shell takes it; one of the words is the folder, or lies in it."""
    run = tmp_path / name
    (run / "reports").mkdir(parents=True)
    (run / "run.json").write_text("{")
    for file in ("m_results", "label_issues", "m_robustness", "m_faithfulness", "m_gallery"):
        (run / "reports" / f"{file}.json").write_text("[]")
    with pytest.raises(matlens.errors.MatlensError) as caught:
        READERS[reader](run)
    line = re.search(rf"matlens (?:{COMMANDS}) .*", str(caught.value))
    assert line, caught.value
    words = shlex.split(re.sub(r"\);.*|\.$", "", line[0]))
    assert any(Path(word).is_relative_to(run) for word in words)
