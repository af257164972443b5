"""Read and amend what `run.json` says of a run: what was asked for, what it was made with, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import MatlensError, RunError
from matlens.models.registry import spec_of
from matlens.runs.ownership import read_run, refuse_ways_out
from matlens.runs.paths import SERIES_NAME, RunPaths
from matlens.settings.repetition import run_command
from matlens.settings.schema import DECLARED, Settings
from matlens.system.console import command
from matlens.system.files import write_json
from matlens.system.ownership.locks import LOCK_NAME, lock_at, turn
from matlens.system.ownership.places import default_cache_dir
from matlens.system.registry import folders_near
from matlens.system.untrusted import UNREADABLE

OF_THIS_MACHINE = frozenset(name for name, setting in DECLARED.items() if setting.of_machine) - {"data_dir"}
"""The settings that say where this user keeps things, or what this machine has. A recorded run, which may be a
stranger's, never decides them: files would be read, written and removed where it says."""


@dataclass(frozen=True)
class RunRecord:
    """The content of a run's `run.json`, read and checked once.

    settings: of the run; those of the machine are this user's own (OF_THIS_MACHINE).
    data_root: the dataset's folder, to which the split's paths are relative.
    versions: of Python, the system and the packages that results depend on, by name; those of the last start.
    starts: what each start that differed was made with (`runs.provenance`), the last one last; never empty.
    failures: why models failed, by name.
    resumed_at_epoch: at which epoch a model's interrupted training went on, by name.
    split_hash: of the split that the run began with; None where run.json does not say.
    """

    paths: RunPaths
    settings: Settings
    data_root: Path
    versions: Mapping[str, str]
    starts: tuple[Mapping[str, Any], ...]
    failures: Mapping[str, str]
    resumed_at_epoch: Mapping[str, int]
    split_hash: str | None

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.paths.path

    @property
    def title(self) -> str:
        """The folder's name, for people."""
        return self.path.resolve().name

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that the run was asked for."""
        return self.settings.models

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Read the record of the run in a folder.

        Raises:
            RunError: the folder is not that of a run, run.json is damaged, or something in the folder leads out of it.
            SettingsError: it holds impossible settings.
        """
        refuse_ways_out(path)
        paths = RunPaths(path)
        content = read_content(paths)
        recorded = {name: value for name, value in content["settings"].items() if name not in OF_THIS_MACHINE}
        settings = Settings.recorded({**recorded, "cache_dir": _own_cache_dir()}, paths.run_file)
        return cls(**fields_of(paths, content, settings))

    def is_trained(self, name: str) -> bool:
        """Return whether the model's training came to its end and left what it should. Looks at the disk."""
        return is_trained(self.paths, name)

    def trained_models(self, chosen: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return the models that are trained, or those chosen of them. Raises RunError if one is not there."""
        trained = tuple(name for name in self.model_names if self.is_trained(name))
        for name in chosen or ():
            if name not in trained:
                raise RunError(f"{self.path} holds no trained {spec_of(name).name}; "
                               f"it holds: {', '.join(trained) or 'none'}.")
        if not trained:
            going_on = run_command(read_content(self.paths)["settings"], self.data_root, "--out", self.path)[0]
            raise RunError(f"{self.path} holds no trained model yet. If matlens is at work there now, wait until it "
                           f"has ended; otherwise train its models with: {going_on}")
        return chosen or trained


def _own_cache_dir() -> Path:
    """Return the folder of this user's cache. Where there is none, one in which nothing is ever found."""
    try:
        return default_cache_dir()
    except (RuntimeError, MatlensError):  # there is no home folder, which reading a run does not need
        return Path(os.devnull)


def fields_of(paths: RunPaths, content: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the fields of a record from the content of run.json, without what is of another kind than it should be."""
    starts = content.get("starts")
    whole_starts = [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []
    split_hash = content.get("split_hash")
    return {"paths": paths, "settings": settings, "data_root": Path(content["data_root"]),
            "versions": content["versions"], "starts": tuple(whole_starts) or ({"versions": content["versions"]},),
            "failures": _by_name(content, "failures", str),
            "resumed_at_epoch": _by_name(content, "resumed_at_epoch", int),
            "split_hash": split_hash if isinstance(split_hash, str) else None}


def _by_name(content: Mapping[str, Any], key: str, kind: type[Any]) -> dict[str, Any]:
    values = content.get(key)
    return {name: value for name, value in values.items() if isinstance(value, kind)} if isinstance(
        values, dict) else {}


def is_trained(paths: RunPaths, name: str) -> bool:
    """Return whether a model's training came to its end and left what it should."""
    return all(path.exists() for path in (paths.training_file(name), paths.model_file(name), paths.artifact(name)))


def read_content(paths: RunPaths) -> dict[str, Any]:
    """Return the content of `run.json`. Raises RunError."""
    try:
        return read_run(paths.run_file)
    except UNREADABLE as error:
        if (paths.path / SERIES_NAME).exists() and (of_runs := sorted(paths.path.glob("*/run.json"))):
            raise RunError(f"{paths.path} is the folder of a series; name one of the runs in it, such as "
                           f"{of_runs[0].parent}.") from error
        if paths.run_file.exists():
            predicting = command("predict", paths.models / "NAME.artifact", "PHOTO")
            raise RunError(f"{paths.run_file} is damaged, and with it what the run was asked for. Its models still "
                           f"predict ({predicting}); begin a new run in another folder.") from error
        meant = folders_near(paths.path) if not paths.path.exists() else ""
        what = "is not the folder of a run: there is no" if paths.path.exists() else "is not there: no folder with a"
        raise RunError(f"{paths.path} {what} {paths.run_file.name}.{meant} Name the folder that matlens run wrote, or "
                       "last for the newest one.") from error


def note_resumption(paths: RunPaths, name: str, epoch: int) -> None:
    """Record at which epoch a model's training was resumed."""
    with _amending(paths):
        content = read_content(paths)
        write_json(paths.run_file, {
            **content, "resumed_at_epoch": {**_by_name(content, "resumed_at_epoch", int), name: epoch}})


def note_failures(paths: RunPaths, failures: Mapping[str, str], tried: Sequence[str]) -> None:
    """Record why models failed: `failures` by name, of the models that were tried."""
    with _amending(paths):
        content = read_content(paths)
        before = _by_name(content, "failures", str)
        now = {name: why for name, why in before.items() if name not in tried} | dict(failures)
        if now != before:
            write_json(paths.run_file, {**content, "failures": now})


def _amending(paths: RunPaths) -> AbstractContextManager[object]:
    """Let one process at a time amend run.json: on a cluster, models of a run are trained by several at once."""
    return turn(lock_at(paths.logs / LOCK_NAME), lambda: None)
