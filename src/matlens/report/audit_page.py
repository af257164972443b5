"""The page of an audit: one file with small pictures of what was found; no network, no script, no other file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from matlens.data.audit.audit import Audit
from matlens.data.audit.checks import ADVICE, Finding
from matlens.data.pixels.thumbnails import Thumbnail, thumbnail
from matlens.report.templating import write_page
from matlens.system.console import printable

FINDINGS_SHOWN = 48
"""Findings of each kind that are on the page, and photos of each kind that have a picture."""

_IN_GROUP = 8


@dataclass(frozen=True)
class ShownPhoto:
    """A photo's name, and its picture if there is one to show."""

    name: str
    picture: Thumbnail | None


@dataclass(frozen=True)
class Shown:
    """A finding with its photos; `more`: how many of them are left out."""

    detail: str
    photos: tuple[ShownPhoto, ...]
    more: int


@dataclass(frozen=True)
class Section:
    """The findings of one kind; `more`: how many of them are left out."""

    kind: str
    advice: str
    count: int
    findings: tuple[Shown, ...]
    more: int


def write_audit_page(path: Path, audit: Audit) -> Path:
    """Write the page of an audit, whole or not at all; the photos must still lie where they were found."""
    return write_page(
        path, "audit.html.j2", {}, root=printable(os.fsencode(audit.root).decode("utf-8", "replace")), audit=audit,
        classes=[(printable(name), count) for name, count in audit.classes.items()], sections=list(_sections(audit)))


def _sections(audit: Audit) -> Iterator[Section]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for kind, advice in ADVICE.items():
            findings = audit.of(kind)
            if not findings:
                continue
            chosen = list(_within(findings))
            paths = [path for finding in chosen for path in finding.paths[:_IN_GROUP]]
            pictures = dict(zip(paths, pool.map(lambda path: thumbnail(audit.root / path), paths), strict=True))
            shown = tuple(Shown(printable(finding.detail),
                                tuple(ShownPhoto(printable(path), pictures[path])
                                      for path in finding.paths[:_IN_GROUP]),
                                max(len(finding.paths) - _IN_GROUP, 0)) for finding in chosen)
            yield Section(kind, advice, len(findings), shown, len(findings) - len(chosen))


def _within(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Choose the first findings that together show no more pictures than the page takes."""
    pictures = 0
    for finding in findings:
        pictures += min(len(finding.paths), _IN_GROUP)
        if pictures > FINDINGS_SHOWN:
            return
        yield finding

