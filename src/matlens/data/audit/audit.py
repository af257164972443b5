"""Audit a dataset: read every photo once and collect whatever may be wrong. Nothing is changed."""

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

from matlens.data.audit.cached_facts import cached_facts
from matlens.data.audit.checks import (
    ADVICE,
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
from matlens.data.hidden.find import HiddenGroups
from matlens.data.hidden.photos import hidden_among
from matlens.data.pixels.reader import PhotoReader
from matlens.data.source.sources import LISTS, PARTS, Source, listed_in
from matlens.data.split.duplicates import find_copies
from matlens.data.split.splits import Split
from matlens.errors import DataError
from matlens.system.console import Reporter
from matlens.types import Pixels

_NEAR_SIDE = 64
"""Half the side that near-duplicates are compared at: the decoder keeps at least twice this size."""


@dataclass(frozen=True)
class Audit:
    """The findings of an audit.

    classes: how many photos each class has. findings: in the order of ADVICE, then by path. divisions: where leaks were
    looked for, the most important division first. seconds: how long the audit took. hidden: the surest groups of photos
    of one object or scene, if names or times show some.
    """

    root: Path
    photos: int
    classes: Mapping[str, int]
    findings: tuple[Finding, ...]
    divisions: Divisions
    thresholds: Thresholds
    seconds: float
    hidden: HiddenGroups | None = None

    def of(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def only(self, kinds: tuple[str, ...]) -> Audit:
        """Return this audit with the findings of these kinds alone."""
        return dataclasses.replace(self, findings=tuple(finding for finding in self.findings if finding.kind in kinds))

    def as_json(self) -> dict[str, Any]:
        """Return what `matlens data audit --json` writes, format 1."""
        return {"format": 1, "root": os.fsencode(self.root).decode("utf-8", "replace"), "photos": self.photos,
                "classes": dict(self.classes), "findings": [dataclasses.asdict(finding) for finding in self.findings],
                "thresholds": dataclasses.asdict(self.thresholds), "seconds": round(self.seconds, 3),
                "hidden_groups": self.hidden and {"option": self.hidden.option,
                                                  "groups": [list(group) for group in self.hidden.proposal.groups],
                                                  **dataclasses.asdict(self.hidden.evidence)}}


def audit(source: Source, split: tuple[str, Split] | None = None, thresholds: Thresholds | None = None,
          reporter: Reporter | None = None, cache_dir: Path | None = None) -> Audit:
    """Read every photo of a dataset and collect what may be wrong.

    Args:
        split: the name and the content of a split of this dataset, in which leaks are looked for before the dataset's
            own divisions.
        reporter: shows the progress.
        cache_dir: where the facts of photos are cached; None: nowhere.

    Raises:
        DataError: one of MINC's lists cannot be read, or the split belongs to another dataset.
    """
    limits, reporter, started = thresholds or Thresholds(), reporter or Reporter(quiet=True), time.monotonic()
    there = {photo.path for photo in source.photos}
    divisions = _divisions(source, split)
    if split is not None and not any(photo.path in there for photo in split[1].photos):
        raise DataError(f"No photo of the split {split[0]} is in {source.root}: it belongs to another dataset. Give "
                        "--split the split.json of a run on this dataset, or leave it out.")
    with reporter.progress("reading photos", len(source.photos)) as advance:
        def on_progress(done: int, _: int) -> None:
            advance(done, "")

        facts = (read_facts(source.root, source.photos, on_progress) if cache_dir is None else
                 cached_facts(source.root, source.photos, cache_dir, on_progress, reporter.say))
    counts = Counter(photo.class_name for photo in source.photos)
    classes = {name: counts[name] for name in source.class_names}
    folders = {name: paths[0] for name, paths in source.folders.items()}
    findings = sorted(chain(
        find_broken(facts), find_missing(divisions, there | _listed_files(source.root, divisions, there)),
        find_misnamed(facts, list(other_photos(source.root, list(filter(_is_utf8, source.others))))),
        find_odd(facts, limits),
        find_repeated(facts, near_copies(source.root, facts, reporter), divisions),
        find_imbalance(classes, folders, limits), find_poor(facts, limits),
    ), key=lambda finding: (list(ADVICE).index(finding.kind), finding.paths, finding.detail))
    hidden = _hidden(source.root, facts, reporter)
    return Audit(source.root, len(facts), classes, tuple(findings), divisions, limits, time.monotonic() - started,
                 hidden)


def _hidden(root: Path, facts: list[PhotoFacts], reporter: Reporter) -> HiddenGroups | None:
    """Return the surest groups that names or times of the readable photos show."""
    readable = {fact.path: fact for fact in facts if fact.problem is None}
    reader = PhotoReader(min_size=(_NEAR_SIDE, _NEAR_SIDE))
    found = hidden_among(root, {path: fact.class_name for path, fact in readable.items()},
                         lambda path: reader.read_or_none(root / path, readable[path].sha256), reporter)
    return found[0] if found else None


def near_copies(root: Path, facts: list[PhotoFacts], reporter: Reporter) -> list[tuple[list[str], tuple[str, ...]]]:
    """Return groups of contents (SHA-256) that look the same, each with what tells its photos apart."""
    distinct = {fact.sha256: fact for fact in facts if fact.problem is None}
    digests, reader = sorted(distinct), PhotoReader(min_size=(_NEAR_SIDE, _NEAR_SIDE))

    def read(index: int) -> Pixels | None:
        return reader.read_or_none(root / distinct[digests[index]].path, digests[index])

    with reporter.progress("comparing photos", len(digests)) as advance:
        groups = find_copies([distinct[digest].looks.signature for digest in digests], read,
                             lambda done, _: advance(done, ""))
    return [([digests[index] for index in group.indices], group.changes) for group in groups]


def _divisions(source: Source, split: tuple[str, Split] | None) -> Divisions:
    """Return all divisions: the split that was named, then the folders or MINC's official splits."""
    divisions: dict[str, dict[str, tuple[str, ...]]] = {}
    if split is not None:
        divisions[split[0]] = {photo.path: (photo.part,) for photo in split[1].photos}
    if source.layout == "prepared":
        divisions["the folders"] = {photo.path: (photo.part or "",) for photo in source.photos}
    for number in source.split_numbers:
        divisions[f"minc:{number}"] = _official(source.root / "labels", number)
    return divisions


def _official(labels: Path, number: int) -> dict[str, tuple[str, ...]]:
    """Return the parts of each path of an official split. Unlike `read_official_split` it accepts lists with faults."""
    parts: dict[str, list[str]] = defaultdict(list)
    for listing, part in LISTS.items():
        for path in listed_in(labels / f"{listing}{number}.txt"):
            if part not in parts[path]:
                parts[path].append(part)
    return {path: tuple(sorted(listed, key=PARTS.index)) for path, listed in parts.items()}


def _listed_files(root: Path, divisions: Divisions, there: set[str]) -> set[str]:
    """Return listed paths that are files, although their names are not those of photos."""
    listed = {path for parts_of in divisions.values() for path in parts_of} - there
    return {path for path in listed if ".." not in path.split("/") and "\0" not in path and (root / path).is_file()}


def _is_utf8(path: str) -> bool:
    return os.fsencode(path) == path.encode("utf-8", "replace")
