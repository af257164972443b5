"""Divide a dataset into train, val and test, and keep that division as a manifest (`split.json`)."""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from matlens.data.sources import PARTS, Listed, Source, read_official_split
from matlens.errors import DataError, SettingsError
from matlens.files import read_json, write_json

RATIOS = (0.7, 0.15, 0.15)


@dataclass(frozen=True)
class Photo:
    """One photo of a split: `path` relative to the dataset's root, `sha256` of the file's content."""

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
class Split:
    """Which photo is in which part.

    protocol: `minc:N`, `random` or `prepared`; seed and ratios only for `random`.
    photos: in the order train, val, test; inside a part in the order of the protocol.
    left_out: what was listed and could not be read; it is in no part.
    """

    protocol: str
    class_names: tuple[str, ...]
    photos: tuple[Photo, ...]
    left_out: tuple[LeftOut, ...] = ()
    seed: int | None = None
    ratios: tuple[float, float, float] | None = None

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what is in which part under which class; the dataset's place does not count."""
        lines = sorted(f"{photo.part}\t{photo.class_name}\t{photo.path}\t{photo.sha256}" for photo in self.photos)
        return hashlib.sha256("\n".join([*self.class_names, *lines]).encode()).hexdigest()

    def part(self, name: str) -> tuple[Photo, ...]:
        """The photos of one part (train, val or test)."""
        return tuple(photo for photo in self.photos if photo.part == name)

    def labels(self, photos: Iterable[Photo]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Class numbers, (N,) int64: positions in `class_names`."""
        number = {name: index for index, name in enumerate(self.class_names)}
        return np.array([number[photo.class_name] for photo in photos], dtype=np.int64)

    def counts(self) -> dict[str, dict[str, int]]:
        """Photos by part and class: {part: {class: n}}, every class in every part."""
        counted = Counter((photo.part, photo.class_name) for photo in self.photos)
        return {part: {name: counted[part, name] for name in self.class_names} for part in PARTS}

    def write(self, path: Path) -> Path:
        """Write the manifest, whole or not at all."""
        content = {
            "format": 1, "protocol": self.protocol, "hash": self.hash, "seed": self.seed, "ratios": self.ratios,
            "class_names": self.class_names,
            "photos": [{"path": p.path, "class": p.class_name, "part": p.part, "sha256": p.sha256}
                       for p in self.photos],
            "left_out": [dataclasses.asdict(left) for left in self.left_out],
        }
        return write_json(path, content)

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read a manifest. Raises DataError if it is damaged, altered, or points out of its folder."""
        try:
            content = read_json(path)
            photos = tuple(Photo(p["path"], p["class"], p["part"], p["sha256"]) for p in content["photos"])
            split = cls(content["protocol"], tuple(content["class_names"]), photos,
                        tuple(LeftOut(**left) for left in content["left_out"]), content["seed"],
                        None if content["ratios"] is None else tuple(content["ratios"]))
            stated = content["hash"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is not a split manifest ({type(error).__name__}: {error}).") from error
        for photo in photos:
            if photo.path.startswith(("/", "\\")) or ".." in photo.path.split("/") or ":" in photo.path.split("/")[0]:
                raise DataError(f"{path} names a photo outside of its dataset: {photo.path}")
        if split.hash != stated:
            raise DataError(f"{path} was altered: its photos do not give the hash that it states.")
        return split


def default_protocol(source: Source) -> str:
    """`minc:1` where label files exist, `prepared` for train/ val/ test/, else `random`."""
    if source.layout == "minc":
        return f"minc:{source.split_numbers[0]}"
    return "prepared" if source.layout == "prepared" else "random"


def check_ratios(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Three positive shares that sum to 1 (within 1e-6). Raises SettingsError."""
    if len(ratios) != 3 or any(not 0 < ratio < 1 for ratio in ratios) or abs(sum(ratios) - 1) > 1e-6:
        shown = ", ".join(f"{ratio:g}" for ratio in ratios)
        raise SettingsError(f"The train, val and test ratios must be three shares above 0 that sum to 1, "
                            f"not {shown} (sum {sum(ratios):g}).")
    train, val, test = ratios
    return train, val, test


def listed_by_protocol(source: Source, protocol: str) -> tuple[Listed, ...]:
    """The photos that a protocol is about, before anything is opened. Raises SettingsError or DataError."""
    kind, _, number = protocol.partition(":")
    if kind == "minc" and number.isdigit():
        if source.layout != "minc":
            raise DataError(f"--protocol {protocol} needs MINC-2500's layout (images/ and labels/train{number}.txt); "
                            f"{source.root} has none. Use --protocol {default_protocol(source)}.")
        return read_official_split(source, int(number))
    if protocol == "random":
        if source.layout == "prepared":
            return tuple(dataclasses.replace(photo, part=None) for photo in source.photos)
        return source.photos
    if protocol == "prepared":
        if source.layout != "prepared":
            raise DataError(f"--protocol prepared needs the folders train/ val/ test/; {source.root} has none. "
                            f"Use --protocol {default_protocol(source)}.")
        return source.photos
    raise SettingsError(f"Unknown protocol '{protocol}'. Choose minc:1 ... minc:5, random or prepared.")


def make_split(source: Source, protocol: str, hashes: Mapping[str, str], problems: Mapping[str, str], *,
               seed: int = 42, ratios: tuple[float, float, float] = RATIOS) -> Split:
    """Divide the photos of `source`.

    Args:
        hashes: SHA-256 by path, of all photos that were read.
        problems: what is wrong, by path, with those that must be left out.

    Raises:
        DataError: a class that is missing or empty in a part, or with fewer photos than parts.
    """
    listed = listed_by_protocol(source, protocol)
    left_out = tuple(LeftOut(photo.path, problems[photo.path]) for photo in listed if photo.path in problems)
    readable = [photo for photo in listed if photo.path not in problems]
    is_random = protocol == "random"
    if is_random:
        readable = _divide(readable, source.class_names, hashes, seed, check_ratios(ratios))
    order = {part: position for position, part in enumerate(PARTS)}
    photos = tuple(Photo(photo.path, photo.class_name, photo.part or "", hashes[photo.path])
                   for photo in sorted(readable, key=lambda photo: order[photo.part or ""]))
    split = Split(protocol, source.class_names, photos, left_out,
                  seed if is_random else None, ratios if is_random else None)
    _refuse_gaps(split, source)
    return split


def _refuse_gaps(split: Split, source: Source) -> None:
    gaps = [f"'{name}' in {part}" for part, counts in split.counts().items()
            for name, count in counts.items() if count == 0]
    if gaps:
        lost = f" ({len(split.left_out)} unreadable photos were left out)" if split.left_out else ""
        raise DataError(
            f"Every class must have photos in train, val and test, but in {source.root} ({split.protocol}) there are "
            f"none for {', '.join(gaps[:10])}{' and more' if len(gaps) > 10 else ''}{lost}. "
            "Add photos, remove that class folder, or divide anew with --protocol random.")


def _divide(photos: list[Listed], class_names: Sequence[str], hashes: Mapping[str, str], seed: int,
            ratios: tuple[float, float, float]) -> list[Listed]:
    """Stratified: each class is shuffled by itself, so that a class added later moves no other photo."""
    by_class: dict[str, list[Listed]] = defaultdict(list)
    for photo in photos:
        by_class[photo.class_name].append(photo)
    divided: list[Listed] = []
    for name in class_names:
        mine = sorted(by_class[name], key=lambda photo: (hashes[photo.path], photo.path))
        if len(mine) < len(PARTS):
            raise DataError(f"Class '{name}' has {len(mine)} readable photo{'s' * (len(mine) != 1)}, but each of "
                            f"train, val and test needs one. Add photos or remove the folder.")
        named = int.from_bytes(hashlib.sha256(unicodedata.normalize("NFC", name).encode()).digest()[:8], "little")
        order = np.random.default_rng([seed, named]).permutation(len(mine))
        start = 0
        for part, size in zip(PARTS, part_sizes(len(mine), ratios), strict=True):
            divided += [dataclasses.replace(mine[index], part=part) for index in sorted(order[start:start + size])]
            start += size
    return divided


def part_sizes(n: int, ratios: tuple[float, float, float]) -> tuple[int, int, int]:
    """How many of `n` >= 3 photos go to train, val and test: largest remainders, at least one each."""
    exact = [n * ratio for ratio in ratios]
    sizes = [int(share) for share in exact]
    for index in sorted(range(3), key=lambda i: (sizes[i] - exact[i], i))[: n - sum(sizes)]:
        sizes[index] += 1
    while 0 in sizes:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(0)] += 1
    return sizes[0], sizes[1], sizes[2]
