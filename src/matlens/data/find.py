"""Look for datasets where people have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from matlens.data.sources import Source, is_class_folder, open_source, subfolders
from matlens.errors import DataError
from matlens.settings import KAGGLE_ROOT, notebook_settings

_DEPTH = 5
"""Kaggle has mounted datasets at input/<slug> and at input/datasets/<owner>/<slug>, archives unpacked deeper still."""


def find_sources(places: Sequence[Path] | None = None) -> list[Source]:
    """The datasets in these folders and some folders deeper, recognised by their layout, not by name."""
    found: dict[Path, Source] = {}
    for place in places or _usual_places():
        for source in _below(place, _DEPTH):
            found.setdefault(source.root.resolve(), source)
    return list(found.values())


def find_dataset(data_dir: str | Path | None = None) -> Path | None:
    """The dataset to work on: `data_dir` if one is given, else the likeliest of what lies where people have it.

    That is below `MATLENS_DATA`, Kaggle's input folder (whatever the dataset is called there) and DATA_DIR. MINC-2500's
    layout goes first, then the number of photos.

    Returns:
        Its folder, or None if there is none.

    Raises:
        DataError: a `data_dir` that is no dataset.
    """
    if data_dir is not None:
        return open_source(Path(data_dir)).root
    found = find_sources([place for place in _usual_places() if place != Path()])
    best = max(found, key=lambda source: (source.layout == "minc", len(source.photos)), default=None)
    return best.root if best is not None else None


def _usual_places() -> Iterable[Path]:
    if named := os.environ.get("MATLENS_DATA"):
        yield Path(named)
    yield from (KAGGLE_ROOT / "input", notebook_settings().data_dir, Path())


def _below(place: Path, depth: int) -> list[Source]:
    if not place.is_dir():
        return []
    try:
        source = open_source(place)
        # A folder of datasets looks like one of class folders, but its photos lie deeper.
        if source.layout != "folders" or all(is_class_folder(folder) for folder in subfolders(source.root)):
            return [source]
    except DataError:
        pass  # not a dataset itself: look inside
    if depth == 0:
        return []
    try:
        inside = subfolders(place)
    except DataError:  # may not be read: nothing to find there
        return []
    return [source for entry in inside for source in _below(entry, depth - 1)]
