"""Name the files of a run's folder. Nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matlens.models.registry import file_stem, spec_of

SERIES_NAME = "series.json"
"""In a folder of several runs (`matlens.runs.series`)."""


@dataclass(frozen=True)
class RunPaths:
    """Paths inside of a run's folder.

    `name` is a model's name; in file names its `/` becomes `-`.
    """

    path: Path

    @property
    def run_file(self) -> Path:
        """What was asked for."""
        return self.path / "run.json"

    @property
    def split_file(self) -> Path:
        """Which photo is in which part."""
        return self.path / "split.json"

    @property
    def models(self) -> Path:
        """The folder of model files and artifacts."""
        return self.path / "models"

    @property
    def reports(self) -> Path:
        """The folder of results and pictures."""
        return self.path / "reports"

    @property
    def logs(self) -> Path:
        """The folder of what child processes printed."""
        return self.path / "logs"

    @property
    def label_issues_file(self) -> Path:
        """Photos whose labels are worth a second look."""
        return self.reports / "label_issues.json"

    def model_file(self, name: str) -> Path:
        """Name the model file, with the ending of its framework. Raises ModelError for an unknown model."""
        return self.models / f"{file_stem(name)}{spec_of(name).suffix}"

    def artifact(self, name: str) -> Path:
        """Name the portable artifact's folder."""
        return self.models / f"{file_stem(name)}.artifact"

    def int8_artifact(self, name: str) -> Path:
        """Name the folder of the artifact's INT8 version, which is there if it was made."""
        return self.models / f"{file_stem(name)}.int8.artifact"

    def training_file(self, name: str) -> Path:
        """Name the record of the training. It is written last: a model is trained if this file is there."""
        return self.reports / f"{file_stem(name)}_training.json"

    def predictions_file(self, name: str, part: str = "test") -> Path:
        """Probabilities of the photos of a part, `test` or `val`."""
        return self.reports / f"{file_stem(name)}{'' if part == 'test' else f'_{part}'}_predictions.npz"

    def results_file(self, name: str) -> Path:
        """Metrics."""
        return self.reports / f"{file_stem(name)}_results.json"

    def picture(self, name: str, kind: str) -> Path:
        """Name a picture of a model: training_curves, confusion_matrix, roc_curves, gradcam, ..."""
        return self.reports / f"{file_stem(name)}_{kind}.png"

    def on_request_file(self, name: str, kind: str) -> Path:
        """Name the file of a measurement on request: faithfulness, robustness or gallery."""
        return self.reports / f"{file_stem(name)}_{kind}.json"

    def states(self, name: str) -> Path:
        """Name the folder of the states that an unfinished training goes on from (`training.checkpoints`)."""
        return self.path / "states" / file_stem(name)

    def log_file(self, name: str) -> Path:
        """Name the log of what the model's own processes printed."""
        return self.logs / f"{file_stem(name)}.log"
