"""What `run.json` says of a run: what was asked for, what it was made with, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import RunError
from matlens.models.registry import spec_of
from matlens.runs.paths import SERIES_NAME, RunPaths
from matlens.settings.schema import Settings
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import UNREADABLE

_LIMIT = 16 << 20
"""Bytes of run.json; those of runs take some kB."""


@dataclass(frozen=True)
class RunRecord:
    """The content of a run's `run.json`, read and checked once.

    settings: of the run. data_root: the dataset's folder, to which the split's paths are relative. content: the JSON.
    """

    paths: RunPaths
    settings: Settings
    data_root: Path
    content: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.paths.path

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that the run was asked for."""
        return self.settings.models

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Read the record of the run in a folder. Raises RunError, or SettingsError for settings that cannot be."""
        paths, content = RunPaths(path), read_content(RunPaths(path))
        return cls(paths, Settings.load(options=content["settings"]), Path(content["data_root"]), content)

    def is_trained(self, name: str) -> bool:
        """Whether the model's training came to its end and left what it should. Looks at the disk."""
        return is_trained(self.paths, name)

    def trained_models(self, chosen: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The models that are trained, or those chosen of them. Raises RunError if one is not there."""
        trained = tuple(name for name in self.model_names if self.is_trained(name))
        for name in chosen or ():
            if name not in trained:
                raise RunError(f"{self.path} holds no trained {spec_of(name).name}; "
                               f"it holds: {', '.join(trained) or 'none'}.")
        if not trained:
            raise RunError(f"{self.path} holds no trained model yet. Train one with: matlens run --out {self.path}")
        return chosen or trained


def is_trained(paths: RunPaths, name: str) -> bool:
    """Whether a model's training came to its end and left what it should."""
    return all(path.exists() for path in (paths.training_file(name), paths.model_file(name), paths.artifact(name)))


def read_content(paths: RunPaths) -> dict[str, Any]:
    """The content of `run.json`. Raises RunError."""
    try:
        content: dict[str, Any] = read_json(paths.run_file, _LIMIT)
        if not (isinstance(content["settings"], dict) and isinstance(content["data_root"], str)
                and isinstance(content["versions"], dict)):
            raise TypeError
        return content
    except UNREADABLE as error:
        if (paths.path / SERIES_NAME).exists():
            raise RunError(f"{paths.path} is the folder of a series; name one of the runs in it, such as "
                           f"{min(paths.path.glob('*/run.json'), default=paths.run_file).parent}.") from error
        if paths.run_file.exists():
            raise RunError(f"{paths.run_file} is damaged, and with it what the run was asked for. Its models still "
                           f"predict (matlens predict {paths.models}/NAME.artifact PHOTO); begin a new run in another "
                           "folder.") from error
        raise RunError(f"{paths.path} is not the folder of a run: {paths.run_file.name} is missing. Name the folder "
                       "that was given to matlens run --out.") from error


def note_resumption(paths: RunPaths, name: str, epoch: int) -> None:
    """Record at which epoch a model's training was resumed."""
    content = read_content(paths)
    content["resumed_at_epoch"] = {**content.get("resumed_at_epoch", {}), name: epoch}
    write_json(paths.run_file, content)


def note_failures(paths: RunPaths, failures: Mapping[str, str], tried: Sequence[str]) -> None:
    """Record why models failed: `failures` by name, of the models that were tried."""
    content = read_content(paths)
    recorded = content.get("failures")
    before = recorded if isinstance(recorded, dict) else {}
    now = {name: why for name, why in before.items() if name not in tried} | dict(failures)
    if now != before:
        write_json(paths.run_file, {**content, "failures": now})
