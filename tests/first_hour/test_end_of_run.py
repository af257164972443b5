"""What a run says at its end: the winner, its weakest class, the report, and commands that work when pasted."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from matlens.evaluation.label_quality import LabelIssues
from matlens.evaluation.results import Results
from matlens.jobs.closing import closing_lines, report_line
from matlens.jobs.run import summarise
from matlens.runs.run import Run

RUN = Path("runs/first run")


def test_the_winner_its_weakest_class_and_the_next_commands(desk, matlens, monkeypatch):
    """The folder has a blank in its name, and the commands are taken as a shell takes them."""
    run = Run.open(RUN)
    comparison = summarise(run)
    best = comparison.rows[0].model
    results = Results.read(run.paths.results_file(best))
    lines = closing_lines(run, comparison)
    mistake = results.confused_pairs[0]
    assert all(word in lines[0] for word in (best, mistake["true"], mistake["predicted"]))
    commands = [shlex.split(re.search(r"matlens .*", line)[0])[1:] for line in lines[1:]]
    assert [words[0] for words in commands] == ["explain", "predict"]
    for words in commands:
        code, _, err = matlens(*("my photos/sky" if word == "PHOTO_OR_FOLDER" else word for word in words))
        assert code == 0, err


def test_of_a_single_model_without_mistakes_nothing_is_said(desk, monkeypatch):
    """Its name by itself would be a line that says nothing; the next command stays."""
    run = Run.open(RUN)
    comparison = summarise(run)
    alone = dataclasses.replace(comparison, rows=comparison.rows[:1])
    monkeypatch.setattr("matlens.jobs.closing.weakest", lambda results: [])
    lines = closing_lines(run, alone)
    assert all("matlens " in line for line in lines), lines
    assert any("matlens predict" in line for line in lines)


def test_the_report_is_named_and_can_be_opened(desk):
    """A file's address has no blanks, so that a terminal makes a link of it."""
    line = report_line(RUN, 3.2)
    assert str(RUN / "report.html") in line
    address = re.search(r"file:\S+", line)[0]
    assert Path(unquote(urlparse(address).path)) == (desk / RUN / "report.html").resolve()


@pytest.mark.parametrize(("accuracy", "chance", "means_nothing"), [
    (0.1, 0.1, True), (0.3, 0.1, True), (0.5, 0.1, False), (0.6, 0.5, True), (0.9, 0.5, False), (None, None, False)])
def test_suspicions_of_models_near_chance_mean_nothing(accuracy, chance, means_nothing):
    issues = dataclasses.replace(LabelIssues(("m",), 10, ()), accuracy=accuracy, chance=chance)
    assert issues.is_near_chance == means_nothing


def test_photos_that_were_moved_are_named_with_their_new_place(desk, matlens, tmp_path):
    """Before that, the message says which option takes it."""
    import json
    import shutil

    moved, other = tmp_path / "moved", tmp_path / "run"
    run = Run.open(RUN)
    shutil.copytree(run.data_root, moved)
    shutil.copytree(RUN, other)
    content = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**content, "data_root": str(tmp_path / "gone")}))
    typed = ("explain", other, "--worst", 1, "--models", run.model_names[0])
    code, _, err = matlens(*typed)
    assert code == 2
    assert str(tmp_path / "gone") in err
    assert "--data FOLDER" in err
    assert matlens(*typed, "--data", moved)[0] == 0
    code, _, err = matlens(*typed, "--data", desk / "my photos")
    assert code == 2
    assert str(desk / "my photos") in err
