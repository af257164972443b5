"""The photos of a large split, as columns beside its split.json: `split_photos.npz` (`system.tables.columns`).

JSON of a million photos takes 200 MB and, while it is read, ten times that in memory. Up to MOST_IN_JSON photos
split.json holds all itself.

    path, sha256            text, of each photo
    class, part             (N,) numbers, in `class_names` and in PARTS
    together, group_ends    the paths of photos that belong together, and where each group ends among them
    left_out, reason        text, of each photo that could not be read
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.source.sources import PARTS
from matlens.data.split.manifest.photos import LeftOut, Photo, SplitPhotos
from matlens.system.tables.columns import read_columns, write_columns

MOST_IN_JSON = 100_000
"""Photos: the split.json of so many takes some 20 MB."""

MOST_LETTERS = 16_000_000
"""Letters of paths, class names and reasons in a split.json, however few its photos."""

_SHOWN = 50
"""Photos left out, and reasons for it, that the split.json of a large split names."""


def columns_beside(path: Path) -> Path:
    """Name the file of columns that belongs to a manifest."""
    return path.with_name(f"{path.stem}_photos.npz")


def is_large(contents: SplitPhotos) -> bool:
    """Return whether JSON is not to hold these photos."""
    return len(contents.photos) > MOST_IN_JSON or sum(map(len, chain(
        chain.from_iterable((photo.path, photo.class_name) for photo in contents.photos),
        chain.from_iterable(contents.together),
        chain.from_iterable((left.path, left.reason) for left in contents.left_out)))) > MOST_LETTERS


def write_beside(path: Path, contents: SplitPhotos, class_names: Sequence[str]) -> dict[str, Any]:
    """Write the columns that belong to a manifest, whole or not at all.

    Returns what the manifest itself says of them: numbers, and the first of the photos left out, so that a page can be
    made without the columns.
    """
    class_of, part_of = ({name: index for index, name in enumerate(names)} for names in (class_names, PARTS))
    photos, together, left_out = contents.photos, contents.together, contents.left_out
    write_columns(columns_beside(path), {
        "path": [photo.path for photo in photos], "sha256": [photo.sha256 for photo in photos],
        "class": np.array([class_of[photo.class_name] for photo in photos], np.int32),
        "part": np.array([part_of[photo.part] for photo in photos], np.uint8),
        "together": list(chain.from_iterable(together)),
        "group_ends": np.cumsum(list(map(len, together)), dtype=np.int64),
        "left_out": [left.path for left in left_out], "reason": [left.reason for left in left_out]})
    counts = Counter((photo.part, photo.class_name) for photo in photos)
    return {"photos_in": columns_beside(path).name, "together": len(together), "n_left_out": len(left_out),
            "counts": {part: {name: counts[part, name] for name in class_names} for part in PARTS},
            "left_out": [dataclasses.asdict(left) for left in left_out[:_SHOWN]],
            "left_out_reasons": dict(Counter(left.reason for left in left_out).most_common(_SHOWN))}


def read_beside(path: Path, class_names: Sequence[str]) -> SplitPhotos:
    """Read the columns that belong to a manifest. Raises OSError or ValueError."""
    texts, numbers = read_columns(columns_beside(path), ("path", "sha256", "together", "left_out", "reason"),
                                  {"class": "i", "part": "u", "group_ends": "i"})
    n, classes, parts, ends = len(texts["path"]), numbers["class"], numbers["part"], numbers["group_ends"]
    if {len(texts["sha256"]), len(classes), len(parts)} != {n} or len(texts["left_out"]) != len(texts["reason"]) or (
            np.diff(ends, prepend=0) < 1).any() or sum(ends[-1:].tolist()) != len(texts["together"]):
        raise ValueError("its columns do not fit together")
    if n and not (0 <= int(classes.min()) <= int(classes.max()) < len(class_names) and int(parts.max()) < len(PARTS)):
        raise ValueError("it has photos of a class or of a part that is none of the split's")
    return SplitPhotos(
        tuple(map(Photo, texts["path"], map(class_names.__getitem__, classes.tolist()),
                  map(PARTS.__getitem__, parts.tolist()), texts["sha256"])),
        tuple(tuple(texts["together"][start:end]) for start, end in pairwise([0, *ends.tolist()])),
        tuple(map(LeftOut, texts["left_out"], texts["reason"])))
