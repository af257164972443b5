"""The folder of one run: where everything lies, and what it was asked for (`run.json`)."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from matlens.data.splits import Split
from matlens.errors import RunFolderError
from matlens.files import read_json, write_json
from matlens.models.catalogue import model_info
from matlens.settings import KAGGLE_ROOT, Settings

_NOT_COMPARED = frozenset({"cache_dir", "cache_limit", "output_dir", "models_dir", "reports_dir", "dataset_name",
                           "weights_dir", "models", "material_groups"})
"""Settings that may differ when a run is resumed: they decide where, or how much, not what comes out."""

KAGGLE_WORKING = KAGGLE_ROOT / "working"
"""Holds the notebook's own files too, so it need not be empty."""

SERIES_NAME = "series.json"
"""In a folder of several runs (`matlens.training.series_folder`)."""

_PACKAGES = ("matlens", "numpy", "pillow", "simplejpeg", "opencv-python-headless", "scikit-learn", "openvino")


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run's folder. Names are model names."""

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

    def model_file(self, name: str) -> Path:
        """The guide's .h5 or .pth."""
        return self.models / f"{name}{model_info(name).suffix}"

    def artifact(self, name: str) -> Path:
        """The portable artifact's folder."""
        return self.models / f"{name}.artifact"

    def int8_artifact(self, name: str) -> Path:
        """Its INT8 version, where one was made."""
        return self.models / f"{name}.int8.artifact"

    def training_file(self, name: str) -> Path:
        """How the model was trained; written last, so a model is trained if this file is there."""
        return self.reports / f"{name}_training.json"

    def predictions_file(self, name: str) -> Path:
        """Probabilities of the test part."""
        return self.reports / f"{name}_predictions.npz"

    def results_file(self, name: str) -> Path:
        """Metrics."""
        return self.reports / f"{name}_results.json"

    @property
    def label_issues_file(self) -> Path:
        """Photos whose labels are worth a second look."""
        return self.reports / "label_issues.json"

    def picture(self, name: str, kind: str) -> Path:
        """training_curves, confusion_matrix, roc_curves or gradcam."""
        return self.reports / f"{name}_{kind}.png"

    def log_file(self, name: str) -> Path:
        """What the model's own process printed."""
        return self.path / "logs" / f"{name}.log"

    def is_trained(self, name: str) -> bool:
        """Whether training came to its end and left what it should."""
        return all(path.exists() for path in (self.training_file(name), self.model_file(name), self.artifact(name)))

    @property
    def about(self) -> dict[str, Any]:
        """run.json. Raises RunFolderError."""
        try:
            content: dict[str, Any] = read_json(self.run_file)
            content["settings"], content["data_root"], content["versions"]
            return content
        except (OSError, ValueError, KeyError, TypeError) as error:
            if (self.path / SERIES_NAME).exists():
                raise RunFolderError(f"{self.path} is the folder of a series; name one of the runs in it, such as "
                                     f"{min(self.path.glob('*/run.json'), default=self.path / 'run.json').parent}."
                                     ) from error
            raise RunFolderError(f"{self.path} is not the folder of a run: {self.run_file.name} is missing or damaged. "
                                 "Name the folder that was given to matlens run --out.") from error

    @property
    def settings(self) -> Settings:
        """The settings of the run. Raises RunFolderError or SettingsError."""
        return Settings.load(options=self.about["settings"])

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that the run was asked for."""
        return self.settings.models

    @property
    def split(self) -> Split:
        """The split. Raises DataError."""
        return Split.read(self.split_file)

    @property
    def data_root(self) -> Path:
        """The dataset's folder, to which the split's paths are relative."""
        return Path(self.about["data_root"])

    def trained_models(self, chosen: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The models that are trained, or those chosen of them. Raises RunFolderError if one is not there."""
        trained = tuple(name for name in self.model_names if self.is_trained(name))
        for name in chosen or ():
            if name not in trained:
                raise RunFolderError(f"{self.path} holds no trained {model_info(name).name}; "
                                     f"it holds: {', '.join(trained) or 'none'}.")
        if not trained:
            raise RunFolderError(f"{self.path} holds no trained model yet. Train one with: "
                                 f"matlens run --out {self.path}")
        return chosen or trained

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run that is there. Raises RunFolderError."""
        folder = cls(path)
        folder.about  # noqa: B018 -- raises if this is no run
        return folder

    def refuse_if_foreign(self, settings: Settings, data_root: Path) -> None:
        """Raise RunFolderError if the folder holds another run, or other things; the message says which."""
        if self.run_file.exists():
            self._refuse_other_settings(settings, data_root)
        elif self.path.exists() and self.path != KAGGLE_WORKING and not is_empty_folder(self.path):
            raise RunFolderError(f"{self.path} is there already and is not the folder of a run. "
                                 "Name a new folder with --out; nothing in it was changed.")

    @classmethod
    def create(cls, path: Path, settings: Settings, data_root: Path) -> RunFolder:
        """Start a run in `path`, or go on with the one that is there.

        Raises:
            RunFolderError: see `refuse_if_foreign`, or the folder cannot be written.
        """
        folder = cls(path)
        folder.refuse_if_foreign(settings, data_root)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        if folder.run_file.exists():
            started = folder.about["started"]
            asked = tuple(dict.fromkeys([*folder.model_names, *settings.models]))
            settings = settings.model_copy(update={"models": asked})
        try:
            for place in (folder.models, folder.reports, folder.path / "logs"):
                place.mkdir(parents=True, exist_ok=True)
            write_json(folder.run_file, {
                "format": 1, "started": started, "data_root": str(data_root),
                "settings": settings.model_dump(mode="json"), "models": list(settings.models),
                "versions": package_versions()})
        except OSError as error:
            raise RunFolderError(f"Cannot write to {path}: {error.strerror}. "
                                 "Name another folder with --out.") from error
        return folder

    def _refuse_other_settings(self, settings: Settings, data_root: Path) -> None:
        before, now = self.about["settings"], settings.model_dump(mode="json")
        changed = [f"{key}: {before[key]} there, {now[key]} now" for key in now.keys() & before.keys()
                   if key not in _NOT_COMPARED and before[key] != now[key]]
        if self.about["data_root"] != str(data_root):
            changed.append(f"photos: {self.about['data_root']} there, {data_root} now")
        if changed:
            raise RunFolderError(f"{self.path} holds a run with other settings ({'; '.join(changed)}). Name a new "
                                 "folder with --out, or give the same settings to go on with that run.")


def is_empty_folder(path: Path) -> bool:
    """Whether this is a folder without anything in it."""
    return path.is_dir() and not any(path.iterdir())


def package_versions() -> dict[str, str]:
    """Python, the system, and the framework-free packages that results depend on."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
