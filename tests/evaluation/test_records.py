"""Records and results that were damaged, or made by somebody else: named, never a crash."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import begin_run
from matlens.errors import ResultsError, RunError
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.evaluation.results_schema import ResultsSchema
from matlens.runs.run import Run, refuse_if_foreign, with_its_batch
from matlens.runs.training_record import TrainingRecord
from matlens.settings.schema import Settings

NAME = "inception_v1"


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Run:
    """A judged run that may be damaged."""
    return Run.open(Path(shutil.copytree(small_run, tmp_path / "run")))


def change(path: Path, place: str, value: Any) -> None:
    """Set what lies at a dotted place of a JSON file."""
    content = json.loads(path.read_text())
    *above, last = place.split(".")
    inner = content
    for key in above:
        inner = inner[key]
    inner[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("place", "value"), [
    ("per_class", []), ("per_class", {}), ("per_class.red.f1", "x"), ("intervals.macro_f1", {"low": [], "high": 1}),
    ("intervals.per_class", 3), ("seconds.train", "x"), ("parameters", 10**400), ("parameters", -1), ("top_k", 1e308),
    ("macro_precision", {}), ("accuracy", float("nan")), ("accuracy", 7), ("class_names", []), ("class_names", [["a"]]),
    ("confusion_matrix", [[1]]), ("roc_auc", None), ("calibration", {"ece": 1}), ("coverage", []), ("remarks", [1]),
    ("confused_pairs", [{}]), ("img_size", [0, 10**9])])
def test_results_of_other_content_are_refused_naming_the_file_and_the_way_out(run, matlens, place, value):
    path = run.paths.results_file(NAME)
    change(path, place, value)
    with pytest.raises(ResultsError, match=rf"{path}.*matlens evaluate {run.path}") as refused:
        Results.read(path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600
    code, _, err = matlens("compare", run.path)
    assert code == 2
    assert str(path) in err
    assert "defect" not in err


@pytest.mark.parametrize(("place", "value"), [
    ("history", None), ("history.loss", []), ("history.val_accuracy", ["x"]), ("seconds", []), ("seconds.train", "x"),
    ("versions", 1), ("remarks", [1]), ("epochs", 0), ("best_epoch", 2), ("best_epoch", "x"),
    ("peak_rss_bytes", 10**400), ("parameters", None)])
def test_a_record_of_other_content_is_refused_naming_the_file_and_the_way_out(run, place, value):
    path = run.paths.training_file(NAME)
    change(path, place, value)
    with pytest.raises(RunError, match=rf"{path}.*Delete it.*trains {NAME} again"):
        TrainingRecord.read(run, NAME)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_commands_name_the_record_that_they_cannot_read(run, matlens, command):
    path = run.paths.training_file(NAME)
    change(path, "seconds.train", "x")
    code, _, err = matlens(command, run.path, *([run.paths.run_file] if command == "predict" else []))
    assert code == 2
    assert str(path) in err


def test_every_field_of_results_is_checked_when_it_is_read():
    """A new field that the schema does not know would go through unseen."""
    assert set(ResultsSchema.model_fields) == {field.name for field in dataclasses.fields(Results)}


def test_the_same_answers_are_the_same_bytes_however_long_they_took(tmp_path):
    answers = np.eye(2, dtype=np.float32), np.arange(2), ("a.jpg", "b.jpg")
    files = [Predictions(*answers, rate).write(tmp_path / f"{rate}.npz").read_bytes() for rate in (None, 1.0, 2.5)]
    assert files[0] == files[1] == files[2]


def test_auto_goes_on_with_the_batch_that_a_run_began_with(tmp_path):
    """What a message advises must not be refused for the batch that it implies."""
    begun = Settings.load(options={"models": [NAME], "batch_size": 8, "data_dir": tmp_path})
    folder = begin_run(tmp_path / "run", begun)
    auto = Settings.load(options={"models": [NAME], "batch_size": "auto", "data_dir": tmp_path})
    assert auto.batch_size != 8
    with pytest.raises(RunError, match="batch_size: 8 there"):
        refuse_if_foreign(folder.path, auto, tmp_path)
    again = with_its_batch(folder.path, auto)
    assert (again.batch_size, again.auto_batch) == (8, True)
    refuse_if_foreign(folder.path, again, tmp_path)
    assert with_its_batch(tmp_path / "new", auto) == auto
