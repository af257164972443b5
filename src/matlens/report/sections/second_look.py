"""The page's section of labels worth a second look: suspects with small pictures of their photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.pixels.thumbnails import Thumbnail, thumbnail
from matlens.errors import ResultsError
from matlens.evaluation.label_quality import LabelIssues, Suspect
from matlens.system.untrusted import stays_inside

SUSPECTS_SHOWN = 24

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
    except ResultsError as error:
        problems.append(str(error))
        return None
    root, keep_truncated = run.get("data_root"), bool(run.get("settings", {}).get("keep_truncated"))
    return SecondLook(issues, tuple(
        (suspect, thumbnail(Path(root) / suspect.path, keep_truncated=keep_truncated)
         if root and stays_inside(suspect.path) else None)
        for suspect in issues.issues[:SUSPECTS_SHOWN]))

