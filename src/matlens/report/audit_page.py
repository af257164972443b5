"""The page of an audit: one file with small pictures of what was found; no network, no script, no other file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from matlens.data.audit.audit import Audit
from matlens.data.audit.checks import ADVICE
from matlens.data.audit.merged import Issue, issues_of
from matlens.data.pixels.thumbnails import Thumbnail, thumbnail
from matlens.report.heading import dataset_name
from matlens.report.templating import write_page
from matlens.system.console import printable

FINDINGS_SHOWN = 48
"""Findings of each kind that are on the page, and photos of each kind that have a picture."""

_IN_GROUP = 8
_TITLES = {"leak": "Leaks: the same photo in several parts", "two_classes": "The same photo in two classes",
           "exact_duplicate": "Identical files", "near_duplicate": "Almost identical photos"}


@dataclass(frozen=True)
class ShownPhoto:
    """A photo's name, and its picture if there is one to show."""

    name: str
    picture: Thumbnail | None


@dataclass(frozen=True)
class Shown:
    """An issue with its photos; `more`: how many of them are left out.

    details: (kind, sentence) of each finding. advice: what to do, where that differs from the section's; else empty.
    """

    details: tuple[tuple[str, str], ...]
    advice: str
    photos: tuple[ShownPhoto, ...]
    more: int


@dataclass(frozen=True)
class Section:
    """The issues whose gravest finding is of one kind; `more`: how many of them are left out."""

    kind: str
    title: str
    advice: str
    count: int
    findings: tuple[Shown, ...]
    more: int


def write_audit_page(path: Path, audit: Audit) -> Path:
    """Write the page of an audit, whole or not at all; the photos must still lie where they were found."""
    root = printable(os.fsencode(audit.root.absolute()).decode("utf-8", "replace"))
    issues = issues_of(audit)
    return write_page(
        path, "audit.html.j2", {}, name=dataset_name(root) or root, root=root, audit=audit, n_issues=len(issues),
        classes=[(printable(name), count) for name, count in audit.classes.items()],
        sections=list(_sections(audit, issues)))


def _sections(audit: Audit, issues: tuple[Issue, ...]) -> Iterator[Section]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for kind, of_kind in groupby(issues, key=lambda issue: issue.kind):
            all_issues = list(of_kind)
            chosen = list(_within(all_issues))
            paths = [path for issue in chosen for path in issue.paths[:_IN_GROUP]]
            pictures = dict(zip(paths, pool.map(lambda path: thumbnail(audit.root / path), paths), strict=True))
            advice = ADVICE[kind]
            shown = tuple(Shown(tuple((_words(finding.kind), printable(finding.detail)) for finding in issue.findings),
                                "" if issue.advice == advice else issue.advice,
                                tuple(ShownPhoto(printable(path), pictures[path]) for path in issue.paths[:_IN_GROUP]),
                                max(len(issue.paths) - _IN_GROUP, 0)) for issue in chosen)
            yield Section(kind, _TITLES.get(kind, _words(kind)), advice, len(all_issues), shown,
                          len(all_issues) - len(chosen))


def _words(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


def _within(issues: Sequence[Issue]) -> Iterator[Issue]:
    """Choose the first issues that together show no more pictures than the page takes."""
    pictures = 0
    for issue in issues:
        pictures += min(len(issue.paths), _IN_GROUP)
        if pictures > FINDINGS_SHOWN:
            return
        yield issue

