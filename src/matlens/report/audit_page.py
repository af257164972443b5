"""The page of an audit: one file with small pictures of what was found; no network, no script, no other file."""

from __future__ import annotations

import base64
import importlib.resources
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import Image

from matlens.console import printable
from matlens.data.audit import Audit
from matlens.data.audit_checks import KINDS, Finding
from matlens.data.decode import UnreadableImageError, decode
from matlens.files import write_text

SHOWN = 48
"""Findings of each kind that are on the page, and photos of each kind that have a picture."""

_IN_GROUP = 8
_SIDE = 160


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG in base64, `width` x `height` px; "" where there is none to show."""

    name: str
    base64: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Shown:
    """A finding with the pictures of its photos; `more`: how many of them are left out."""

    detail: str
    pictures: tuple[Thumbnail, ...]
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
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True)
    template = importlib.resources.files("matlens.report") / "audit.html.j2"
    html = environment.from_string(template.read_text(encoding="utf-8")).render(
        root=printable(os.fsencode(audit.root).decode("utf-8", "replace")), audit=audit,
        classes=[(printable(name), count) for name, count in audit.classes.items()], sections=list(_sections(audit)))
    return write_text(path, html)


def _sections(audit: Audit) -> Iterator[Section]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for kind, advice in KINDS.items():
            findings = audit.of(kind)
            if not findings:
                continue
            chosen = list(_within(findings))
            paths = [path for finding in chosen for path in finding.paths[:_IN_GROUP]]
            pictures = dict(zip(paths, pool.map(lambda path: _thumbnail(audit.root, path), paths), strict=True))
            yield Section(kind, advice, len(findings),
                          tuple(Shown(printable(finding.detail),
                                      tuple(pictures[path] for path in finding.paths[:_IN_GROUP]),
                                      max(len(finding.paths) - _IN_GROUP, 0)) for finding in chosen),
                          len(findings) - len(chosen))


def _within(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """The first findings that together show no more pictures than the page takes."""
    pictures = 0
    for finding in findings:
        pictures += min(len(finding.paths), _IN_GROUP)
        if pictures > SHOWN:
            return
        yield finding


def _thumbnail(root: Path, path: str) -> Thumbnail:
    try:
        pixels = decode((root / path).read_bytes(), min_size=(_SIDE, _SIDE))
    except (OSError, ValueError, UnreadableImageError):  # also a folder, or a name that no file can have
        return Thumbnail(printable(path))
    scale = min(_SIDE / max(pixels.shape[:2]), 1)
    width, height = (max(round(side * scale), 1) for side in pixels.shape[1::-1])
    small, file = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), io.BytesIO()
    Image.fromarray(small).save(file, "JPEG", quality=75)
    return Thumbnail(printable(path), base64.b64encode(file.getvalue()).decode("ascii"), width, height)
