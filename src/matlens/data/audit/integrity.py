"""Find photos that cannot be read, by decoding every one in full."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matlens.data.pixels.reader import PhotoReader
from matlens.data.source.sources import Source
from matlens.types import Progress, unheard


def problem_with(path: Path, *, keep_truncated: bool = False) -> str | None:
    """Return why a file cannot be read as a photo, or None if it can."""
    pixels = PhotoReader(keep_truncated=keep_truncated).attempt(path)
    return pixels if isinstance(pixels, str) else None


def is_image_valid(path: str | Path) -> bool:
    """Return whether a file is a whole photo. It is decoded in full: Pillow's verify reads a header alone."""
    return problem_with(Path(path)) is None


def check_photos(source: Source, on_progress: Progress = unheard) -> dict[str, str]:
    """Return what is wrong with each unreadable photo of a dataset, by its path relative to the root."""
    return check_files(source.root, [photo.path for photo in source.photos], on_progress=on_progress)


def check_files(root: Path, paths: Sequence[str], *, keep_truncated: bool = False,
                on_progress: Progress = unheard) -> dict[str, str]:
    """Return what is wrong with each unreadable one of the files `paths` below `root`, by its path."""
    problems = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = pool.map(lambda path: problem_with(root / path, keep_truncated=keep_truncated), paths)
        for done, (path, problem) in enumerate(zip(paths, checked, strict=True), 1):
            if problem is not None:
                problems[path] = problem
            on_progress(done, len(paths))
    return problems
