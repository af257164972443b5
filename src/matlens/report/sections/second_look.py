"""The page's section of labels worth a second look: suspects with small pictures of their photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.thumbnails import THUMBNAIL_SIDE, Thumbnail, small_jpeg
from matlens.data.split.splits import Split
from matlens.errors import DataError, ResultsError
from matlens.evaluation.label_quality import LabelIssues, Suspect
from matlens.report.contents import mapping
from matlens.runs.paths import RunPaths
from matlens.system.untrusted import stays_inside

SUSPECTS_SHOWN = 24

@dataclass(frozen=True)
class SecondLook:
    """All suspects, and those shown with their pictures; None where a photo cannot be read any more."""

    issues: LabelIssues
    shown: tuple[tuple[Suspect, Thumbnail | None], ...]


def second_look(run_dir: Path, run: Mapping[str, Any], split: Mapping[str, Any], problems: list[str],
                ) -> SecondLook | None:
    """Read the run's suspects and their photos. None, and a line more in `problems`, where there is no list of them.

    Only photos of the split are shown, of the content that it states: whoever made the run has them.

    Args:
        run: the content of run.json, which says where the photos are.
        split: the content of split.json.
    """
    try:
        issues = LabelIssues.read(run_dir / "reports" / "label_issues.json")
    except ResultsError as error:
        problems.append(str(error))
        return None
    shown = issues.issues[:SUSPECTS_SHOWN]
    root, digests = run.get("data_root"), _digests(run_dir, split, {suspect.path for suspect in shown})
    reader = PhotoReader(min_size=(THUMBNAIL_SIDE, THUMBNAIL_SIDE),
                         keep_truncated=bool(mapping(run.get("settings")).get("keep_truncated")))

    def picture(path: str) -> Thumbnail | None:
        if not isinstance(root, str) or path not in digests or not stays_inside(path):
            return None
        try:
            return small_jpeg(reader.read_unchanged(Path(root) / path, digests[path]))
        except DataError:
            return None

    return SecondLook(issues, tuple((suspect, picture(suspect.path)) for suspect in shown))


def _digests(run_dir: Path, split: Mapping[str, Any], paths: set[str]) -> dict[str, str]:
    """Return the SHA-256 of some photos by their paths, as far as the split is in order."""
    if "photos_in" in split:
        try:
            known = Split.read(RunPaths(run_dir).split_file).photos if paths else ()
        except DataError:
            return {}
        return {photo.path: photo.sha256 for photo in known if photo.path in paths}
    photos = split.get("photos")
    texts = [(photo.get("path"), photo.get("sha256")) for photo in photos if isinstance(photo, dict)] if isinstance(
        photos, list) else []
    return {path: digest for path, digest in texts
            if isinstance(path, str) and path in paths and isinstance(digest, str)}
