"""Which folders are those of runs and of series, told by their content; and that nothing in them leads out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from matlens.errors import RunError
from matlens.runs.paths import SERIES_NAME, RunPaths
from matlens.settings.kaggle import KAGGLE_ROOT
from matlens.system.files import read_json
from matlens.system.ownership.inside import ways_out
from matlens.system.ownership.locks import LOCK_NAME, is_lock
from matlens.system.ownership.temporary import is_temporary
from matlens.system.untrusted import UNREADABLE

KAGGLE_WORKING = KAGGLE_ROOT / "working"
"""Holds the notebook's own files too, so it need not be empty."""

OWN_NAMES = frozenset({"run.json", "split.json", "models", "reports", "logs", "states", "report.html", "audit.html",
                       "material_groups.toml", SERIES_NAME, LOCK_NAME})
"""The names in the folder of a run or of a series that are matlens' own. Others are never read, written or removed."""

RUN_LIMIT = 16 << 20
"""Bytes of run.json; those of runs take some kB."""


def holds_run(path: Path) -> bool:
    """Return whether a folder holds a run or a series, by the content of its manifest."""
    return (_says(RunPaths(path).run_file, ("settings", "data_root"))
            or _says(path / SERIES_NAME, ("protocol", "splits")))


def _says(manifest: Path, keys: Collection[str]) -> bool:
    try:
        content = read_json(manifest, RUN_LIMIT)
    except UNREADABLE:
        return False
    return isinstance(content, dict) and content.keys() >= set(keys)


def is_unused_folder(path: Path) -> bool:
    """Return whether this is a folder with nothing in it, apart from what a killed start of matlens left."""
    return path.is_dir() and all(is_temporary(item) or (item.name == LOCK_NAME and is_lock(item))
                                 for item in path.iterdir())


def is_workplace(path: Path) -> bool:
    """Return whether a folder is, or may become, that of a run or of a series."""
    return path == KAGGLE_WORKING or is_unused_folder(path) or holds_run(path) or is_lock(path / LOCK_NAME)


def refuse_ways_out(path: Path) -> None:
    """Raise RunError where a link in the folder of a run leads out of it, or something lies there that may never end.

    Such a folder was made by a stranger, or its parts were moved: what matlens reads would land in the report, and
    what it writes would land elsewhere.
    """
    try:
        found = next(ways_out(path, sorted(OWN_NAMES)), None)
    except OSError as error:
        raise RunError(f"{error.filename or path} cannot be looked into: {error.strerror}. Change its permissions, or "
                       "name another folder.") from error
    if found is not None:
        place, why = found
        raise RunError(f"{place} {why}. matlens reads and writes nothing outside of the folder of a run, and opens "
                       "plain files only. If the run is yours, take a copy without links: "
                       f"cp -rL {path} COPY; else remove that file.")
