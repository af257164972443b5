"""Temporary folders beside what is being written: marked as matlens' own, and known to be in use while they are.

    .<name>.<number>.partial/
        .lock               held by the process that writes; its content says that the folder is matlens' own
        <name>              the file or folder that is being written, or that is being removed
        <name>.replaced     the folder that made room for it

A folder without such a lock is not matlens' own, whatever its name is, and stays. An empty one, which a process leaves
that is killed at its first step, is removed in folders that are matlens' own only. Earlier versions wrote to
`.<stem>.<pid>.partial<suffix>` itself; `sweep` removes these in folders that are matlens' own, for files of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from matlens.system.ownership.locks import CONTENT, LOCK_NAME, is_lock, lock_at

_REPLACED = ".replaced"

_LONGEST = 200
"""Bytes of a name in that of its temporary folder: file systems have a limit of some 255."""

_LEFT_AFTER = 86_400
"""Seconds after which no process writes to a temporary folder any more, where no lock tells."""

_DIGITS = 13
"""Of the number of a temporary folder: those of 5 random bytes, with zeros before them."""

_NEW_NAME = re.compile(rf"\..+\.\d{{{_DIGITS}}}\.partial")
_PARTIAL_NAME = re.compile(r"\.(.+)\.\d+\.partial(\..+)?")
_REPLACED_NAME = re.compile(r"\.(.+)\.\d+\.replaced(\..+)?")


def whole_of(partial: Path) -> Path | None:
    """Return the path that a temporary file or folder is for, going by its name; None if it is not named as one."""
    match = _PARTIAL_NAME.fullmatch(partial.name)
    return match and partial.with_name(match[1] + (match[2] or ""))


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Give a place, named as `path` is, in a new temporary folder beside `path`, which is removed at the end.

    What killed processes left of such folders for `path` is removed first. Missing parent folders are made.

    Raises:
        OSError: the folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    reclaim_beside(path)
    folder = path.with_name(f".{_stem(path)}.{int.from_bytes(os.urandom(5)):0{_DIGITS}}.partial")
    folder.mkdir()
    lock = lock_at(folder / LOCK_NAME)
    try:
        _marked(folder, lock)
        yield folder / path.name
    finally:
        _settle(folder)
        lock.release()
        _settle(folder)  # some systems keep a file while it is open


def replaced_in(partial: Path) -> Path:
    """Name the place to which the old folder goes that makes room for `partial`."""
    return partial.with_name(f"{partial.name}{_REPLACED}")


def _stem(path: Path) -> str:
    return os.fsdecode(os.fsencode(path.name)[:_LONGEST])


def _marked(folder: Path, lock: FileLock) -> None:
    """Hold the lock of a new folder; where the file system has none, mark the folder: others then go by its age."""
    try:
        lock.acquire(blocking=False)
    except OSError:
        (folder / LOCK_NAME).write_bytes(CONTENT)


def is_temporary(folder: Path) -> bool:
    """Return whether this is a temporary folder of matlens', by the lock in it.

    A process may be killed before it has written whose the lock is: a folder with a number as matlens gives it may hold
    nothing but an empty lock.
    """
    if whole_of(folder) is None or folder.is_symlink() or not folder.is_dir():
        return False
    lock = folder / LOCK_NAME
    try:
        content = [item.name for item in folder.iterdir()]
    except OSError:
        return False
    return is_lock(lock, empty=content == [LOCK_NAME] and _NEW_NAME.fullmatch(folder.name) is not None)


def is_unfilled(folder: Path) -> bool:
    """Return whether this may be a temporary folder of a process that was killed before it made the lock.

    Nothing in it says whose it is: the caller must know that the folder around it is matlens' own.
    """
    if _NEW_NAME.fullmatch(folder.name) is None or folder.is_symlink() or not folder.is_dir():
        return False
    with suppress(OSError):
        return not any(folder.iterdir())
    return False


def reclaim_beside(path: Path) -> None:
    """Remove what killed processes left of temporary folders for `path`; one that a living process uses stays."""
    prefix, whole = f".{_stem(path)}.", path.with_name(_stem(path))
    with suppress(OSError):  # a folder that may be written, but not listed
        for left in [Path(entry.path) for entry in os.scandir(path.parent) if entry.name.startswith(prefix)]:
            if whole_of(left) == whole and is_temporary(left):
                _reclaim(left)


def _reclaim(folder: Path) -> None:
    """Remove a temporary folder, unless a living process uses it."""
    lock = lock_at(folder / LOCK_NAME)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return
    except OSError:  # no locks here, or another process removed the folder
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LEFT_AFTER:
                _settle(folder)
        return
    _settle(folder)
    lock.release()
    _settle(folder)


def _settle(folder: Path) -> None:
    """Put a folder back that had made room, unless the new one is in its place; and remove the temporary folder."""
    for replaced in folder.glob(f"*{_REPLACED}"):
        whole = folder.with_name(replaced.name.removesuffix(_REPLACED))
        if not whole.exists():
            try:
                replaced.replace(whole)
            except OSError:
                return
    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, names: Collection[str], stems: Collection[str] = ()) -> None:
    """Remove what killed processes left unfinished in a folder that is matlens' own, as what has these names is.

    A folder that had made room for a new one is put back, unless the new one is in its place.

    Args:
        names: of the files and folders in `folder` that are matlens' own; it may hold others' too. No process may be
            writing there now.
        stems: how the names begin of the files and folders that matlens writes in these folders, and the names of
            folders in which all is its own. What an earlier version left is known by nothing else.
    """
    for above, folders, files in os.walk(folder):
        is_top = Path(above) == folder
        for name in [*folders, *files]:
            left = Path(above, name)
            if is_temporary(left):
                _reclaim(left)
            elif (whole := whole_of(left) or _made_room_for(left)) and (whole.name in names if is_top else (
                    whole.name.startswith(tuple(stems)) or whole.parent.name in stems)):
                _sweep_earlier(left)
        folders[:] = [name for name in folders if not is_top or name in names]


def _sweep_earlier(left: Path) -> None:
    """Remove what an earlier version left: the file or folder that it wrote to, or moved aside, which is put back."""
    whole = _made_room_for(left)
    if whole is not None and not whole.exists():
        with suppress(OSError):
            left.replace(whole)
    _remove(left)


def _made_room_for(left: Path) -> Path | None:
    match = _REPLACED_NAME.fullmatch(left.name)
    return match and left.with_name(match[1] + (match[2] or ""))


def _remove(left: Path) -> None:
    with suppress(OSError):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
