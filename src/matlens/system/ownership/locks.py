"""Locks of the operating system, held by means of files that say whose they are.

A lock ends with the process that holds it, however that ends. Its file holds CONTENT, by which it is known as matlens'
own: a file of another content is never locked, changed or removed. Earlier versions left empty files.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from matlens.system.untrusted import open_regular

LOCK_NAME = ".lock"
"""In a folder of matlens' own: held by the process that is at work there."""

CONTENT = b"matlens is, or was, at work here\n"

PATIENCE = 1.0
"""Seconds of waiting before the user is told: opening an entry of the cache takes less, making one takes longer."""


def lock_at(file: Path) -> FileLock:
    """Return a lock that is held by means of this file. Acquiring it makes missing folders.

    Acquiring raises Timeout, or OSError where the file system has no locks or the file is not matlens' own.
    """
    # The process holds it, not the thread: the main thread releases what a helper thread marked. And no imitation of a
    # lock where the file system has none: that would outlive its process.
    return FileLock(file, thread_local=False, fallback_to_soft=False, on_acquired=_claim)


def _claim(descriptor: int) -> None:
    """Write whose the file is. Raises OSError for a file of other content, or with another name elsewhere."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    content, about = os.read(descriptor, len(CONTENT) + 1), os.fstat(descriptor)
    if content not in (b"", CONTENT) or about.st_nlink > 1 or not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EEXIST, "a file that is not matlens' own lies there")
    if not content:
        os.write(descriptor, CONTENT)


def is_lock(file: Path, *, empty: bool = False) -> bool:
    """Return whether a file is a lock of matlens', by its content.

    empty: an empty file counts too, as earlier versions left it.
    """
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return False
        with open_regular(file) as opened:
            content = opened.read(len(CONTENT) + 1)
    except (OSError, ValueError):
        return False
    return content == CONTENT or (empty and not content)


def let_go(lock: FileLock) -> None:
    """Remove the file of a lock that this process holds, and release it."""
    # Removed while it is held: filelock notices that the file it waited for is gone, and starts over.
    with suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()


def is_held(lock: FileLock) -> bool:
    """Return whether a process holds a lock, or might. Removes the file of a lock that none holds."""
    try:
        lock.acquire(blocking=False)
    except OSError:  # Timeout, too
        return True
    let_go(lock)
    return False


@contextmanager
def turn(lock: FileLock, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock; `on_wait` is called before a longer wait. Gives False where the file system has no locks."""
    try:
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            on_wait()
            lock.acquire()
    except OSError:
        pass
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            let_go(lock)
