"""Look for datasets where people have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from matlens.data.sources import Source, open_source, subfolders
from matlens.errors import DataError
from matlens.settings import KAGGLE_ROOT, Settings

_DEPTH = 3


def find_sources(places: Sequence[Path] | None = None) -> list[Source]:
    """The datasets in these folders and up to three folders deeper, recognised by their layout, not by name."""
    found: dict[Path, Source] = {}
    for place in places or _usual_places():
        for source in _below(place, _DEPTH):
            found.setdefault(source.root.resolve(), source)
    return list(found.values())


def _usual_places() -> Iterable[Path]:
    if named := os.environ.get("MATLENS_DATA"):
        yield Path(named)
    yield from (KAGGLE_ROOT / "input", Settings().data_dir, Path())


def _below(place: Path, depth: int) -> list[Source]:
    if not place.is_dir():
        return []
    try:
        return [open_source(place)]
    except DataError:
        pass  # not a dataset itself: look inside
    if depth == 0:
        return []
    try:
        inside = subfolders(place)
    except DataError:  # may not be read: nothing to find there
        return []
    return [source for entry in inside for source in _below(entry, depth - 1)]
