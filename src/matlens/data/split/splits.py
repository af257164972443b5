"""Divide a dataset into train, val and test, and write that division as a manifest (`split.json`)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Literal, get_args

import numpy as np

from matlens.data.layout.remarks import conversion_of, in_utf8
from matlens.data.source.sources import PARTS, Listed, Source
from matlens.data.split.division import divide
from matlens.data.split.manifest.columns import columns_beside, is_large, read_beside, write_beside
from matlens.data.split.manifest.photos import LeftOut as LeftOut
from matlens.data.split.manifest.photos import Photo as Photo
from matlens.data.split.manifest.photos import SplitPhotos, text
from matlens.data.split.protocols import folds_of, listed_by_protocol
from matlens.errors import DataError, SettingsError
from matlens.settings.protocols import draws
from matlens.system.console import command, html_table, shell_word
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import quoted, reading, stays_inside
from matlens.types import Labels

RATIOS = (0.7, 0.15, 0.15)

TrainOn = Literal["train", "train+val"]


@dataclass(frozen=True)
class CorrectedPhoto:
    """A photo whose label was corrected. given: its label before. to: after; empty where it was left out of `part`."""

    path: str
    given: str
    to: str
    part: str


@dataclass(frozen=True)
class Split:
    """Which photo is in which part.

    protocol: see `matlens.data.split.protocols`. Only a protocol that draws has seed and ratios (not of folds).
    photos: in the order train, val, test, and inside a part in the order of the protocol.
    left_out: photos that are listed but cannot be read; they are in no part.
    groups: the file or pattern by which the user named groups.
    together: groups of paths that belong together: the user's groups, and copies of one photo. A protocol that draws
        puts each into one part; others may have divided it.
    train_on: `train+val` trains on the photos of both parts, as some papers do.
    remarks: what a reader of results must know about this split.
    corrected: the photos whose labels were corrected after the parts were made.
    """

    protocol: str
    class_names: tuple[str, ...]
    photos: tuple[Photo, ...]
    left_out: tuple[LeftOut, ...] = ()
    seed: int | None = None
    ratios: tuple[float, float, float] | None = None
    groups: str | None = None
    together: tuple[tuple[str, ...], ...] = ()
    train_on: TrainOn = "train"
    remarks: tuple[str, ...] = ()
    corrected: tuple[CorrectedPhoto, ...] = ()

    def __repr__(self) -> str:
        parts = ", ".join(f"{len(self.part(name))} {name}" for name in PARTS)
        return f"Split({self.protocol}: {parts} photos of {len(self.class_names)} classes)"

    def _repr_html_(self) -> str:  # what a notebook shows
        counts = self.counts()
        rows = [(name, *(counts[part][name] for part in PARTS)) for name in self.class_names]
        return html_table(("class", *PARTS), [*rows, ("all", *(sum(counts[part].values()) for part in PARTS))])

    @cached_property
    def hash(self) -> str:
        """Return the SHA-256 of which photo is in which part under which class, wherever the dataset lies."""
        lines = sorted(f"{photo.part}\t{photo.class_name}\t{photo.path}\t{photo.sha256}" for photo in self.photos)
        whole = hashlib.sha256("\n".join(self.class_names).encode())
        for line in lines:  # one by one, since all of a million photos' lines in one text take 0.5 GB
            whole.update(f"\n{line}".encode())
        return whole.hexdigest()

    def part(self, name: str) -> tuple[Photo, ...]:
        """Return the photos to train on (train), to validate on (val) or to test on (test)."""
        parts = ("train", "val") if name == "train" and self.train_on == "train+val" else (name,)
        return tuple(photo for photo in self.photos if photo.part in parts)

    def labels(self, photos: Iterable[Photo]) -> Labels:
        """Return class numbers, (N,) int64: positions in `class_names`."""
        number = {name: index for index, name in enumerate(self.class_names)}
        return np.array([number[photo.class_name] for photo in photos], dtype=np.int64)

    def groups_of(self, photos: Sequence[Photo]) -> Labels:
        """Return the number of the group of each photo, (N,) int64; a photo that is not in `together` stands alone."""
        number = {path: group for group, paths in enumerate(self.together) for path in paths}
        return np.array([number.get(photo.path, len(self.together) + position)
                         for position, photo in enumerate(photos)], dtype=np.int64)

    def counts(self) -> dict[str, dict[str, int]]:
        """Count photos by part and class: {part: {class: n}}, every class in every part."""
        counted = Counter((photo.part, photo.class_name) for photo in self.photos)
        return {part: {name: counted[part, name] for name in self.class_names} for part in PARTS}

    def write(self, path: Path) -> Path:
        """Write the manifest, whole or not at all; of a large split, its photos as columns beside it."""
        contents = SplitPhotos(self.photos, self.together, self.left_out)
        large = is_large(contents)
        of_photos = write_beside(path, contents, self.class_names) if large else contents.to_json()
        about = {"format": 2 if large else 1, "protocol": self.protocol, "hash": self.hash, "seed": self.seed,
                 "ratios": self.ratios, "groups": self.groups, "together": of_photos.pop("together"),
                 "train_on": self.train_on, "remarks": self.remarks, "class_names": self.class_names, **of_photos}
        if self.corrected:
            about["corrected"] = [dataclasses.asdict(photo) for photo in self.corrected]
        return write_json(path, about)

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read a manifest. Raises DataError if it is damaged, was altered, or points out of its folder."""
        way_out = "If it belongs to a run, repeat that run's command (matlens run ...), which makes it again."
        with reading(path, "a split manifest", DataError, way_out):
            content = read_json(path)
            class_names = tuple(map(text, content["class_names"]))
            if "photos_in" in content:
                with reading(columns_beside(path), f"the photos of {path.name}", DataError, way_out):
                    contents = read_beside(path, class_names)
            else:
                contents = SplitPhotos.from_json(content)
            split = cls(text(content["protocol"]), class_names, contents.photos, contents.left_out,
                        content["seed"], None if content["ratios"] is None else tuple(content["ratios"]),
                        content.get("groups"), contents.together,
                        content.get("train_on", "train"), tuple(map(text, content.get("remarks", ()))), tuple(
                            CorrectedPhoto(*(text(entry[key]) for key in ("path", "given", "to", "part")))
                            for entry in content.get("corrected", ())))
            if split.train_on not in get_args(TrainOn):
                raise ValueError(f"train_on is {split.train_on!r}")
            if unknown := {photo.class_name for photo in split.photos} - set(split.class_names):
                raise ValueError(f"it has photos of {min(unknown)}, which is none of its classes")
            for photo in split.photos:
                if not stays_inside(photo.path):
                    raise DataError(f"{path} names a photo outside of its dataset: '{photo.path}'. Use a split.json "
                                    "that matlens made.")
            if split.hash != content["hash"]:
                raise DataError(f"{path} was altered: its photos do not give the hash that it states. Use an unchanged "
                                "copy, or start a new run.")
        return split


def check_ratios(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return three positive shares that sum to 1 (within 1e-6). Raises SettingsError for others."""
    if len(ratios) != 3 or any(not 0 < ratio < 1 for ratio in ratios) or abs(sum(ratios) - 1) > 1e-6:
        shown = ", ".join(f"{ratio:g}" for ratio in ratios)
        raise SettingsError(f"The train, val and test ratios must be three shares above 0 that sum to 1, "
                            f"not {shown} (sum {sum(ratios):g}). The default is 0.7, 0.15, 0.15.")
    train, val, test = ratios
    return train, val, test


def make_split(source: Source, protocol: str, hashes: Mapping[str, str], problems: Mapping[str, str], *,
               seed: int = 42, ratios: tuple[float, float, float] = RATIOS, together: Sequence[tuple[str, ...]] = (),
               groups: str | None = None, train_on: TrainOn = "train") -> Split:
    """Divide the photos of `source`.

    Args:
        hashes: SHA-256 by path, of all photos that were read.
        problems: by path, what is wrong with the photos that must be left out.
        together: disjoint groups of paths; a protocol that draws puts each group into one part.
        groups: the file or pattern by which the user named groups.

    Raises:
        DataError: a class has no photo that matlens reads, none in a part, or fewer photos than there are parts.
    """
    listed = listed_by_protocol(source, protocol)
    _refuse_empty(source)
    left_out = tuple(LeftOut(photo.path, problems[photo.path]) for photo in listed if photo.path in problems)
    readable = [photo for photo in listed if photo.path not in problems]
    drawn = draws(protocol)
    is_fold = protocol.startswith("kfold:")
    if drawn:
        names = {path: str(number) for number, group in enumerate(together) for path in group}
        folds, fold = folds_of(protocol) if is_fold else (0, 0)
        shares = (1 / folds,) * folds if is_fold else check_ratios(ratios)
        _refuse_unreadable(source, readable, left_out, len(shares))
        divided = divide(readable, source.class_names, hashes, shares, seed, names, _why_together(groups, source))
        parts = [_part_of_fold(number, folds, fold) for number in range(1, folds + 1)] if is_fold else PARTS
        readable = [dataclasses.replace(photo, part=part) for part, photos in zip(parts, divided, strict=True)
                    for photo in photos]
    order = {part: position for position, part in enumerate(PARTS)}
    photos = tuple(Photo(photo.path, photo.class_name, photo.part or "", hashes[photo.path])
                   for photo in sorted(readable, key=lambda photo: order[photo.part or ""]))
    split = Split(protocol, source.class_names, photos, left_out, seed if drawn else None,
                  ratios if drawn and not is_fold else None, groups, tuple(together), train_on)
    refuse_gaps(split, source)
    return split


def _part_of_fold(number: int, folds: int, tested: int) -> str:
    """Return the part of a fold: fold `tested` is test, and the next fold (after the last the first) is val."""
    return "test" if number == tested else "val" if number == tested % folds + 1 else "train"


def _refuse_empty(source: Source) -> None:
    """Raise DataError for a class folder without a photo, and say what is in it instead."""
    for name in sorted(set(source.class_names) - {photo.class_name for photo in source.photos}):
        above = tuple(f"{folder}/" for folder in source.folders.get(name, ()))
        pictures = [unused.path for unused in source.unused
                    if unused.kind == "format" and unused.path.startswith(above)]
        others = [path for path in source.others if path.startswith(above)]
        away = sum(unused.kind == "placeholder" and unused.path.startswith(above) for unused in source.unused)
        closed = [unused for unused in source.unused if unused.kind == "folder"
                  and f"{unused.path}/".startswith(above)]
        if closed:
            why = f"{closed[0].path} cannot be read ({closed[0].detail}). Change its permissions"
        elif pictures:
            endings = ", ".join(sorted({PurePath(path).suffix.lower() for path in pictures}))
            why = (f"its {len(pictures)} pictures are in a format that matlens does not read ({endings}). Convert them "
                   f"to JPEG, for example with: {conversion_of(str(source.root / pictures[0]))}")
        elif away:
            why = (f"its {away} photos are in iCloud and not on this disk. Download them (in the Finder, open the "
                   "folder's menu and choose Download Now)")
        elif others:
            why = f"its {len(others)} files, such as {others[0]}, are no photos by their names. Rename them"
        else:
            why = "its folder is empty. Add photos"
        raise DataError(f"Class '{name}' has 0 photos in {source.root}: {in_utf8(why)}, or remove the folder.")


def _refuse_unreadable(source: Source, readable: Sequence[Listed], left_out: Sequence[LeftOut], parts: int) -> None:
    """Raise DataError for a class of which too few photos can be read, and say why they cannot."""
    counted, class_of = Counter(photo.class_name for photo in readable), {p.path: p.class_name for p in source.photos}
    for name in source.class_names:
        lost = [left for left in left_out if class_of[left.path] == name]
        if lost and counted[name] < parts <= counted[name] + len(lost):
            raise DataError(f"Class '{name}' has {counted[name]} readable photos, but each of the {parts} parts needs "
                            f"one. {len(lost)} photos cannot be read, such as {lost[0].path}: {lost[0].reason}. Get "
                            "these files anew, add photos, or remove the folder.")


def _why_together(groups: str | None, source: Source) -> str:
    """Say what keeps photos together, and the way out."""
    audit = command("data", "audit", source.root, "--kind", "exact_duplicate", "--kind", "near_duplicate")
    if groups is None:
        return f"They are copies of one photo, exact or nearly so; this lists them: {audit}"
    return (f"They belong together by --groups {shell_word(groups)}, or as copies of one photo; let --groups name "
            f"smaller groups or leave it out, and list the copies with: {audit}")


def gaps_of(split: Split) -> str:
    """Name the classes of which parts have no photo, ten at most; empty where there are none."""
    gaps = [f"{quoted(name)} in {part}" for part, counts in split.counts().items()
            for name, count in counts.items() if count == 0]
    return ", ".join(gaps[:10]) + " and more" * (len(gaps) > 10)


def refuse_gaps(split: Split, source: Source) -> None:
    """Raise DataError where a part has no photo of a class."""
    gaps = gaps_of(split)
    if not gaps:
        return
    empty = [part for part, counts in split.counts().items() if not any(counts.values())]
    lost = f" ({len(split.left_out)} unreadable photos were left out)" if split.left_out else ""
    loose = sum(unused.kind == "loose" for unused in source.unused)
    where = ""
    if empty:
        aside = f" ({loose} photo{'s' * (loose != 1)} in no class folder)" if loose else ""
        where = f"in {' and '.join(empty)}{aside}: none "
    raise DataError(
        f"Every class must have photos in train, val and test, but in {source.root} ({split.protocol}) there are "
        f"none {where}for {gaps}{lost}. "
        "Add photos, remove that class folder, or divide the photos again with --protocol random.")
