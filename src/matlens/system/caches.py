"""The cache folder: its entries, the processes that make and use them, and the removal of those least recently used.

    <cache>/matlens-cache.txt                  says that matlens has a cache here: without it nothing is removed
    <cache>/<kind>/<name>/                     an entry; its folder's time of change is its last use
    <cache>/<kind>/.<name>.<number>.partial/   an entry that is being written, or removed (`ownership.temporary`)
    <cache>/locks/<kind>.<name>.lock           held by a process while it opens, makes or removes an entry
    <cache>/locks/<kind>.<name>.<token>.used   held by a process that uses an entry, until the process ends

The operating system releases a lock when its process ends, however it ends: a killed process never blocks another one.
Where the file system has no locks (a read-only cache), entries are used without them, and none is removed.

The folder may hold other people's files too (`--cache-dir` may be mistyped): `ownership.cache_content` says what is
matlens' own.
"""

from __future__ import annotations

import atexit
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from filelock import FileLock

from matlens.errors import CacheError, WriteError
from matlens.system.console import command
from matlens.system.files import read_json, whole_folder, why_unwritable, write_text
from matlens.system.ownership.cache_content import (
    ENTRY_KINDS,
    ENTRY_MARK,
    ENTRY_MARK_NAME,
    ENTRY_NAME,
    SHARD_NAME,
    is_cache,
    is_entry,
    is_entry_lock,
    say_whose,
    shards_named_in,
)
from matlens.system.ownership.locks import PATIENCE, is_held, let_go, lock_at, turn
from matlens.system.ownership.temporary import is_temporary, is_unfilled, temporary_beside, whole_of
from matlens.system.untrusted import UNREADABLE

_LOCKS = "locks"

_LAST_TIME = 32_503_680_000.0
"""The year 3000, in seconds: a wrong clock may have written times that Python's dates cannot hold."""

Say = Callable[[str], None]
"""Called with one sentence for the user."""

Opened = TypeVar("Opened")

_marks: dict[Path, FileLock] = {}
"""The entries that this process uses."""


def silent(_: str) -> None:
    """Ignore a sentence."""


@dataclass(frozen=True)
class CacheEntry:
    """A folder of the cache. size: bytes of its files."""

    kind: str
    folder: Path
    size: int
    last_used: datetime

    @property
    def stage(self) -> str | None:
        """What the names of the shards begin with that hold values of the same kind; None for another entry."""
        name = ENTRY_NAME.fullmatch(self.folder.name)
        return name[1] if name and (self.folder / SHARD_NAME).exists() else None

    @property
    def what(self) -> str:
        """Its model, photos and view in a few words, as far as its JSON tells; "damaged" if that cannot be read."""
        try:
            about = read_json(min(self.folder.glob("*.json")))
            name = ENTRY_NAME.fullmatch(self.folder.name)
            model = about.get("model") or about.get("address") or (name and name[1]) or ""
            photos = about.get("photos")
            number = "" if photos is None else f"{photos if isinstance(photos, int) else len(photos)} photos"
            number = f"index of {number}" if "shards" in about else number
            words = [model, number, " x ".join(map(str, about.get("img_size", ()))),
                     f"view {about['view']}" if "view" in about else ""]
            return ", ".join(word for word in words if word)
        except UNREADABLE:
            return "damaged"


@dataclass(frozen=True)
class Pruned:
    """The outcome of pruning. left: bytes of the entries that stay; left_over: bytes of removed unfinished ones."""

    removed: tuple[CacheEntry, ...]
    left: int
    left_over: int


def opened_or_made(folder: Path, what: str, open_whole: Callable[[Path], Opened | None], make: Callable[[], object],
                 say: Say = silent, *, mark: bool = True) -> Opened:
    """Open the entry in `folder`, or make it first; where several processes want it, one makes it and the others wait.

    The entry counts as in use, so it is not pruned, until this process ends.

    Args:
        what: names the entry in messages, such as "decoded photos".
        open_whole: returns None where the entry is not there or not whole.
        make: writes the entry, with `whole_entry`. What it raises is raised here.
        say: called with a message when this process waits for another one.
        mark: whether the entry counts as in use; a shard does while an index that names it is in use.

    Raises:
        CacheError: what was written cannot be read back.
    """
    say_whose(folder.parents[1])
    with turn(_lock(folder, "lock"), lambda: say(f"another run is making {what} in {folder}; waiting for it")) as alone:
        if alone and mark:
            _mark(folder)
        opened = open_whole(folder)
        if opened is None:
            if alone:
                for partial, entry in _partials(folder.parent):
                    if entry == folder:
                        shutil.rmtree(partial, ignore_errors=True)
            make()
            opened = open_whole(folder)
    if opened is None:
        raise CacheError(f"What was written to {folder} ({what}) cannot be read back. "
                             "Name another folder with --cache-dir.")
    note_use(folder)
    return opened


def note_use(folder: Path) -> None:
    """Record that an entry is used now, unless the cache is read-only."""
    with suppress(OSError):
        os.utime(folder)


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Raise CacheError, with the way out, where writing a file of an entry fails inside."""
    try:
        yield
    except (OSError, RuntimeError, WriteError) as error:
        cause = why_unwritable(error)
        if cause is None and not isinstance(error, OSError):
            raise
        reason = cause[1] if cause else str(error)
        cache, number = folder.parents[1], cause[0] if cause else None
        room = f"Make room there ({command('data', 'store', '--cache-dir', cache, '--prune', '--all')}), or name"
        is_full = cause is not None and number in (None, errno.ENOSPC, errno.EDQUOT)
        raise CacheError(f"Cannot write {what} to {cache}: {reason}. {room if is_full else 'Name'} another folder with "
                         "--cache-dir.") from error


@contextmanager
def whole_entry(folder: Path, what: str) -> Iterator[Path]:
    """Give a temporary folder that becomes the entry at the end. Raises CacheError where writing fails."""
    with writing(folder, what), whole_folder(folder) as partial:
        say_whose(folder.parents[1])
        yield partial
        write_text(partial / ENTRY_MARK_NAME, ENTRY_MARK)  # last: some entries record all files that they began with


def entries(cache_dir: Path) -> list[CacheEntry]:
    """List the entries, the least recently used first."""
    listed = []
    for kind in ENTRY_KINDS:
        for folder in (cache_dir / kind).glob("*"):
            with suppress(OSError):  # removed meanwhile
                if is_entry(folder, folder.name):
                    used = datetime.fromtimestamp(min(folder.stat().st_mtime, _LAST_TIME)).astimezone()
                    listed.append(CacheEntry(kind, folder, size_of(folder), used))
    return sorted(listed, key=lambda entry: entry.last_used)


def size_of(folder: Path) -> int:
    """Add up the bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def in_use(folder: Path) -> bool:
    """Return whether a living process uses an entry, or makes or removes it."""
    return _is_marked(folder) or is_held(_lock(folder, "lock"))


def used_by_others(folder: Path) -> bool:
    """Return whether a living process other than this one uses an entry."""
    own = _marks.get(folder.absolute())
    marks = (folder.parents[1] / _LOCKS).glob(f"{folder.parent.name}.{folder.name}.*.used")
    return any(is_held(lock_at(mark)) for mark in marks if own is None or Path(own.lock_file).name != mark.name)


def left_overs(cache_dir: Path) -> list[Path]:
    """List the folders that killed processes left half written or half removed."""
    return [partial for kind in ENTRY_KINDS for partial, entry in _partials(cache_dir / kind)
            if not is_held(_lock(entry, "lock"))]


def prune(cache_dir: Path, limit: float) -> Pruned:
    """Remove left-overs, then the least recently used entries until `limit` bytes are left. Entries in use stay.

    Nothing is removed from a folder that is no cache of matlens'.
    """
    if not is_cache(cache_dir):
        return Pruned((), 0, 0)
    for file in (cache_dir / _LOCKS).glob("*"):
        if is_entry_lock(file):
            is_held(lock_at(file))
    left_over = 0
    for partial in left_overs(cache_dir):
        with suppress(OSError):
            left_over += size_of(partial)
        shutil.rmtree(partial, ignore_errors=True)
    listed = entries(cache_dir)
    left = sum(entry.size for entry in listed)
    removed = []
    for entry in listed:
        if left > limit and removed_unless_used(entry.folder):
            removed.append(entry)
            left -= entry.size
    return Pruned(tuple(removed), left, left_over)


def removed_unless_used(folder: Path) -> bool:
    """Remove an entry, unless it is in use. Returns whether it is gone."""
    lock = _lock(folder, "lock")
    try:
        lock.acquire(blocking=False)
    except OSError:  # Timeout, too
        return False
    try:
        if _is_marked(folder):
            return False
        # Renamed first, so that a process that opens the entry never finds half of it.
        with temporary_beside(folder) as aside:
            folder.rename(aside)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        let_go(lock)
    return True


def _partials(kind_folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the folders that are being written or were left unfinished, with the entry that each was to become."""
    for partial in kind_folder.glob(".*"):
        entry = whole_of(partial)
        if entry is not None and ENTRY_NAME.fullmatch(entry.name) and (
                is_temporary(partial) or is_unfilled(partial) or is_entry(partial, entry.name)):
            yield partial, entry


def _lock(folder: Path, ending: str) -> FileLock:
    return lock_at(folder.parents[1] / _LOCKS / f"{folder.parent.name}.{folder.name}.{ending}")


def _is_marked(folder: Path) -> bool:
    """Return whether a living process uses an entry, or an index that names it."""
    for mark in (folder.parents[1] / _LOCKS).glob(f"{folder.parent.name}.*.used"):
        entry = mark.name.removeprefix(f"{folder.parent.name}.").rsplit(".", 2)[0]
        if (entry == folder.name or folder.name in shards_named_in(folder.with_name(entry))) and is_held(lock_at(mark)):
            return True
    return False


def _mark(folder: Path) -> None:
    """Hold an entry until this process ends. The caller must hold the entry's lock."""
    folder = folder.absolute()
    if folder in _marks and Path(_marks[folder].lock_file).exists():
        return
    lock = _lock(folder, f"{uuid4().hex[:8]}.used")
    with suppress(OSError):
        lock.acquire(timeout=PATIENCE)  # with patience: pruning may be testing whether the new file is held
        _marks[folder] = lock


@atexit.register
def _release_marks() -> None:
    for lock in _marks.values():
        if lock.is_locked:  # not in a forked child
            let_go(lock)
