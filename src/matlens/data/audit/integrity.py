"""Find photos that cannot be read, by decoding every one in full."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader, unreadable
from matlens.data.source.sources import Source
from matlens.types import Progress, unheard


def problem_with(path: Path, *, keep_truncated: bool = False) -> Problem | None:
    """Return why a file cannot be read as a photo, or None if it can."""
    pixels = PhotoReader(keep_truncated=keep_truncated).attempt(path)
    return pixels if isinstance(pixels, Problem) else None


def is_image_valid(path: str | Path) -> bool:
    """Return whether a file is a whole photo that matlens reads.

    It is decoded in full: Pillow's verify reads a header alone.

    Raises:
        DataError: this machine cannot read it now (memory, a disk, a permission), which says nothing about the photo.
    """
    return PhotoReader().read_or_none(Path(path)) is not None


def check_photos(source: Source, on_progress: Progress = unheard) -> dict[str, str]:
    """Return what is wrong with each unreadable photo of a dataset, by its path relative to the root.

    Raises:
        DataError: this machine cannot read a photo now.
    """
    problems = check_files(source.root, [photo.path for photo in source.photos], on_progress=on_progress)
    for path, problem in problems.items():
        if problem.kind == "trouble":
            raise unreadable(source.root / path, problem)
    return {path: str(problem) for path, problem in problems.items()}


def check_files(root: Path, paths: Sequence[str], *, keep_truncated: bool = False,
                on_progress: Progress = unheard) -> dict[str, Problem]:
    """Return why each unreadable one of the files `paths` below `root` cannot be read, by its path."""
    problems: dict[str, Problem] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = pool.map(lambda path: problem_with(root / path, keep_truncated=keep_truncated), paths)
        for done, (path, problem) in enumerate(zip(paths, checked, strict=True), 1):
            if problem is not None:
                problems[path] = problem
            on_progress(done, len(paths))
    return problems
