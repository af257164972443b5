"""Which folders are those of runs and of series, told by their content; and that nothing in them leads out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from matlens.errors import RunError
from matlens.models.registry import file_stem
from matlens.runs.paths import SERIES_NAME, RunPaths
from matlens.settings.corrections.setting import APPLIED_FILE, DECISIONS_FILE
from matlens.settings.themes.imbalance import CLASS_WEIGHTS_FILE
from matlens.system.files import read_json
from matlens.system.ownership.inside import ways_out
from matlens.system.ownership.locks import LOCK_NAME, is_lock
from matlens.system.ownership.places import KAGGLE_ROOT
from matlens.system.ownership.temporary import is_temporary, is_unfilled
from matlens.system.untrusted import UNREADABLE

KAGGLE_WORKING = KAGGLE_ROOT / "working"
"""Holds the notebook's own files too, so it need not be empty."""

OWN_NAMES = frozenset({"run.json", "split.json", "split_photos.npz", "models", "reports", "logs", "states",
                       "report.html", "audit.html", "material_groups.toml", CLASS_WEIGHTS_FILE, APPLIED_FILE,
                       DECISIONS_FILE, SERIES_NAME, LOCK_NAME})
"""The names in the folder of a run or of a series that are matlens' own. Others are never read, written or removed."""

RUN_LIMIT = 16 << 20
"""Bytes of run.json; those of runs take some kB."""


_SETTINGS = frozenset({"models", "seed", "img_size"})
"""Those that every version records."""

_REPORTS = ("model_comparison", "series_results", "label_issues")
"""How the names of reports begin that are not of one model."""


def read_run(file: Path) -> dict[str, Any]:
    """Return the content of a run.json, if it is one of matlens'. Raises what UNREADABLE names."""
    content: dict[str, Any] = read_json(file, RUN_LIMIT)
    settings, versions = content["settings"], content["versions"]
    if not (type(content["format"]) is int and isinstance(settings, dict) and settings.keys() >= _SETTINGS
            and isinstance(content["data_root"], str) and isinstance(versions, dict)
            and all(isinstance(version, str) for version in versions.values())):
        raise TypeError("format, settings, data_root or versions are not what they should be")
    return content


def read_series(file: Path) -> tuple[str, dict[str, str], dict[str, int]]:
    """Return protocol, splits and seeds of a series.json, if it is one of matlens'. Raises what UNREADABLE names."""
    content: dict[str, Any] = read_json(file)
    protocol, splits, seeds = content["protocol"], content.get("splits", {}), content.get("seeds", {})
    if not (isinstance(protocol, str) and all(isinstance(split, str) for split in splits.values())
            and all(type(seed) is int for seed in seeds.values()) and bool(splits) != bool(seeds)):
        raise TypeError("protocol, splits or seeds are not what they should be")
    return protocol, splits, seeds


def holds_run(path: Path) -> bool:
    """Return whether a folder holds a run or a series, by the content of its manifest."""
    for read, manifest in ((read_run, RunPaths(path).run_file), (read_series, path / SERIES_NAME)):
        with suppress(*UNREADABLE):
            read(manifest)
            return True
    return False


def stems_in(path: Path) -> frozenset[str]:
    """Return how the names of the files and folders begin that matlens writes in the folders of a run."""
    try:
        models = read_run(RunPaths(path).run_file)["settings"]["models"]
    except UNREADABLE:
        models = ()
    return frozenset({*_REPORTS, *(file_stem(name) for name in models if isinstance(name, str) and name)})


def is_unused_folder(path: Path) -> bool:
    """Return whether this is a folder with nothing in it, apart from what a killed start of matlens left."""
    ours = is_lock(path / LOCK_NAME)
    return path.is_dir() and all(is_temporary(item) or (ours and (item.name == LOCK_NAME or is_unfilled(item)))
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
