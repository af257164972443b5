"""Name the classes of a dataset: folders whose names differ only by Unicode normalisation, or by case, may be one."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from matlens.data.layout.parts import PARTS
from matlens.data.layout.walk import Folder


class ClassFolder(NamedTuple):
    """A folder of photos of one class. path: relative to the dataset's root. part: of a divided dataset."""

    folder: Folder
    path: str
    part: str | None
    name: str


def class_names_of(places: Sequence[ClassFolder]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the class of each name of a class folder, and what to say about names that are nearly equal.

    Names that differ only by Unicode normalisation are one class. So are names that differ only by case in different
    parts; where they lie side by side they are classes of their own.
    """
    class_of = {place.name: place.name for place in places}
    said = []
    for same in _alike(class_of, lambda name: unicodedata.normalize("NFC", name)):
        joined = unicodedata.normalize("NFC", same[0])
        class_of |= dict.fromkeys(same, joined)
        said.append(f"{len(same)} names of class folders differ only by Unicode normalisation and are one class: "
                    f"{joined}")
    parts_of: dict[str, set[str | None]] = defaultdict(set)
    for place in places:
        parts_of[class_of[place.name]].add(place.part)
    for same in _alike(parts_of, str.casefold):
        if sum(len(parts_of[name]) for name in same) > len(set().union(*(parts_of[name] for name in same))):
            said.append(f"the classes {', '.join(same)} differ only by case, which other systems do not tell apart")
            continue
        joined = min(same, key=lambda name: (min(PARTS.index(part or "") for part in parts_of[name]), name))
        class_of = {name: joined if known in same else known for name, known in class_of.items()}
        said.append(f"the class folders {', '.join(same)} of different parts differ only by case and are one class: "
                    f"{joined}")
    return class_of, tuple(said)


def _alike(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    """Return the groups of at least two names with one key, sorted."""
    named: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        named[key(name)].append(name)
    return [same for same in named.values() if len(same) > 1]
