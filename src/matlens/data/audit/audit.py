"""The audit of a dataset: every photo read once, then whatever may be wrong with it. Nothing is changed."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from matlens.data.audit.checks import (
    KINDS,
    Divisions,
    Finding,
    Thresholds,
    find_broken,
    find_imbalance,
    find_misnamed,
    find_missing,
    find_odd,
    find_poor,
    find_repeated,
)
from matlens.data.audit.photo_facts import PhotoFacts, other_photos, read_facts
from matlens.data.pixels.decode import UnreadableImageError, decode
from matlens.data.source.sources import LISTS, PARTS, Source, is_hidden, is_photo, listed_in
from matlens.data.split.duplicates import near_duplicates
from matlens.data.split.splits import Split
from matlens.errors import DataError
from matlens.system.console import Reporter
from matlens.types import Pixels

_NEAR_SIDE = 64
"""Twice as many pixels are decoded at least: what is compared."""


@dataclass(frozen=True)
class Audit:
    """What was found in a dataset.

    classes: photos by class. findings: in the order of KINDS, then by path. divisions: what leaks were looked for in,
    the first one first. seconds: how long it took.
    """

    root: Path
    photos: int
    classes: Mapping[str, int]
    findings: tuple[Finding, ...]
    divisions: Divisions
    thresholds: Thresholds
    seconds: float

    def of(self, kind: str) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def only(self, kinds: tuple[str, ...]) -> Audit:
        """The same with the findings of some kinds alone."""
        return dataclasses.replace(self, findings=tuple(found for found in self.findings if found.kind in kinds))

    def as_json(self) -> dict[str, Any]:
        """What `matlens data audit --json` writes, format 1."""
        return {"format": 1, "root": os.fsencode(self.root).decode("utf-8", "replace"), "photos": self.photos,
                "classes": dict(self.classes), "findings": [dataclasses.asdict(found) for found in self.findings],
                "thresholds": dataclasses.asdict(self.thresholds), "seconds": round(self.seconds, 3)}


def audit(source: Source, split: tuple[str, Split] | None = None, thresholds: Thresholds | None = None,
          reporter: Reporter | None = None) -> Audit:
    """Read every photo of a dataset and tell what may be wrong.

    Args:
        split: a name and a division of this dataset, looked through for leaks besides the dataset's own.
        reporter: shown the progress.

    Raises:
        DataError: a list of MINC's that cannot be read, or a split of another dataset.
    """
    limits, reporter, started = thresholds or Thresholds(), reporter or Reporter(quiet=True), time.monotonic()
    there = {photo.path for photo in source.photos}
    divisions = _divisions(source, split)
    if split is not None and not any(photo.path in there for photo in split[1].photos):
        raise DataError(f"No photo of the split {split[0]} is in {source.root}: it belongs to another dataset.")
    with reporter.progress("reading photos", len(source.photos)) as advance:
        facts = read_facts(source.root, source.photos, lambda done, _: advance(done, ""))
    counts = Counter(photo.class_name for photo in source.photos)
    classes = {name: counts[name] for name in source.class_names}
    found = sorted(chain(
        find_broken(facts), find_missing(divisions, there | _listed_files(source.root, divisions, there)),
        find_misnamed(facts, list(other_photos(source.root, _other_files(source)))), find_odd(facts, limits),
        find_repeated(facts, _near(source.root, facts, reporter), divisions),
        find_imbalance(classes, _class_folders(source), limits), find_poor(facts, limits),
    ), key=lambda finding: (list(KINDS).index(finding.kind), finding.paths, finding.detail))
    return Audit(source.root, len(facts), classes, tuple(found), divisions, limits, time.monotonic() - started)


def _near(root: Path, facts: list[PhotoFacts], reporter: Reporter) -> list[list[str]]:
    """Groups of contents (SHA-256) that look the same."""
    distinct = {fact.sha256: fact for fact in facts if fact.problem is None}
    digests = sorted(distinct)

    def read(index: int) -> Pixels | None:
        try:
            return decode((root / distinct[digests[index]].path).read_bytes(), min_size=(_NEAR_SIDE, _NEAR_SIDE))
        except (OSError, UnreadableImageError):  # it was readable a moment ago
            return None

    with reporter.progress("comparing photos", len(digests)) as advance:
        groups = near_duplicates([distinct[digest].looks.hash for digest in digests], read,
                                 lambda done, _: advance(done, ""))
    return [[digests[index] for index in group] for group in groups]


def _divisions(source: Source, split: tuple[str, Split] | None) -> Divisions:
    """All divisions that are there: the one that was named, MINC's official ones, or the folders'."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    if split is not None:
        found[split[0]] = {photo.path: (photo.part,) for photo in split[1].photos}
    if source.layout == "prepared":
        found["the folders"] = {photo.path: (photo.part or "",) for photo in source.photos}
    for number in source.split_numbers:
        found[f"minc:{number}"] = _official(source.root / "labels", number)
    return found


def _official(labels: Path, number: int) -> dict[str, tuple[str, ...]]:
    """The parts of each path of an official split. Unlike `read_official_split` it takes lists with faults."""
    parts: dict[str, list[str]] = defaultdict(list)
    for listing, part in LISTS.items():
        for path in listed_in(labels / f"{listing}{number}.txt"):
            if part not in parts[path]:
                parts[path].append(part)
    return {path: tuple(sorted(listed, key=PARTS.index)) for path, listed in parts.items()}


def _listed_files(root: Path, divisions: Divisions, there: set[str]) -> set[str]:
    """Listed paths that are files, though no photos by their names."""
    listed = {path for parts_of in divisions.values() for path in parts_of} - there
    return {path for path in listed if ".." not in path.split("/") and "\0" not in path and (root / path).is_file()}


def _other_files(source: Source) -> list[str]:
    """Files in class folders that are no photos by their names, relative to the root."""
    found = []
    for top in _part_folders(source) or _class_folders(source).values():
        for place, folders, names in os.walk(source.root / top):
            folders[:] = [name for name in folders if not is_hidden(name)]
            found += [Path(place, name).relative_to(source.root).as_posix()
                      for name in names if not is_photo(name) and not is_hidden(name)]
    return sorted(filter(_is_utf8, found))


def _is_utf8(path: str) -> bool:
    return os.fsencode(path) == path.encode("utf-8", "replace")


def _part_folders(source: Source) -> set[str]:
    """train, val ... as they are called here; none where the folder is not divided."""
    return {photo.path.split("/")[0] for photo in source.photos} if source.layout == "prepared" else set()


def _class_folders(source: Source) -> dict[str, str]:
    """Each class's folder relative to the root; in a divided folder, in the first part."""
    if source.layout == "minc":
        return {name: f"images/{name}" for name in source.class_names}
    if source.layout == "folders":
        return {name: name for name in source.class_names}
    first = min(_part_folders(source), key=lambda name: (name.lower() != "train", name))
    return {name: f"{first}/{name}" for name in source.class_names}
