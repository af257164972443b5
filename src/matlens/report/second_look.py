"""The page's section of labels worth a second look: suspects with small pictures of their photos."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from matlens.data.decode import UnreadableImageError, decode, resize
from matlens.errors import RunFolderError
from matlens.evaluation.label_quality import LabelIssues, Suspect

SUSPECTS_SHOWN = 24
SIDE = 160
"""Of a picture, in pixels. Even photos of pure noise keep the section below half a megabyte (a test)."""


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG in base64, its longer side SIDE pixels at most."""

    base64: str
    width: int
    height: int


@dataclass(frozen=True)
class SecondLook:
    """All suspects, and those shown with their pictures; None where a photo cannot be read any more."""

    issues: LabelIssues
    shown: tuple[tuple[Suspect, Thumbnail | None], ...]


def second_look(run_dir: Path, run: Mapping[str, Any], problems: list[str]) -> SecondLook | None:
    """Read the run's suspects and their photos. None, and a line more in `problems`, where there is no list of them.

    run: the content of run.json, which says where the photos are.
    """
    try:
        issues = LabelIssues.read(run_dir / "reports" / "label_issues.json")
    except RunFolderError as error:
        problems.append(str(error))
        return None
    root, keep_truncated = run.get("data_root"), bool(run.get("settings", {}).get("keep_truncated"))
    return SecondLook(issues, tuple(
        (suspect, _thumbnail(Path(root) / suspect.path, keep_truncated) if root else None)
        for suspect in issues.issues[:SUSPECTS_SHOWN]))


def _thumbnail(path: Path, keep_truncated: bool) -> Thumbnail | None:
    try:
        pixels = decode(path.read_bytes(), min_size=(SIDE, SIDE), keep_truncated=keep_truncated)
    except (OSError, UnreadableImageError):
        return None
    scale = min(SIDE / max(pixels.shape[:2]), 1)
    height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(resize(pixels, (height, width))), quality=70,
                                  colorsubsampling="420")
    return Thumbnail(base64.b64encode(jpeg).decode("ascii"), width, height)
