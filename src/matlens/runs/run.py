"""Open or begin a run: a value that is read and checked once, and handed on."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.split.splits import Split
from matlens.errors import DataError, RunError, WriteError
from matlens.runs.ownership import KAGGLE_WORKING, is_unused_folder
from matlens.runs.paths import RunPaths
from matlens.runs.provenance import provenance
from matlens.runs.record import RunRecord, fields_of, read_content
from matlens.settings.declaration import FIRST_VERSION
from matlens.settings.files import called
from matlens.settings.repetition import run_command
from matlens.settings.schema import DECLARED, Settings
from matlens.system.files import make_folder, write_json


@dataclass(frozen=True)
class Run(RunRecord):
    """A run's record, and its split."""

    split: Split

    @classmethod
    def open(cls, path: Path) -> Run:
        """Read and check `run.json` and `split.json`.

        Raises:
            RunError: the folder is not that of a run, or run.json is damaged.
            SettingsError: run.json holds impossible settings.
            DataError: split.json is missing or damaged.
        """
        record = RunRecord.read(path)
        return cls(**vars(record), split=Split.read(record.paths.split_file))

    @classmethod
    def begin(cls, path: Path, settings: Settings, data_root: Path, split: Split) -> Run:
        """Begin a run in `path`, or go on with the one that is there.

        Raises:
            RunError: the folder holds another run, a run of other photos, or other things.
            WriteError: the folder cannot be written.
        """
        refuse_if_foreign(path, settings, data_root)
        paths, before = RunPaths(path), {}
        if paths.run_file.exists():
            before = read_content(paths)
            if _hash_of_split(paths, before) not in (None, split.hash):
                raise RunError(f"The photos in {data_root} are not those that the run in {path} began with (split.json "
                               "differs). Name a new folder with --out.")
            recorded = RunRecord.read(path).model_names
            settings = settings.model_copy(update={"models": tuple(dict.fromkeys([*recorded, *settings.models]))})
        content = _content(before, settings, data_root, split)
        with out_option():
            write_json(paths.run_file, content)
            for place in (paths.models, paths.reports, paths.logs):
                make_folder(place)
        split.write(paths.split_file)
        return cls(**fields_of(paths, content, settings), split=split)


def _content(before: dict[str, Any], settings: Settings, data_root: Path, split: Split) -> dict[str, Any]:
    """Return what run.json holds from this start on."""
    now, made_with = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), provenance()
    starts = before.get("starts") or []
    if not starts or {**starts[-1], "at": now} != {"at": now, **made_with}:
        starts = [*starts, {"at": now, **made_with}]
    return {**before, "format": 1, "started": before.get("started", now), "data_root": str(data_root),
            "settings": settings.model_dump(mode="json"), "models": list(settings.models), "seed": settings.seed,
            "versions": made_with["versions"], "starts": starts, "split_hash": split.hash,
            "resumed_at_epoch": before.get("resumed_at_epoch", {})}


def _hash_of_split(paths: RunPaths, content: dict[str, Any]) -> str | None:
    """Return the hash of split.json; where that is damaged, run.json's; None where neither is there."""
    if not paths.split_file.exists():
        return None
    try:
        return Split.read(paths.split_file).hash
    except DataError:
        return content.get("split_hash")


def with_its_batch(path: Path, settings: Settings) -> Settings:
    """Return settings in which --batch-size auto is the batch of the run that is in `path`, if there is one."""
    if not settings.auto_batch or not RunPaths(path).run_file.exists():
        return settings
    return settings.model_copy(update={"batch_size": RunRecord.read(path).settings.batch_size})


def refuse_if_foreign(path: Path, settings: Settings, data_root: Path) -> None:
    """Raise RunError if a folder holds another run, or other things; the message says which."""
    if RunPaths(path).run_file.exists():
        _refuse_other_settings(path, settings, data_root)
    elif path.exists() and path != KAGGLE_WORKING and not is_unused_folder(path):
        raise RunError(f"{path} is there already and is not the folder of a run. "
                       "Name a new folder with --out; nothing in it was changed.")


def _refuse_other_settings(path: Path, settings: Settings, data_root: Path) -> None:
    record = RunRecord.read(path)
    before, now = record.settings.agreed(), settings.agreed()
    is_moved = record.data_root != data_root
    if now["data_address"] is not None and before["data_address"] == now["data_address"]:  # another cache has them now
        before["data_dir"], is_moved = now["data_dir"], False
    told_by_photos = {"data_dir"} if is_moved else set()
    differing = [key for key in before if key not in told_by_photos and before[key] != now[key]
                 and (key in record.settings.model_fields_set
                      or DECLARED[key].since > FIRST_VERSION)]  # unsaid then: its default
    changed = [f"{called(key, DECLARED)}: {DECLARED[key].in_short(before[key])} there, "
               f"{DECLARED[key].in_short(now[key])} now" for key in differing]
    if is_moved:
        changed.append(f"photos: {record.data_root} there, {data_root} now")
    if changed:
        going_on = run_command(read_content(record.paths)["settings"], record.data_root, "--out", path)[0]
        raise RunError(f"{path} holds a run with other settings ({'; '.join(changed)}). Name a new folder with --out, "
                       f"or go on with that run: {going_on or 'give the same settings'}")


@contextmanager
def out_option() -> Iterator[None]:
    """Add to a WriteError which option names another folder, where a run cannot begin in this one."""
    try:
        yield
    except WriteError as error:
        raise WriteError(f"{error} Another folder is named with --out.", error.errno, error.strerror) from error
