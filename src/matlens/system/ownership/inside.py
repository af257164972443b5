"""Refuse what leads out of a folder that a stranger may have made, before anything in it is read or written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path


def ways_out(folder: Path, names: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield what may not be opened of some files and folders in `folder`, and of all below them; and why.

    These are links that lead out of `folder` or nowhere, and what is neither a file nor a folder. Links that stay
    inside are followed, and what they lead to is looked at too. `folder` itself may be a link.

    Raises:
        OSError: a folder cannot be listed.
    """
    root, seen = folder.resolve(), set[Path]()
    waiting = [folder / name for name in names if os.path.lexists(folder / name)]
    while waiting:
        path = waiting.pop()
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):  # of links in a circle, Python 3.12 and earlier raise RuntimeError
            yield path, "is a link that leads nowhere"
            continue
        mode = target.lstat().st_mode
        if not target.is_relative_to(root):
            yield path, f"leads out of the folder, to {target}"
        elif stat.S_ISDIR(mode):
            if target not in seen:
                seen.add(target)
                waiting += [path / below.name for below in target.iterdir()]
        elif not stat.S_ISREG(mode):
            yield path, "is neither a file nor a folder"
