"""Divide photos into parts by given shares: each class by itself, and photos that belong together into one part."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from matlens.data.source.sources import Listed
from matlens.errors import DataError


def part_sizes(n: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Return how many of `n` photos each part gets, by largest remainders but at least one (`n` >= parts)."""
    exact = [n * share for share in shares]
    sizes = [int(share) for share in exact]
    for index in sorted(range(len(sizes)), key=lambda i: (sizes[i] - exact[i], i))[: n - sum(sizes)]:
        sizes[index] += 1
    while 0 in sizes:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(0)] += 1
    return tuple(sizes)


def divide(photos: Sequence[Listed], class_names: Sequence[str], hashes: Mapping[str, str], shares: Sequence[float],
           seed: int, together: Mapping[str, str] | None = None, way_out: str = "") -> list[list[Listed]]:
    """Divide photos into as many parts as there are `shares` (which sum to 1).

    The outcome depends on contents, names and `seed` alone, not on the order of `photos`. A class without groups is
    divided by largest remainders, and no other class changes that. With groups the number of a class's photos in a part
    is off by less than its largest group, unless that would leave a part without the class: every part gets a photo of
    each class before shares count.

    Args:
        hashes: SHA-256 by path.
        together: by path, the name of the group of a photo that must be in the same part as its group.
        way_out: sentences on why photos must stay together and how to change that, for the message of the error.

    Returns:
        The photos of each part, by class, then by content.

    Raises:
        DataError: a class has fewer photos, or fewer groups of photos, than there are parts.
    """
    return _Division(tuple(class_names), hashes, tuple(shares), seed, together or {}, way_out).of(photos)


@dataclass(eq=False)
class _Division:
    """The state of a division, as groups and then single photos are given to parts.

    missing: (classes, parts), how many photos of a class a part still lacks. has: whether the part has any yet.
    units: how many groups and single photos each class still has to give.
    """

    class_names: tuple[str, ...]
    hashes: Mapping[str, str]
    shares: tuple[float, ...]
    seed: int
    together: Mapping[str, str]
    way_out: str
    missing: npt.NDArray[np.int64] = field(init=False)
    has: npt.NDArray[np.bool_] = field(init=False)
    units: npt.NDArray[np.int64] = field(init=False)

    @cached_property
    def number(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.class_names)}

    def of(self, photos: Sequence[Listed]) -> list[list[Listed]]:
        groups, single = self._groups(photos)
        self._begin(photos, groups, single)
        parts: list[list[Listed]] = [[] for _ in self.shares]
        rng = self._rng("groups that stay together")
        for index in sorted(rng.permutation(len(groups)), key=lambda i: -len(groups[i])):
            parts[self._part_for(groups[index], rng)] += groups[index]
        for name in self.class_names:
            photos_of_class, sizes = single[name], self._room(name, len(single[name]))
            order, start = self._rng(name).permutation(len(photos_of_class)), 0
            for part, size in zip(parts, sizes, strict=True):
                part += [photos_of_class[position] for position in order[start:start + size]]
                start += size
        return [sorted(part, key=lambda photo: (self.number[photo.class_name], *self._key(photo))) for part in parts]

    def _key(self, photo: Listed) -> tuple[str, str]:
        return self.hashes[photo.path], photo.path

    def _rng(self, name: str) -> np.random.Generator:
        digest = hashlib.sha256(unicodedata.normalize("NFC", name).encode()).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest[:8], "little")])

    def _groups(self, photos: Sequence[Listed]) -> tuple[list[list[Listed]], dict[str, list[Listed]]]:
        """Return groups of at least two photos, and the other photos by class, both sorted by content."""
        named: dict[str, list[Listed]] = defaultdict(list)
        for photo in sorted(photos, key=self._key):
            named[self.together.get(photo.path) or f"\0{photo.path}"].append(photo)
        single: dict[str, list[Listed]] = {name: [] for name in self.class_names}
        for members in named.values():
            if len(members) == 1:
                single[members[0].class_name].append(members[0])
        groups = [members for members in named.values() if len(members) > 1]
        return sorted(groups, key=lambda members: self._key(members[0])), single

    def _begin(self, photos: Sequence[Listed], groups: Sequence[Sequence[Listed]],
               single: Mapping[str, Sequence[Listed]]) -> None:
        photos_of, self.units = (np.zeros(len(self.class_names), np.int64) for _ in range(2))
        for photo in photos:
            photos_of[self.number[photo.class_name]] += 1
        for name, alone in single.items():
            self.units[self.number[name]] += len(alone)
        for members in groups:
            self.units[list({self.number[photo.class_name] for photo in members})] += 1
        for name, n, units in zip(self.class_names, photos_of.tolist(), self.units.tolist(), strict=True):
            if units < len(self.shares):
                bound = ""
                if n > units:
                    largest = [photo.path for photo in max(groups, key=lambda members: sum(
                        photo.class_name == name for photo in members)) if photo.class_name == name]
                    bound = (f" in {units} group{'s' * (units != 1)} that must stay together (such as "
                             f"{', '.join(largest[:3])})")
                raise DataError(f"Class '{name}' has {n} readable photo{'s' * (n != 1)}{bound}, but each of the "
                                f"{len(self.shares)} parts needs one. Add photos or remove the folder."
                                + (f" {self.way_out}" if bound and self.way_out else ""))
        self.missing = np.array([part_sizes(n, self.shares) for n in photos_of.tolist()], np.int64)
        self.has = np.zeros_like(self.missing, dtype=np.bool_)

    def _part_for(self, members: Sequence[Listed], rng: np.random.Generator) -> int:
        """Draw a part where the group fits, by how much is missing there; else take the one that it exceeds least."""
        need = np.zeros(len(self.class_names), np.int64)
        for photo in members:
            need[self.number[photo.class_name]] += 1
        classes = np.flatnonzero(need)
        over = (need[:, None] - self.missing)[classes]
        allowed = np.ones(len(self.shares), np.bool_)
        for index in classes:
            empty = ~self.has[index]
            if self.units[index] <= empty.sum() and (allowed & empty).any():
                allowed &= empty
        fits = np.flatnonzero(allowed & (over <= 0).all(axis=0))
        if len(fits):
            room = self.missing[np.ix_(classes, fits)].sum(axis=0).cumsum()
            part = int(fits[np.searchsorted(room, rng.random() * room[-1], side="right")])
        else:
            part = min(np.flatnonzero(allowed).tolist(), key=lambda p: (over[:, p].max(), over[:, p].sum(), p))
        self.missing[:, part] -= need
        self.has[classes, part] = True
        self.units[classes] -= 1
        return part

    def _room(self, name: str, photos: int) -> list[int]:
        """Return how many of a class's single photos each part gets: what groups left missing there."""
        missing, has = self.missing[self.number[name]].tolist(), self.has[self.number[name]].tolist()
        sizes, parts = [0] * len(self.shares), range(len(self.shares))
        for left in range(photos, 0, -1):
            empty = [part for part in parts if not has[part]]
            part = max(empty if empty and left <= len(empty) else parts, key=missing.__getitem__)
            missing[part] -= 1
            sizes[part] += 1
            has[part] = True
        return sizes
