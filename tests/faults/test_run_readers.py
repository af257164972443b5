"""Every reader of a run's files, of settings and of artifacts: a damaged file is refused by name, and at once."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from attacks import ARRAY, JSON, TEXT, Reader, cases, refuse_after, refuse_other_types
from matlens.errors import ModelError, ResultsError, RunError, SettingsError
from matlens.evaluation.label_quality import LabelIssues, Suspect
from matlens.evaluation.material_groups import MaterialGroups
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.galleries import ConfusedPair, Gallery, GalleryPhoto
from matlens.explanation.on_request import Measurement
from matlens.features.artifact import Artifact
from matlens.models.head import Head
from matlens.robustness.curves import Robustness
from matlens.runs.paths import SERIES_NAME, RunPaths
from matlens.runs.record import RunRecord
from matlens.runs.series import SeriesFolder
from matlens.runs.training_record import TrainingRecord
from matlens.settings.corrections.decisions import HEADER
from matlens.settings.corrections.setting import read_corrections
from matlens.settings.schema import Settings
from small_run import NAMES

NAME = NAMES[0]
SUSPECT = Suspect("a/1.jpg", "a", "b", 0.1, 0.9, 0.1, ("m",))
PHOTO = GalleryPhoto("a/1.jpg", "a", "b", 0.9, 0.1, "", 4, 4, None)
MEASURED: tuple[Measurement, ...] = (
    Faithfulness(NAME, "gradcam", 1, (0.0, 1.0), (0.5,), {"random": {"deletion": [1.0, 0.5]}},
                 {"random": {"deletion": 0.7}}, {"random": {"deletion": {"mean": 0.1, "standard_error": None}}},
                 {"a": {"n_photos": 1}}, "0"),
    Robustness(NAME, 1, 0.5, {"a": 0.5, "b": None}, {"darker": {"strengths": [1], "accuracy": [0.5]}}, "0"),
    Gallery(NAME, "gradcam", (PHOTO,), (0,), (0,), {"a": {"mistakes": (0,), "hits": ()}},
            (ConfusedPair("a", "b", 1, (0,)),), "0"))


def copied(*where: str) -> Callable[[Path], Path]:
    """Copy one file of the small run, which `room` has beside the copy."""
    def make(room: Path) -> Path:
        path = room.joinpath("run", *where)
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(room.joinpath("small", *where), path))

    return make


def copied_artifact(room: Path) -> Path:
    artifact = room / "run" / "m.artifact"
    shutil.copytree(room / "small" / "models" / f"{NAME}.artifact", artifact)
    return artifact / "artifact.json"


def written(name: str, text: str) -> Callable[[Path], Path]:
    def make(room: Path) -> Path:
        (room / name).write_text(text)
        return room / name

    return make


def made_series(room: Path) -> Path:
    return SeriesFolder.of_splits(room / "series", "kfold:2", ("kfold:2:1", "kfold:2:2")).create().path / SERIES_NAME


def made_series_of_seeds(room: Path) -> Path:
    return SeriesFolder.of_seeds(room / "series", "random", 42, 2).create().path / SERIES_NAME


def read_training(path: Path) -> TrainingRecord:
    """The record knows its run; the run's own record is the whole one."""
    run = RunRecord.read(path.parents[2] / "small")
    return TrainingRecord.read(dataclasses.replace(run, paths=RunPaths(path.parents[1])), NAME)


def made_measurement(measured: Measurement, room: Path) -> Path:
    return measured.write(room / f"{NAME}_{measured.kind}.json")


TOML = (*TEXT, "truncated", "number", "list", "null", "nested TOML")
READERS = {
    "run": Reader(copied("run.json"), lambda path: RunRecord.read(path.parent), RunError,
                  unread=frozenset({"format", "started", "models", "seed", "starts", "resumed_at_epoch",
                                    "split_hash"})),
    "series": Reader(made_series, lambda path: SeriesFolder.open(path.parent), RunError, unread=frozenset({"format"})),
    "series of seeds": Reader(made_series_of_seeds, lambda path: SeriesFolder.open(path.parent), RunError,
                              unread=frozenset({"format"})),
    "training": Reader(copied("reports", f"{NAME}_training.json"), read_training, RunError),
    "results": Reader(copied("reports", f"{NAME}_results.json"), Results.read, ResultsError),
    "predictions": Reader(copied("reports", f"{NAME}_predictions.npz"), Predictions.read, ResultsError, ARRAY),
    "label issues": Reader(lambda room: LabelIssues(("m",), 1, (SUSPECT,)).write(room / "label_issues.json"),
                           LabelIssues.read, ResultsError, unread=frozenset({"format"})),
    "artifact": Reader(copied_artifact, lambda path: Artifact.open(path.parent), ModelError),
    "head": Reader(copied("models", f"{NAME}.artifact", "head.npz"), Head.load, ModelError, ARRAY),
    "settings": Reader(written("matlens.toml", "IMG_SIZE = [64, 64]\nMODELS = ['vgg19_scratch']\n"), Settings.load,
                       SettingsError, (*TOML, "large")),
    "groups": Reader(written("material_groups.toml", "[groups]\ncool = ['blue', 'green']\n"),
                     lambda path: MaterialGroups.read(path, ("blue", "green", "red")), SettingsError,
                     (*TOML, "empty", "large")),
    "decisions": Reader(written("corrections.csv", f"{HEADER.decode()}2026,a/1.jpg,{'0' * 64},a,b,relabel\n"),
                        lambda path: read_corrections(str(path)), SettingsError, (*TEXT, "number", "list", "large")),
    **{measured.kind: Reader(partial(made_measurement, measured), type(measured).read, ResultsError,
                             unread=frozenset({"format"})) for measured in MEASURED},
}


@pytest.fixture
def room(tmp_path: Path, small_run: Path) -> Path:
    """A folder for one file, with the small run beside it."""
    (tmp_path / "small").symlink_to(small_run)
    return tmp_path


@pytest.mark.parametrize("name", READERS)
def test_a_file_in_order_is_read(room, name):
    """Else the refusals below would prove nothing."""
    assert READERS[name].read(READERS[name].make(room)) is not None


@pytest.mark.parametrize(("name", "attack"), cases(READERS))
def test_a_damaged_file_is_refused_by_name(room, name, attack):
    """A traceback tells the user nothing, and a pipe must not be waited for."""
    refuse_after(attack, READERS[name], room)


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.contents == JSON])
def test_a_field_of_any_other_type_is_refused_by_name(room, name):
    """Noticed later, it would be a defect somewhere else."""
    refuse_other_types(READERS[name], room)
