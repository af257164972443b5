"""The folder of one run: where everything lies, and what it was asked for (`run.json`)."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.split.splits import Split
from matlens.errors import RunFolderError, WriteError
from matlens.system.files import make_folder, read_json, whole_of, write_json
from matlens.models.registry import model_info
from matlens.runs.provenance import provenance
from matlens.settings.schema import KAGGLE_ROOT, Settings

NOT_COMPARED = frozenset({"cache_dir", "cache_limit", "output_dir", "models_dir", "reports_dir", "dataset_name",
                           "weights_dir", "models", "auto_batch", "material_groups"})
"""Settings that may differ when a run is resumed: they decide where, or how much, not what comes out."""

KAGGLE_WORKING = KAGGLE_ROOT / "working"
"""Holds the notebook's own files too, so it need not be empty."""

LOCK_NAME = ".lock"
"""Held by the process that is at work in a run's folder (`matlens.runs.lock`)."""

SERIES_NAME = "series.json"
"""In a folder of several runs (`matlens.runs.series`)."""


_ABOUT_LIMIT = 16 << 20
"""Bytes of run.json; those of runs take some kB."""


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

    def states(self, name: str) -> Path:
        """The folder of what an unfinished training goes on from (`training.checkpoints`)."""
        return self.path / "states" / name

    def forget_states(self, name: str) -> None:
        """Remove them: the training is done."""
        shutil.rmtree(self.states(name), ignore_errors=True)
        with contextlib.suppress(OSError):  # another model's are there, or none ever were
            self.states(name).parent.rmdir()

    def note_resumption(self, name: str, epoch: int) -> None:
        """Write into run.json at which epoch a model's training was gone on with."""
        about = self.about
        about["resumed_at_epoch"] = {**about.get("resumed_at_epoch", {}), name: epoch}
        write_json(self.run_file, about)

    def note_failures(self, failures: Mapping[str, str], of: Sequence[str]) -> None:
        """Write into run.json why models could not be had: `failures` by name, of the models that were tried."""
        about = self.about
        kept = about.get("failures")
        before = kept if isinstance(kept, dict) else {}
        now = {name: why for name, why in before.items() if name not in of} | dict(failures)
        if now != before:
            write_json(self.run_file, {**about, "failures": now})

    def on_request_file(self, name: str, kind: str) -> Path:
        """faithfulness, robustness or gallery, where it was asked for."""
        return self.reports / f"{name}_{kind}.json"

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
            content: dict[str, Any] = read_json(self.run_file, _ABOUT_LIMIT)
            if not (isinstance(content["settings"], dict) and isinstance(content["data_root"], str)
                    and isinstance(content["versions"], dict)):
                raise TypeError
            return content
        except (OSError, ValueError, KeyError, TypeError) as error:
            if (self.path / SERIES_NAME).exists():
                raise RunFolderError(f"{self.path} is the folder of a series; name one of the runs in it, such as "
                                     f"{min(self.path.glob('*/run.json'), default=self.path / 'run.json').parent}."
                                     ) from error
            if self.run_file.exists():
                raise RunFolderError(f"{self.run_file} is damaged, and with it what the run was asked for. Its models "
                                     f"still predict (matlens predict {self.models}/NAME.artifact PHOTO); begin anew "
                                     "in another folder.") from error
            raise RunFolderError(f"{self.path} is not the folder of a run: {self.run_file.name} is missing. Name the "
                                 "folder that was given to matlens run --out.") from error

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

    def with_its_batch(self, settings: Settings) -> Settings:
        """Settings whose --batch-size auto is the batch of the run that is here, if there is one."""
        if not settings.auto_batch or not self.run_file.exists():
            return settings
        return settings.model_copy(update={"batch_size": self.settings.batch_size})

    def refuse_if_foreign(self, settings: Settings, data_root: Path) -> None:
        """Raise RunFolderError if the folder holds another run, or other things; the message says which."""
        if self.run_file.exists():
            self._refuse_other_settings(settings, data_root)
        elif self.path.exists() and self.path != KAGGLE_WORKING and not is_unused_folder(self.path):
            raise RunFolderError(f"{self.path} is there already and is not the folder of a run. "
                                 "Name a new folder with --out; nothing in it was changed.")

    @classmethod
    def create(cls, path: Path, settings: Settings, data_root: Path) -> RunFolder:
        """Start a run in `path`, or go on with the one that is there.

        Raises:
            RunFolderError: see `refuse_if_foreign`.
            WriteError: the folder cannot be written.
        """
        folder = cls(path)
        folder.refuse_if_foreign(settings, data_root)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        made_with, before = provenance(), {}
        if folder.run_file.exists():
            before = folder.about
            asked = tuple(dict.fromkeys([*folder.model_names, *settings.models]))
            settings = settings.model_copy(update={"models": asked})
        starts = before.get("starts") or []
        if not starts or {**starts[-1], "at": now} != {"at": now, **made_with}:
            starts = [*starts, {"at": now, **made_with}]
        content = {**before, "format": 1, "started": before.get("started", now), "data_root": str(data_root),
                   "settings": settings.model_dump(mode="json"), "models": list(settings.models),
                   "seed": settings.seed, "versions": made_with["versions"], "starts": starts,
                   "resumed_at_epoch": before.get("resumed_at_epoch", {})}
        with out_option():
            write_json(folder.run_file, content)
            for place in (folder.models, folder.reports, folder.path / "logs"):
                make_folder(place)
        return folder

    def note_split(self, split: Split) -> None:
        """Record the split's hash in run.json beside the split itself."""
        content = self.about
        if content.get("split_hash") != split.hash:
            write_json(self.run_file, {**content, "split_hash": split.hash})

    def _refuse_other_settings(self, settings: Settings, data_root: Path) -> None:
        before, now = self.about["settings"], settings.model_dump(mode="json")
        changed = [f"{key}: {before[key]} there, {now[key]} now" for key in now.keys() & before.keys()
                   if key not in NOT_COMPARED and before[key] != now[key]]
        if self.about["data_root"] != str(data_root):
            changed.append(f"photos: {self.about['data_root']} there, {data_root} now")
        if changed:
            raise RunFolderError(f"{self.path} holds a run with other settings ({'; '.join(changed)}). Name a new "
                                 "folder with --out, or give the same settings to go on with that run.")


@contextmanager
def out_option() -> Iterator[None]:
    """Where a folder cannot be begun in, another one is a way out: say by which option."""
    try:
        yield
    except WriteError as error:
        raise WriteError(f"{error} Another folder is named with --out.", error.errno, error.strerror) from error


def is_unused_folder(path: Path) -> bool:
    """Whether this is a folder without anything in it, but for what a start that was killed may have left."""
    return path.is_dir() and all(item.name == LOCK_NAME or whole_of(item) is not None for item in path.iterdir())


def is_workplace(path: Path) -> bool:
    """Whether a folder is, or may become, that of a run or of a series."""
    return path == KAGGLE_WORKING or is_unused_folder(path) or any(
        (path / name).exists() for name in ("run.json", SERIES_NAME, LOCK_NAME))
