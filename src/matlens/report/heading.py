"""The head of a page: the dataset's name, and what was done with it, when and by which version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matlens.report.contents import photo_counts
from matlens.report.words import number

_NO_NAME = "Report of a run"
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")


@dataclass(frozen=True)
class Heading:
    """A page's title, and facts below it; those that nobody recorded are left out."""

    title: str
    facts: tuple[str, ...]


def heading_of(run: Mapping[str, Any], split: Mapping[str, Any], title: str | None = None) -> Heading:
    """Make the head of a run's page from the contents of run.json and split.json.

    title: of the user's; the dataset's name is then the first fact.
    """
    name = dataset_name(run.get("data_root"))
    photos, classes = sum(photo_counts(split).values()), split.get("class_names")
    versions = run.get("versions")
    facts = (title and name, photos and f"{number(photos)} photos",
             isinstance(classes, list) and classes and f"{number(len(classes))} classes", _day(run.get("started")),
             isinstance(versions, dict) and versions.get("matlens") and f"matlens {versions['matlens']}")
    return Heading(str(title or name or _NO_NAME), tuple(str(fact) for fact in facts if fact))


def dataset_name(root: Any) -> str:
    """Return the name of a dataset's folder, of whatever system; empty where it is not known."""
    return re.split(r"[/\\]", root.rstrip("/\\"))[-1] if isinstance(root, str) else ""


def _day(started: Any) -> str:
    """Write the day of a time stamp (ISO 8601) as 28 November 2026; empty where there is none."""
    try:
        day = datetime.fromisoformat(started)
    except (TypeError, ValueError):
        return ""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
