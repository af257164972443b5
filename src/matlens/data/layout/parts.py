"""Tell by their names which folders are the parts of a divided dataset: train, Testing, seg_test, validation_set ..."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from matlens.data.layout.listing import holds_photos
from matlens.data.layout.walk import Folder

PARTS = ("train", "val", "test")

_WORDS = {
    "train": ("train", "training", "trn", "trainval", "entrainement", "entrenamiento"),
    "val": ("val", "valid", "validate", "validation", "validating", "validierung", "dev", "eval", "evaluation"),
    "test": ("test", "tests", "testing", "tst", "holdout", "prueba")}
_PART_OF = {word: part for part, words in _WORDS.items() for word in words}

_FILLERS = ("set", "sets", "data", "dataset", "datasets", "images", "image", "imgs", "img", "photos", "photo",
            "pictures", "pics", "split", "part", "folder", "files", "samples", "subset", "the", "of", "my", "only")
"""Words that say nothing about what the photos show."""

_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_GLUED = re.compile(rf"({'|'.join(sorted(_PART_OF, key=len, reverse=True))})({'|'.join(_FILLERS)})")


class _Name(NamedTuple):
    """What a folder's name says. about: its words that are neither that of the part nor fillers."""

    part: str
    about: tuple[str, ...]


def _read(name: str) -> _Name | None:
    """Return the part that a name speaks of, or None if it speaks of none, or of several."""
    words = [piece for word in _TOKEN.findall(name) for piece in _pieces(word.lower())]
    parts = {_PART_OF[word] for word in words if word in _PART_OF}
    if len(parts) != 1 and parts != {"train", "val"}:
        return None
    about = tuple(word for word in words if word not in _PART_OF and word not in _FILLERS)
    return _Name("train" if "train" in parts else parts.pop(), about)


def _pieces(word: str) -> tuple[str, ...]:
    """Return a word, or of one like `testset` its two words."""
    glued = None if word in _PART_OF else _GLUED.fullmatch(word)
    return glued.groups() if glued else (word,)


def parts_among(folders: Sequence[Folder]) -> dict[Folder, str]:
    """Return the part of each folder that is one, by the names of all of them and of their subfolders.

    Folders are parts if their names speak of two parts and otherwise of the same (seg_train beside seg_test), or if one
    alone (train) holds class folders and one other folder of photos lies beside it. Classes such as `test tube` and
    `train station` are none.
    """
    families: dict[tuple[str, ...], dict[Folder, str]] = defaultdict(dict)
    for folder in folders:
        if (name := _read(folder.name)) is not None:
            families[name.about][folder] = name.part
    divided = [family for family in families.values() if len(set(family.values())) > 1]
    if divided:
        return {folder: part for family in divided for folder, part in family.items()}
    alone = families.get((), {})
    if alone and len(folders) - len(alone) <= 1 and all(_holds_folders_only(folder) for folder in alone):
        return alone if len(alone) > 1 or any(holds_photos(folder) for folder in folders if folder not in alone) else {}
    return {}


def _holds_folders_only(folder: Folder) -> bool:
    return len(folder.content.folders) > 1 and not folder.content.photos
