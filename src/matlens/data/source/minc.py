"""MINC-2500: what it consists of, and how a copy differs from it.

Bell, Upchurch, Snavely, Bala: Material Recognition in the Wild with the Materials in Context Database, CVPR 2015,
section 5.4, and the README of the archive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from matlens.data.source.sources import PARTS, Source, read_official_split
from matlens.errors import DataError

ARCHIVE_URL = "http://opensurfaces.cs.cornell.edu/static/minc/minc-2500.tar.gz"
ARCHIVE_SHA1 = "bcccbb3b1ab396ef540f024a5ba23eff54f7fe31"
"""The archive's SHA-1 in lower-case hexadecimal digits, which other loaders of the dataset use, too."""

CLASS_NAMES = ("brick", "carpet", "ceramic", "fabric", "foliage", "food", "glass", "hair", "leather", "metal", "mirror",
               "other", "painted", "paper", "plastic", "polishedstone", "skin", "sky", "stone", "tile", "wallpaper",
               "water", "wood")
PHOTOS_PER_CLASS = 2500
SPLIT_NUMBERS = (1, 2, 3, 4, 5)
PART_SIZES = {"train": 2125, "val": 125, "test": 250}
"""How many photos of each class are in each part of an official split; the lists call val `validate`."""

FILL_COLOUR = (124, 117, 104)
"""The RGB colour that fills a photo beyond the edge of the picture that it was cut from."""

_SHOWN = 3


def is_minc_2500(source: Source) -> bool:
    """Return whether this is MINC-2500 by its class names, in any layout, whole or not."""
    return set(source.class_names) == set(CLASS_NAMES)


def deviations(source: Source) -> list[str]:
    """Describe how a dataset differs from MINC-2500, in a sentence for each difference; none if it is whole.

    This compares the class names, the photos of each class, and all official splits: their lists must be there, name
    only photos of the dataset, each photo once, and the right number of each class. The lists are read, but no photo
    is opened, so a damaged photo is no difference.
    """
    if source.layout != "minc":
        return ["It is not laid out as MINC-2500 is, with images/<class>/ and labels/train1.txt and so on."]
    sentences = []
    if lacking := sorted(set(CLASS_NAMES) - set(source.class_names)):
        sentences.append(f"There is no class {_some(lacking)}.")
    if foreign := sorted(set(source.class_names) - set(CLASS_NAMES)):
        sentences.append(f"MINC-2500 has no class {_some(foreign)}.")
    counted = Counter(photo.class_name for photo in source.photos)
    if wrong := _miscounted(counted, PHOTOS_PER_CLASS):
        sentences.append(f"Of each class there should be {PHOTOS_PER_CLASS:,} photos: {wrong}.")
    if further := sorted(set(source.split_numbers) - set(SPLIT_NUMBERS)):
        sentences.append(f"MINC-2500 has no official split {_some(list(map(str, further)))}.")
    paths = {photo.path for photo in source.photos}
    for number in SPLIT_NUMBERS:
        sentences += _split_deviations(source, number, paths)
    return sentences


def _split_deviations(source: Source, number: int, paths: set[str]) -> list[str]:
    if number not in source.split_numbers:
        return [f"Of official split {number} not all lists are there: labels/train{number}.txt, "
                f"validate{number}.txt, test{number}.txt."]
    try:
        listed = read_official_split(source, number)
    except DataError as error:
        return [str(error)]
    sentences = []
    counted = Counter((photo.part, photo.class_name) for photo in listed)
    for part in PARTS:
        by_class = {name: counted[part, name] for name in CLASS_NAMES}
        if wrong := _miscounted(by_class, PART_SIZES[part]):
            sentences.append(f"In {part} of official split {number} there should be {PART_SIZES[part]:,} photos of "
                             f"each class: {wrong}.")
    named = {photo.path for photo in listed}
    if absent := sorted(named - paths):
        sentences.append(f"Official split {number} lists photos that are not there: {_some(absent)}.")
    if unlisted := sorted(paths - named):
        sentences.append(f"Official split {number} leaves photos out: {_some(unlisted)}.")
    return sentences


def _miscounted(counted: Mapping[str, int], expected: int) -> str:
    return _some([f"{name} has {counted.get(name, 0):,}" for name in CLASS_NAMES if counted.get(name, 0) != expected])


def _some(words: Sequence[str]) -> str:
    """Return the first few words, and how many more there are."""
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
