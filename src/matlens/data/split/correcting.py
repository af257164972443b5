"""Apply corrections of labels to a split whose parts were made from the labels before.

A photo keeps its part, so that a run with corrections and one without are judged on the same photos.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from matlens.data.source.sources import PARTS, Source
from matlens.data.split.splits import CorrectedPhoto, LeftOut, Photo, Split, gaps_of
from matlens.errors import DataError
from matlens.settings.corrections.setting import Correction, refuse_unknown_labels
from matlens.system.console import printable
from matlens.types import Labels

LEFT_OUT = "left out by the corrections of labels"
"""The reason that the manifest and the report give."""

_NAMED = 5


def with_corrections(split: Split, corrections: Mapping[str, Correction], source: Source,
                     warn: Callable[[str], None]) -> Split:
    """Return a split with corrected labels, and without the photos that corrections leave out.

    warn: is told which photos are not corrected: they are not there, or have another content or label than those that
        were decided on.

    Raises:
        SettingsError: a correction to a class that the dataset has not.
        DataError: a part has no photo of a class any more.
    """
    if not corrections:
        return split
    refuse_unknown_labels(corrections, source.class_names)
    photos: list[Photo] = []
    corrected: list[CorrectedPhoto] = []
    changed: list[str] = []
    other: list[str] = []
    for photo in split.photos:
        digest, given, to = corrections.get(photo.path, ("", "", ""))
        if not digest or photo.class_name == to:
            photos.append(photo)
        elif digest != photo.sha256 or given != photo.class_name:
            photos.append(photo)
            (changed if digest != photo.sha256 else other).append(photo.path)
        else:
            corrected.append(CorrectedPhoto(photo.path, given, to, photo.part))
            photos += [dataclasses.replace(photo, class_name=to)] * bool(to)
    here = {photo.path for photo in split.photos}
    missing = [path for path in corrections if path not in here]
    for paths, why in ((missing, "are in no part of the split: they were moved, or cannot be read"),
                       (changed, "have another content than the photos that were decided on"),
                       (other, "have another label than the photos that were decided on")):
        if paths:
            warn(f"Corrections of labels of {len(paths)} photos are not applied, since these {why}: {_some(paths)}")
    left = tuple(LeftOut(photo.path, LEFT_OUT) for photo in corrected if not photo.to)
    after = dataclasses.replace(split, photos=tuple(photos), left_out=(*split.left_out, *left),
                                corrected=tuple(corrected))
    if gaps := gaps_of(after):
        raise DataError(f"The corrections of labels leave no photo of {gaps}, and every class must have photos in "
                        "train, val and test. Undo some of them with matlens review; or, where a class is to go, move "
                        "its photos into other class folders, or elsewhere.")
    return after


def remark_on(corrected: Sequence[CorrectedPhoto]) -> str:
    """Say how many labels were corrected, and where: what a reader of results must know."""
    by_part = Counter(photo.part for photo in corrected)
    relabelled = sum(bool(photo.to) for photo in corrected)
    where = ", ".join(f"{by_part[part]} in {part}" for part in PARTS if by_part[part])
    return (f"labels of {len(corrected)} photos were corrected ({relabelled} relabelled, {len(corrected) - relabelled} "
            f"left out; {where})")


def labels_before(split: Split, photos: Sequence[Photo]) -> Labels:
    """Return the class numbers (N,) that photos of a split had before corrections."""
    given = {photo.path: photo.given for photo in split.corrected if photo.given in split.class_names}
    return split.labels([dataclasses.replace(photo, class_name=given.get(photo.path, photo.class_name))
                         for photo in photos])


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(map(printable, paths[:_NAMED])) + more
