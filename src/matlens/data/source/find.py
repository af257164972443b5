"""Look for datasets in the places where people have them."""

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
from matlens.settings.knobs import notebook_setting
from matlens.system.caches import Say, silent

_DEPTH = 8
"""How many folders deep to look. Kaggle mounts datasets at input/<slug> or input/datasets/<owner>/<slug>, and the
folders of unpacked archives lie deeper still."""

_MOST_FOLDERS = 20_000
"""How many folders of one place are read, the upper ones first. A home folder may have millions."""


@dataclass(frozen=True)
class _Folder:
    """What reading a folder once shows.

    source: a dataset that is recognised by the names of its subfolders; nothing below it is read.
    inside: its visible subfolders.
    has_photos: whether photos lie directly in it, as in a class folder.
    """

    source: Source | None
    inside: tuple[Path, ...]
    has_photos: bool


def find_sources(places: Sequence[Path] | None = None, warn: Say = silent) -> list[Source]:
    """Find the datasets in these folders and some folders deeper, by their layout and not by their name.

    Args:
        places: by default the current folder and the places that `find_dataset` names.
        warn: called with a message if a place has too many folders to read them all.
    """
    sources: dict[Path, Source] = {}
    for place in places or (*_usual_places(), Path()):
        folders = _read_below(place, warn)
        for source in _datasets(place, folders):
            sources.setdefault(source.root.resolve(), source)
    return list(sources.values())


def find_dataset(data_dir: str | Path | None = None) -> Path | None:
    """Find the dataset to work on: `data_dir` if it is given, else the likeliest dataset in the usual places.

    These are `MATLENS_DATA`, Kaggle's input folder (whatever the dataset is called there), the folder that
    `matlens data fetch` uses on Kaggle, and DATA_DIR. A dataset in MINC-2500's layout comes first, then the one
    with the most photos.

    Returns:
        The dataset's folder, or None if there is none.

    Raises:
        DataError: `data_dir` is no dataset.
    """
    if data_dir is not None:
        return open_source(Path(data_dir)).root
    sources = find_sources(list(_usual_places()))
    best = max(sources, key=lambda source: (source.layout == "minc", len(source.photos)), default=None)
    return best.root if best is not None else None


def _usual_places() -> Iterable[Path]:
    if named := os.environ.get("MATLENS_DATA"):
        yield Path(named)
    yield from (kaggle.KAGGLE_ROOT / "input", kaggle.KAGGLE_ROOT / "tmp", notebook_setting("data_dir"))


def _read_below(place: Path, warn: Say) -> dict[Path, _Folder]:
    """Read each folder of a place once, level by level, even if links lead back to it."""
    folders: dict[Path, _Folder] = {}
    seen: set[tuple[int, int]] = set()
    level = [place]
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            if len(folders) == _MOST_FOLDERS:
                warn(f"{place} has more than {_MOST_FOLDERS:,} folders; the deeper ones were not read. Name a folder "
                     "nearer to the photos: matlens data find DIR")
                return folders
            try:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                folders[folder] = _look_into(folder)
            except (OSError, DataError):  # it is missing or may not be read: there is nothing to find
                continue
            if folders[folder].source is None:
                below += folders[folder].inside
        level = below
    return folders


def _look_into(folder: Path) -> _Folder:
    content = entries(folder)
    inside = tuple(sorted(folder / entry.name for entry in content if not is_hidden(entry.name) and is_folder(entry)))
    photos = any(is_photo(entry.name) and not is_folder(entry) for entry in content)
    return _Folder(_opened(folder) if layout_by_names(folder, inside) else None, inside, photos)


def _opened(folder: Path) -> Source | None:
    try:
        return open_source(folder)
    except (OSError, DataError):
        return None


def _datasets(folder: Path, folders: dict[Path, _Folder]) -> list[Source]:
    if folder not in folders:
        return []
    if (named := folders[folder].source) is not None:
        return [named]
    inside = folders[folder].inside
    # A folder of datasets looks like a folder of class folders, but its photos lie deeper.
    if len(inside) > 1 and all(child in folders and folders[child].has_photos for child in inside):
        source = _opened(folder)
        return [source] if source is not None else []
    return [source for child in inside for source in _datasets(child, folders)]
