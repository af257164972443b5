"""Runs, splits and results for tests: one place makes them, so a change of theirs changes one place."""

from __future__ import annotations

from pathlib import Path

from matlens.data.split.splits import Photo, Split
from matlens.runs.run import Run
from matlens.settings.schema import Settings

CLASSES = ("a", "b")


def split_of(class_names: tuple[str, ...] = CLASSES, per_class: int = 2, **changes: object) -> Split:
    """A split with so many photos of each class in each part; there are no such files."""
    photos = tuple(Photo(f"{part}/{name}/{number}.jpg", name, part, f"{part}-{name}-{number}")
                   for part in ("train", "val", "test") for name in class_names for number in range(per_class))
    return Split("random", class_names, photos, **changes)  # type: ignore[arg-type]


def begin_run(path: Path, settings: Settings | None = None, split: Split | None = None, data_root: Path | None = None,
              ) -> Run:
    """The folder of a run in which nothing was trained yet."""
    return Run.begin(path, settings or Settings(), data_root or path.parent, split or split_of())
