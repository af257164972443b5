"""Count the photos of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath
from unicodedata import normalize

from matlens.data.layout.layouts import readable
from matlens.data.layout.listing import below
from matlens.data.layout.walk import rooted
from matlens.data.source.sources import PARTS, Listed, Source, open_source, read_official_split
from matlens.errors import DataError

_SUFFIXES = {".jpg", ".jpeg", ".png"}


def class_counts(data_dir: str | Path) -> dict[str, int]:
    """Count the photos (.jpg, .jpeg, .png) in each class folder of `data_dir`, sorted; hidden folders are no classes.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    folder = Path(data_dir)
    if not folder.is_dir():
        raise DataError(f"No such folder: {folder}. Name the folder of the class folders.")
    classes = sorted(readable(rooted(folder)).content.folders, key=lambda entry: normalize("NFC", entry.name))
    return {entry.name: sum(PurePath(name).suffix.lower() in _SUFFIXES for place, _ in below(entry, [])
                            for name in place.content.photos) for entry in classes}


def photo_counts(data_dir: str | Path) -> dict[str, dict[str, int]]:
    """Count the photos of a dataset in any layout, by part and class; of one that is not divided as {"photos": ...}.

    Raises:
        DataError: there is no dataset.
    """
    return count_by_part(open_source(Path(data_dir)))


def count_by_part(source: Source) -> dict[str, dict[str, int]]:
    """Return {part: {class: n}} of a divided dataset (by its first official split), else {"photos": {class: n}}."""
    if source.layout == "minc":
        listed = read_official_split(source, source.split_numbers[0])
    elif source.layout == "prepared":
        listed = source.photos
    else:
        return {"photos": _count(source, source.photos)}
    return {part: _count(source, (photo for photo in listed if photo.part == part)) for part in PARTS}


def _count(source: Source, photos: Iterable[Listed]) -> dict[str, int]:
    counted = Counter(photo.class_name for photo in photos)
    return {name: counted[name] for name in source.class_names}
