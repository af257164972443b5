"""Write files and folders whole or not at all, and cells of tables that no spreadsheet computes."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from matlens.errors import DataError, WriteError
from matlens.system.ownership.temporary import replaced_in, temporary_beside
from matlens.system.untrusted import JSON_LIMIT, open_regular, parse_json, read_bounded, reading

_MANY = 1000
"""From this number of files on, all disks are flushed at once: one by one, 57,500 files took three minutes."""

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
    errno.ELOOP: "A link lies there, and would be written through. Remove it.",
    errno.ENXIO: "A named pipe or a device lies there. Remove it.",
}
"""What to do, by the system's error number."""

_KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a named pipe",
          stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}

_IN_THE_WAY = {
    stat.S_IFDIR: (errno.EISDIR, "Name a file in it."),
    stat.S_IFREG: (errno.EEXIST, "Name another place."),
    stat.S_IFLNK: (errno.ELOOP, "Name the place that it leads to, or remove the link."),
}
"""The error number and the way out where something lies in a file's or a folder's place, by what it is."""

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
def _named(path: Path) -> Iterator[None]:
    """Raise WriteError, which names the file and the way out, if writing to its temporary folder fails."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = why_unwritable(error)
        named = [Path(os.fsdecode(place)) for place in (getattr(error, "filename", None),
                                                        getattr(error, "filename2", None)) if place is not None]
        # Otherwise the error concerns a file that was read meanwhile.
        if reason is None or (named and not any(
                place.is_relative_to(path.parent) or path.is_relative_to(place) for place in named)):
            raise
        number, words = reason
        way_out = _WAYS_OUT[number or errno.ENOSPC]
        if number == errno.ENOENT and any(place.parent.is_dir() for place in named):
            way_out = "No file or folder can be made there. Name another place."  # as in /proc
        raise WriteError(f"Cannot write {path}: {words}. {way_out}", number, words) from error


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


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary file to write to. It takes the place of `path` if the block ends without an error.

    Until then an old file stays as it is. Missing parent folders are made.

    Raises:
        WriteError: the system refuses to write, or a link, a pipe or a device lies there, which a file would take the
            place of. The message names the file and the way out.
    """
    _refuse_other(path, stat.S_IFREG)
    with _named(path), temporary_beside(path) as partial:
        yield partial
        _sync(partial)
        _refuse_other(path, stat.S_IFREG)  # made meanwhile
        partial.replace(path)
        _sync(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill. It replaces the folder at `path` if the block ends without an error.

    Raises:
        WriteError: the system refuses to write, or something else than a folder lies there.
    """
    _refuse_other(path, stat.S_IFDIR)
    with _named(path), temporary_beside(path) as partial:
        partial.mkdir()
        yield partial
        _sync_below(partial)
        _refuse_other(path, stat.S_IFDIR)  # made meanwhile
        if path.exists():
            path.replace(replaced_in(partial))  # moved aside, since a reader must not see half of it
        partial.replace(path)
        _sync(path.parent)


def refuse_unwritable(path: Path) -> None:
    """Raise WriteError where a file cannot be written, before work of minutes would end at its last step."""
    _refuse_other(path, stat.S_IFREG)
    with _named(path), temporary_beside(path):
        pass


def refuse_other_table(path: Path, columns: Sequence[str], what: str, way_out: str) -> None:
    """Raise DataError where a file lies whose first line is not of these columns, and which must not be replaced.

    Raises WriteError where no file can be written.
    """
    if path.exists():
        with reading(path, what, DataError, way_out), open_regular(path) as file:
            if file.readline(1000).strip() != ",".join(columns).encode():
                raise DataError(f"{path} is there already, and is not {what} that matlens wrote: its first line is not "
                                f"{','.join(columns)}. {way_out}")
    refuse_unwritable(path)


def _refuse_other(path: Path, kind: int) -> None:
    """Raise WriteError where something of another kind lies, which must not be replaced: it is not matlens' own.

    kind: of what may be replaced: stat.S_IFREG or stat.S_IFDIR. Links are of neither kind, wherever they lead.
    """
    with suppress(OSError):  # nothing is there, or the writing tells what is wrong
        there = stat.S_IFMT(path.lstat().st_mode)
        if there != kind:
            number, way_out = _IN_THE_WAY.get(there, (errno.EEXIST, "Name another file."))
            raise WriteError(f"Cannot write {path}: {_KINDS.get(there, 'something else')} lies there, and is not "
                             f"replaced. {way_out}", number)


@contextmanager
def appending(path: Path) -> Iterator[BinaryIO]:
    """Open a file to add to its end; missing parent folders are made. No other file is ever changed by that.

    A link is not followed, and a file that has another name elsewhere is replaced by a copy of its own first.

    Raises:
        WriteError: it cannot be written, or no regular file lies there.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
            with whole_file(path) as partial:
                shutil.copyfile(path, partial)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags, 0o666)  # of a pipe it would wait for a reader
    with os.fdopen(descriptor, "ab") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise WriteError(f"Cannot write {path}: it is no regular file. Remove it.", errno.EEXIST)
        yield file


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents. Raises WriteError."""
    with _named(path):
        path.mkdir(parents=True, exist_ok=True)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal_of(content: Any) -> str:
    """Return the SHA-256 of what JSON holds of some content, however that is written."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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


_FORMULA, _MARK = ("=", "+", "-", "@", "\t", "\r"), "'"
"""What a text begins with that a spreadsheet computes (OWASP: CSV injection), and the mark that makes it text again."""


def as_cell(text: str) -> str:
    """Return a text as a table holds it: with a mark before it where a spreadsheet would take it for a formula."""
    return f"{_MARK}{text}" if text.startswith((*_FORMULA, _MARK)) else text


def of_cell(cell: str) -> str:
    """Return the text that `as_cell` wrote, to the letter."""
    return cell.removeprefix(_MARK)


def csv_line(cells: Iterable[object]) -> str:
    """Write cells as a line of a CSV file, with its line break."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
