"""The photos that a split knows, and how its manifest in JSON names them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a split. path: relative to the dataset's root. sha256: of the file's content."""

    path: str
    class_name: str
    part: str
    sha256: str


@dataclass(frozen=True)
class LeftOut:
    """A photo that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class SplitPhotos:
    """The photos of a split, the groups of paths that belong together, and the photos that were left out."""

    photos: tuple[Photo, ...]
    together: tuple[tuple[str, ...], ...]
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest that holds them itself says of them."""
        return {"together": self.together, "photos": [
            {"path": p.path, "class": p.class_name, "part": p.part, "sha256": p.sha256} for p in self.photos],
            "left_out": [dataclasses.asdict(left) for left in self.left_out]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SplitPhotos:
        """Read what `to_json` gave, in this version or an earlier one. Raises KeyError or TypeError.

        Equal names of classes and of parts are one text in memory.
        """
        return cls(tuple(Photo(text(entry["path"]), intern(text(entry["class"])), intern(text(entry["part"])),
                               text(entry["sha256"])) for entry in content["photos"]),
                   tuple(map(tuple, content.get("together", ()))),
                   tuple(LeftOut(text(left["path"]), text(left["reason"])) for left in content["left_out"]))


def text(value: object) -> str:
    """Return a text as it is. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"it has {value!r} where text should be")
    return value
