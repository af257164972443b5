"""Take broken photos out of a folder: delete them, or move them to where they can be looked at."""

from __future__ import annotations

import os
from pathlib import Path

from matlens.data.audit.integrity import check_files
from matlens.data.audit.quarantine import REMOVABLE, free_place, leads_out, move_file, refuse_inside
from matlens.data.source.sources import is_hidden, is_photo
from matlens.errors import DataError
from matlens.system.console import Reporter


def remove_corrupted_images(data_dir: str | Path, *, quarantine: str | Path | None = None,
                            keep_truncated: bool = False) -> dict[str, str]:
    """Delete the photos below `data_dir` that are damaged, or move them away.

    Each photo is decoded in full. It is damaged if its content is: what matlens does not read (another format, more
    pixels or bytes than it takes, a pipe) and what this machine cannot read now stays, and is named in a warning. Files
    whose names are not those of photos are left alone. So are links that lead out of the folder, which are not followed
    either; a link inside it to nothing is removed.

    Args:
        quarantine: a folder outside of `data_dir` that takes the broken photos, under the same relative paths.
        keep_truncated: leave photos whose end is missing.

    Returns:
        Why each photo was removed, by its path relative to `data_dir`.

    Raises:
        DataError: there is no such folder, `quarantine` lies inside of it, or a file cannot be removed. The message
            then says what was removed before.
    """
    root, reporter = Path(data_dir), Reporter()
    if not root.is_dir():
        raise DataError(f"No such folder: {root}. Name the folder of the photos.")
    target = Path(quarantine) if quarantine is not None else None
    if target is not None:
        refuse_inside(target, root)
    paths = _own_photos(root)
    with reporter.progress("checking photos", len(paths)) as advance:
        problems = check_files(root, paths, keep_truncated=keep_truncated,
                               on_progress=lambda done, _: advance(done, ""))
    removed: dict[str, str] = {}
    for path, problem in problems.items():
        if problem.kind not in REMOVABLE or (problem.kind == "missing" and not (root / path).is_symlink()):
            reporter.warn(f"{root / path} is not read ({problem}); it may be whole, so it stays")
            continue
        try:
            if target is None:
                (root / path).unlink()
            else:
                move_file(root / path, free_place(target / path))
        except OSError as error:
            raise DataError(f"Cannot remove {root / path}: {error.strerror or error}. Before it {len(removed)} "
                            f"broken photos were removed{': ' if removed else ''}{', '.join(removed)}.") from error
        removed[path] = str(problem)
    return removed


def _own_photos(root: Path) -> list[str]:
    """Return the files below `root` whose names are those of photos, but no links that lead out of it."""
    photos = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            path = Path(place, name)
            if is_photo(name) and not (path.is_symlink() and leads_out(path, root)):
                photos.append(path.relative_to(root).as_posix())
    return sorted(photos)
