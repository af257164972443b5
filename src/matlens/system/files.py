"""Write files and folders whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from matlens.errors import WriteError
from matlens.system.untrusted import JSON_LIMIT, open_regular, parse_json, read_bounded

PARTIAL_SUFFIX = ".partial"

_REPLACED_SUFFIX = ".replaced"
"""The suffix of a folder that made room for a new one: for a moment neither has the name."""

_MANY = 1000
"""From this number of files on, all disks are flushed at once: one by one, 57,500 files took three minutes."""

_LEFT_AFTER = 86_400
"""Seconds after which no process writes to a temporary file any more."""

_PARTIAL_NAME = re.compile(rf"\.(.+)\.\d+{re.escape(PARTIAL_SUFFIX)}(\..+)?")
_REPLACED_NAME = re.compile(rf"\.(.+)\.\d+{re.escape(_REPLACED_SUFFIX)}(\..+)?")

_MAKE_ROOM = "Make room there. What was finished before stays, and the same command goes on from it."
_OTHER_PLACE = "Name a place that can be written, or change its permissions. What was finished before stays."

_WAYS_OUT = {
    errno.ENOSPC: _MAKE_ROOM, errno.EDQUOT: _MAKE_ROOM, errno.EROFS: _OTHER_PLACE, errno.EACCES: _OTHER_PLACE,
    errno.EPERM: _OTHER_PLACE,
    errno.EFBIG: "It exceeds a limit on the size of files: raise it (ulimit -f), or name another file system.",
    errno.EIO: "The disk, or the network behind it, fails. Name another place.",
    errno.ENOENT: "Its folder was removed meanwhile. The same command makes it again.",
    errno.ENOTDIR: "A file lies where a folder should be. Name another place.",
    errno.EEXIST: "A file lies where a folder should be. Name another place.",
    errno.EISDIR: "A folder lies there. Name another place.",
    errno.ENAMETOOLONG: "Name a place with a shorter path.",
}
"""What to do, by the system's error number."""

_NO_SPACE_LEFT = re.compile(r"iostream error|PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+")
"""The words in which OpenVINO and PyTorch report a full disk."""

_CUT_OFF = re.compile(r"\d+ requested and \d+ written")
"""The words in which NumPy does."""

_NUMBER = re.compile(r"errno ?=? ?(\d+)", re.IGNORECASE)
"""The words in which HDF5 gives the system's error number."""


def why_unwritable(error: BaseException) -> tuple[int | None, str] | None:
    """Return the number and the words of the system's reason not to write, or None for an error of another kind."""
    if isinstance(error, WriteError):
        return error.errno, error.strerror
    number = error.errno if isinstance(error, OSError) else None
    if number is None and isinstance(error, OSError | RuntimeError) and (hidden := _NUMBER.search(str(error))):
        number = int(hidden[1])
    if number in _WAYS_OUT:
        return number, os.strerror(number)
    if isinstance(error, RuntimeError) and _NO_SPACE_LEFT.search(str(error)):
        first = error.__context__  # PyTorch's writer fails once more when it closes the file
        return (first and why_unwritable(first)) or (errno.ENOSPC, "most likely no space left")
    if isinstance(error, OSError) and _CUT_OFF.fullmatch(str(error)):
        return errno.ENOSPC, str(error)
    return None


@contextmanager
def _named(path: Path, partial: Path) -> Iterator[None]:
    """Raise WriteError, which names the file and the way out, if writing to its temporary file fails."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = why_unwritable(error)
        named = [Path(os.fsdecode(place)) for place in (getattr(error, "filename", None),
                                                        getattr(error, "filename2", None)) if place is not None]
        # Otherwise the error concerns a file that was read meanwhile.
        if reason is None or (named and not any(
                place.is_relative_to(path.parent) or partial.is_relative_to(place) for place in named)):
            raise
        number, words = reason
        raise WriteError(f"Cannot write {path}: {words}. {_WAYS_OUT[number or errno.ENOSPC]}", number, words) from error


def _sync(path: Path) -> None:
    """Flush a file or a folder entry to disk, if the platform can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows refuses to open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_below(folder: Path) -> None:
    """Flush all files in a folder to disk."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    if len(files) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for file in files:
        _sync(file)


def partial_of(path: Path) -> Path:
    """Return the temporary file or folder beside `path` that this process writes to."""
    # The suffix stays last, since writers such as Keras choose the format by it.
    return path.with_name(f".{path.stem}.{os.getpid()}{PARTIAL_SUFFIX}{path.suffix}")


def whole_of(partial: Path) -> Path | None:
    """Return the path that a temporary file of any process is for, or None if it is not temporary."""
    match = _PARTIAL_NAME.fullmatch(partial.name)
    return match and partial.with_name(match[1] + (match[2] or ""))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` to write to. It takes the place of `path` if the block ends without an error.

    Until then an old file stays as it is. Missing parent folders are made.

    Raises:
        WriteError: the system refuses to write. The message names the file and the way out.
    """
    partial = partial_of(path)
    with _named(path, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_old(path)
        try:
            yield partial
            _sync(partial)
            partial.replace(path)
            _sync(path.parent)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` to write to. It replaces `path` if the block ends without an error."""
    partial = partial_of(path)
    replaced = path.with_name(f".{path.stem}.{os.getpid()}{_REPLACED_SUFFIX}{path.suffix}")
    with _named(path, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_old(path)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            _sync_below(partial)
            if path.exists():
                path.replace(replaced)  # moved aside, since a reader must not see half of it
            partial.replace(path)
            _sync(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if replaced.exists() and not path.exists():
                replaced.replace(path)
            shutil.rmtree(replaced, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents. Raises WriteError."""
    with _named(path, path):
        path.mkdir(parents=True, exist_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished, anywhere below `folder`. No other process may be writing there.

    A folder that had made room for a new one is put back, unless the new one is in its place.
    """
    for above, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            left = Path(above, name)
            if replaced := _REPLACED_NAME.fullmatch(name):
                whole = left.with_name(replaced[1] + (replaced[2] or ""))
                if not whole.exists():
                    with suppress(OSError):
                        left.replace(whole)
            if replaced or whole_of(left) is not None:
                _remove(left)


def _sweep_old(path: Path) -> None:
    """Remove temporary files beside `path` that a killed process left long ago."""
    for left in path.parent.glob(".*"):
        if whole_of(left) == path and left != partial_of(path):
            with suppress(OSError):  # another process removed it
                if time.time() - left.stat().st_mtime > _LEFT_AFTER:
                    _remove(left)


def _remove(left: Path) -> None:
    with suppress(OSError):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # a name that is no UTF-8, as JSON has it
    return path


def write_json(path: Path, content: Any) -> Path:
    """Write JSON (UTF-8, two spaces, no NaN), whole or not at all."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, limit: int = JSON_LIMIT) -> Any:
    """Read JSON of at most `limit` bytes. Raises OSError or ValueError."""
    return parse_json(read_bounded(path, limit))
