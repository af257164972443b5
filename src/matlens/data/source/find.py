"""Look for datasets where people have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matlens.data.source.sources import (
    Source,
    entries,
    is_folder,
    is_hidden,
    is_photo,
    layout_by_names,
    open_source,
)
from matlens.errors import DataError
from matlens.settings import kaggle
from matlens.settings.knobs import notebook_settings
from matlens.system.caches import Say, silent

_DEPTH = 8
"""Kaggle has mounted datasets at input/<slug> and at input/datasets/<owner>/<slug>, archives unpacked deeper still."""

_MOST_FOLDERS = 20_000
"""How many folders of one place are looked into, the upper ones first. A home folder may have millions."""


@dataclass(frozen=True)
class _Folder:
    """What one look into a folder shows.

    source: a dataset that its subfolders' names give away; nothing below it is looked at.
    has_photos: whether photos lie directly in it, as in a class folder.
    """

    source: Source | None
    inside: tuple[Path, ...]
    has_photos: bool


def find_sources(places: Sequence[Path] | None = None, warn: Say = silent) -> list[Source]:
    """The datasets in these folders and some folders deeper, recognised by their layout, not by name.

    Args:
        places: by default the current folder, and where people have datasets (see `find_dataset`).
        warn: told of a place that is not looked through whole.
    """
    found: dict[Path, Source] = {}
    for place in places or (*_usual_places(), Path()):
        looked = _look(place, warn)
        for source in _datasets(place, looked):
            found.setdefault(source.root.resolve(), source)
    return list(found.values())


def find_dataset(data_dir: str | Path | None = None) -> Path | None:
    """The dataset to work on: `data_dir` if one is given, else the likeliest of what lies where people have it.

    That is below `MATLENS_DATA`, Kaggle's input folder (whatever the dataset is called there), the folder that
    `matlens data fetch` takes on Kaggle, and DATA_DIR. MINC-2500's layout goes first, then the number of photos.

    Returns:
        Its folder, or None if there is none.

    Raises:
        DataError: a `data_dir` that is no dataset.
    """
    if data_dir is not None:
        return open_source(Path(data_dir)).root
    found = find_sources(list(_usual_places()))
    best = max(found, key=lambda source: (source.layout == "minc", len(source.photos)), default=None)
    return best.root if best is not None else None


def _usual_places() -> Iterable[Path]:
    if named := os.environ.get("MATLENS_DATA"):
        yield Path(named)
    yield from (kaggle.KAGGLE_ROOT / "input", kaggle.KAGGLE_ROOT / "tmp", notebook_settings().data_dir)


def _look(place: Path, warn: Say) -> dict[Path, _Folder]:
    """Read each folder of a place once, level by level, and none twice where links lead back to it."""
    looked: dict[Path, _Folder] = {}
    seen: set[tuple[int, int]] = set()
    level = [place]
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            if len(looked) == _MOST_FOLDERS:
                warn(f"{place} has more than {_MOST_FOLDERS:,} folders; the deeper ones were not looked into. "
                     "Name a folder nearer to the photos: matlens data find DIR")
                return looked
            try:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                looked[folder] = _look_into(folder)
            except (OSError, DataError):  # missing, or may not be read: nothing to find there
                continue
            if looked[folder].source is None:
                below += looked[folder].inside
        level = below
    return looked


def _look_into(folder: Path) -> _Folder:
    lying = entries(folder)
    inside = tuple(sorted(folder / entry.name for entry in lying if not is_hidden(entry.name) and is_folder(entry)))
    photos = any(is_photo(entry.name) and not is_folder(entry) for entry in lying)
    return _Folder(_opened(folder) if layout_by_names(folder, inside) else None, inside, photos)


def _opened(folder: Path) -> Source | None:
    try:
        return open_source(folder)
    except (OSError, DataError):
        return None


def _datasets(folder: Path, looked: dict[Path, _Folder]) -> list[Source]:
    if folder not in looked:
        return []
    if (named := looked[folder].source) is not None:
        return [named]
    inside = looked[folder].inside
    # A folder of datasets looks like one of class folders, but its photos lie deeper.
    if len(inside) > 1 and all(child in looked and looked[child].has_photos for child in inside):
        source = _opened(folder)
        return [source] if source is not None else []
    return [source for child in inside for source in _datasets(child, looked)]
