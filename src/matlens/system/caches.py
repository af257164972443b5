"""The cache folder: what is kept there, who makes it and who uses it, and what goes when it grows too large.

    <cache>/<kind>/<name>/                    an entry; its folder's time of change is its last use
    <cache>/<kind>/.<name>.<pid>.partial/     an entry that is being written, or removed
    <cache>/locks/<kind>.<name>.lock          held by the process that opens, makes or removes an entry, meanwhile
    <cache>/locks/<kind>.<name>.<token>.used  held by a process that uses an entry, until the process ends

The operating system takes a lock back when its process ends, however it ends: what a killed process left never stands
in another's way. Where locks cannot be had (a read-only cache), entries are used without, and none is removed.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from filelock import FileLock, Timeout

from matlens.errors import CacheError, WriteError
from matlens.system.files import partial_of, read_json, whole_folder, whole_of, why_unwritable

KINDS = ("pixels", "features", "trunks", "drafts", "activations")
"""The folders that hold entries."""

_LOCKS = "locks"

_NAME = re.compile(r"(\w+-)?[0-9a-f]{24}(-\d+)?")
"""A key's shape. Nothing else is taken for an entry, so that pruning harms no folder that is not a cache."""

_LAST_TIME = 32_503_680_000.0
"""The year 3000, in seconds: what a clock that was wrong wrote may lie beyond what Python's dates can hold."""

_PATIENCE = 1.0
"""Seconds of waiting before a word is said: opening takes less, making takes longer."""

Say = Callable[[str], None]
Kept = TypeVar("Kept")

_marks: dict[Path, FileLock] = {}
"""What this process uses."""


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Entry:
    """Something kept. size: bytes of its files."""

    kind: str
    folder: Path
    size: int
    last_used: datetime

    @property
    def what(self) -> str:
        """What it is of, in a few words, as far as its JSON tells."""
        try:
            about = read_json(min(self.folder.glob("*.json")))
            model = about.get("model") or self.folder.name.rpartition("-")[0].partition("-")[0]
            photos = about.get("photos")
            words = [model, "" if photos is None else f"{photos if isinstance(photos, int) else len(photos)} photos",
                     " x ".join(map(str, about.get("img_size", ()))),
                     f"view {about['view']}" if "view" in about else ""]
            return ", ".join(word for word in words if word)
        except (OSError, ValueError, TypeError, AttributeError):
            return "damaged"


@dataclass(frozen=True)
class Pruned:
    """What pruning did. left: bytes of the entries that stay; left_over: bytes of half written ones that went."""

    removed: tuple[Entry, ...]
    left: int
    left_over: int


def kept_or_made(folder: Path, what: str, open_whole: Callable[[Path], Kept | None], make: Callable[[], object],
                 say: Say = silent) -> Kept:
    """Open the entry in `folder`, or make it first; where several processes want it, one makes it and the others wait.

    It is in use, so never pruned, until this process ends.

    Args:
        what: names the entry in messages, such as "decoded photos".
        open_whole: gives None where the entry is not there or not whole.
        make: writes the entry, with `whole_entry`.
        say: told that another process is waited for.

    Raises:
        CacheError: what was written cannot be read back. And whatever making raises.
    """
    with turn(_lock(folder, "lock"), lambda: say(f"another run is making {what} in {folder}; waiting for it")) as alone:
        if alone:
            _mark(folder)
        kept = open_whole(folder)
        if kept is None:
            if alone:
                for partial, entry in _partials(folder.parent):
                    if entry == folder:
                        shutil.rmtree(partial, ignore_errors=True)
            make()
            kept = open_whole(folder)
    if kept is None:
        raise CacheError(f"What was written to {folder} ({what}) cannot be read back. "
                             "Name another folder with --cache-dir.")
    note_use(folder)
    return kept


def note_use(folder: Path) -> None:
    """Record that an entry is used now, where that can be written."""
    with suppress(OSError):
        os.utime(folder)


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Raise CacheError, with the way out, where writing something of an entry fails."""
    try:
        yield
    except (OSError, RuntimeError, WriteError) as error:
        known = why_unwritable(error)
        if known is None and not isinstance(error, OSError):
            raise
        reason = known[1] if known else str(error)
        raise CacheError(f"Cannot write {what} to {folder.parents[1]}: {reason}. Make room there (matlens data "
                             "store --prune --all), or name another folder with --cache-dir.") from error


@contextmanager
def whole_entry(folder: Path, what: str) -> Iterator[Path]:
    """A temporary neighbour that becomes the entry, as in `whole_folder`. Raises CacheError where writing fails."""
    with writing(folder, what), whole_folder(folder) as partial:
        yield partial


def entries(cache_dir: Path) -> list[Entry]:
    """What is kept, the least recently used first."""
    found = []
    for kind in KINDS:
        for folder in (cache_dir / kind).glob("*"):
            with suppress(OSError):  # removed meanwhile
                if _NAME.fullmatch(folder.name) and folder.is_dir():
                    used = datetime.fromtimestamp(min(folder.stat().st_mtime, _LAST_TIME)).astimezone()
                    found.append(Entry(kind, folder, size_of(folder), used))
    return sorted(found, key=lambda entry: entry.last_used)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def in_use(folder: Path) -> bool:
    """Whether a living process uses an entry, or is at work on it."""
    return _is_marked(folder) or _is_held(_lock(folder, "lock"))


def left_overs(cache_dir: Path) -> list[Path]:
    """Folders that killed processes left half written or half removed."""
    return [partial for kind in KINDS for partial, entry in _partials(cache_dir / kind)
            if not _is_held(_lock(entry, "lock"))]


def prune(cache_dir: Path, limit: float) -> Pruned:
    """Remove left-overs, then the least recently used entries until `limit` bytes are left; none that is in use."""
    for file in (cache_dir / _LOCKS).glob("*"):
        _is_held(lock_at(file))
    left_over = 0
    for partial in left_overs(cache_dir):
        with suppress(OSError):
            left_over += size_of(partial)
        shutil.rmtree(partial, ignore_errors=True)
    found = entries(cache_dir)
    left = sum(entry.size for entry in found)
    removed = []
    for entry in found:
        if left > limit and _remove(entry.folder):
            removed.append(entry)
            left -= entry.size
    return Pruned(tuple(removed), left, left_over)


def _remove(folder: Path) -> bool:
    """Remove an entry, unless it is in use. Whether it is gone."""
    lock, aside = _lock(folder, "lock"), partial_of(folder)
    try:
        lock.acquire(blocking=False)
    except OSError:  # Timeout, too
        return False
    try:
        if _is_marked(folder):
            return False
        # Aside at once, since who opens an entry must not find half of it.
        folder.rename(aside)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        _let_go(lock)
    shutil.rmtree(aside, ignore_errors=True)
    return True


def _partials(kind_folder: Path) -> Iterator[tuple[Path, Path]]:
    """Folders that are being written or were left so, each with the entry that it was to become."""
    for partial in kind_folder.glob(".*"):
        entry = whole_of(partial)
        if entry is not None and _NAME.fullmatch(entry.name):
            yield partial, entry


def lock_at(file: Path) -> FileLock:
    """A lock by way of this file. Acquiring it makes missing folders."""
    # The process's, not the thread's: what a helper thread marked is let go of by the main one. And no imitation of a
    # lock where the file system has none: that would outlive its process.
    return FileLock(file, thread_local=False, fallback_to_soft=False)


def _lock(folder: Path, ending: str) -> FileLock:
    return lock_at(folder.parents[1] / _LOCKS / f"{folder.parent.name}.{folder.name}.{ending}")


def _let_go(lock: FileLock) -> None:
    # Removed while it is held: filelock sees that a file which it waited for has no name any more, and begins anew.
    with suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()


def _is_held(lock: FileLock) -> bool:
    """Whether a process holds a lock, or might; a lock file that none holds is removed."""
    try:
        lock.acquire(blocking=False)
    except OSError:  # Timeout, too
        return True
    _let_go(lock)
    return False


def _is_marked(folder: Path) -> bool:
    marks = (folder.parents[1] / _LOCKS).glob(f"{folder.parent.name}.{folder.name}.*.used")
    return any(_is_held(lock_at(mark)) for mark in marks)


@contextmanager
def turn(lock: FileLock, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Have to oneself what a lock stands for. Gives False where no locks can be had."""
    try:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            on_wait()
            lock.acquire()
    except OSError:
        pass
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            _let_go(lock)


def _mark(folder: Path) -> None:
    """Hold an entry until this process ends. Its turn must be had."""
    folder = folder.absolute()
    if folder in _marks and Path(_marks[folder].lock_file).exists():
        return
    lock = _lock(folder, f"{uuid4().hex[:8]}.used")
    with suppress(OSError):
        lock.acquire(timeout=_PATIENCE)  # not at once: pruning may be trying whether the new file is held
        _marks[folder] = lock


@atexit.register
def _release_marks() -> None:
    for lock in _marks.values():
        if lock.is_locked:  # not in a forked child
            _let_go(lock)
