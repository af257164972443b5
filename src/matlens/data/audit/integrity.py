"""Which photos cannot be read: by decoding every one in full."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matlens.data.pixels.decode import UnreadableImageError, read_photo
from matlens.data.source.sources import Source
from matlens.types import Progress


def problem_with(path: Path, *, keep_truncated: bool = False) -> str | None:
    """Why a file cannot be read as a photo, or None if it can."""
    try:
        read_photo(path, keep_truncated=keep_truncated)
    except UnreadableImageError as error:
        return str(error)
    return None


def is_image_valid(path: str | Path) -> bool:
    """Whether a file is a whole photo. Decodes it in full: a header alone, as Pillow's verify reads, proves little."""
    return problem_with(Path(path)) is None




def check_photos(source: Source, on_progress: Progress = lambda done, total: None) -> dict[str, str]:
    """What is wrong with each unreadable photo of a dataset, by its path relative to the root."""
    return check_files(source.root, [photo.path for photo in source.photos], on_progress=on_progress)


def check_files(root: Path, paths: Sequence[str], *, keep_truncated: bool = False,
                on_progress: Progress = lambda done, total: None) -> dict[str, str]:
    """The same for any files below `root`."""
    problems = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: problem_with(root / path, keep_truncated=keep_truncated), paths)
        for done, (path, problem) in enumerate(zip(paths, found, strict=True), 1):
            if problem is not None:
                problems[path] = problem
            on_progress(done, len(paths))
    return problems
