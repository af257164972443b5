"""Read files that strangers may have made: within bounds, inside their folder, as data and never as code.

`open_regular` opens every file whose path comes from outside of the package (`tests/test_foreign_files.py` reads the
source for others). All functions raise ValueError (of which the errors of JSON and Unicode are kinds) or OSError. A
reader calls them inside `reading`, which turns these into an error of the reader's choice that names the file and the
way out. Arrays are read by `untrusted_arrays`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import os
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matlens.errors import MatlensError

JSON_LIMIT = 256 << 20
"""The most bytes of a JSON file: the manifest of a million photos takes 210 MB."""

VALUES_LIMIT = 12_000_000
"""The most values of a JSON file, names counted: the manifest of a million photos has 9 million. An empty list of 3
bytes takes 64 in memory, so that bytes alone are no bound."""

TOML_LIMIT = 1 << 20
"""The most bytes of a TOML file: one with every setting takes 2 kB, groups of 10,000 classes take 200 kB."""

MAX_DEPTH = 100
"""The most objects and lists in one another; Keras' configurations reach some fifteen."""

LONGEST_REASON = 300
"""The most letters that an error quotes of a file, which may have chosen them."""

_BLOCK = 1 << 20
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)

UNPACKED_LIMIT = 1 << 30
"""The most bytes that the compressed members of an archive may unpack to. The file bounds uncompressed ones."""

MAX_MEMBERS = 10_000
"""The most members of an archive, unless another number is given."""

UNREADABLE: tuple[type[Exception], ...] = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OverflowError, RecursionError,
    zipfile.BadZipFile, zlib.error)
"""What reading a file of unexpected content raises: errors of the system, of parsers, and of code that looks for other
content. Not MemoryError: the files are bounded, so it tells of the machine and not of the file."""

UNREADABLE_TABLE = (*UNREADABLE, csv.Error)
"""What reading a table of unexpected content raises."""


@contextmanager
def reading(path: Path, what: str, error: type[MatlensError], way_out: str,
            catching: tuple[type[Exception], ...] = UNREADABLE) -> Iterator[None]:
    """Raise `error`, which names the file and the way out, if the file is missing or holds something else.

    Args:
        what: what the file should be, such as "a results file of matlens".
        way_out: a sentence with what to do, a command where there is one.
        catching: what the reader raises on other content; (Exception,) for libraries that raise nearly anything.
    """
    try:
        yield
    except MatlensError:
        raise
    except catching as problem:
        if isinstance(problem, FileNotFoundError) and problem.filename in (path, str(path)):
            raise error(f"{path} is missing. {way_out}") from problem
        raise error(f"{path} is not {what} ({in_short(reason_of(problem))}). {way_out}") from problem


def in_short(text: str, most: int = LONGEST_REASON) -> str:
    """Cut a text that would fill the screen."""
    return text if len(text) <= most else f"{text[:most]}..."


def quoted(value: object, most: int = 80) -> str:
    """Write a value of a file in an error: not more than `most` letters of it, and of any value."""
    try:
        return in_short(repr(value), most)
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        return f"a value of the type {type(value).__name__} that is too long to be written"


def reason_of(problem: Exception) -> str:
    """Say in a few words why a file cannot be read: the system's reason, or what a parser met and where."""
    if isinstance(problem, FileNotFoundError):
        return "it is missing"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    if isinstance(problem, KeyError):
        return f"it has no {problem}"
    errors = getattr(problem, "errors", None)  # pydantic's, of which the first is enough
    if callable(errors) and (first := next(iter(errors()), None)):
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    return str(problem) or type(problem).__name__


def stays_inside(path: str) -> bool:
    """Return whether a relative path, by its words alone, leads to something below its folder on any system."""
    words = path.replace("\\", "/").split("/")  # pathlib is too slow for tens of thousands of paths
    return (words[0] != "" and path[1:2] != ":" and "\0" not in path and ".." not in words
            and any(word not in ("", ".") for word in words))


def inside(folder: Path, name: str) -> Path:
    """Return the path of a regular file in a folder. Raises ValueError if it, or what it links to, lies outside."""
    path = folder / name
    if not stays_inside(name) or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} lies outside of the folder")
    size_of_regular(path)
    return path


def size_of_regular(path: Path) -> int:
    """Return the bytes of a regular file. Raises ValueError for a pipe or a device, which may never end."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        kind = "a folder, and no file" if stat.S_ISDIR(about.st_mode) else "no regular file"
        raise ValueError(f"{path.name} is {kind}")
    return about.st_size


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading its bytes. Raises ValueError for a folder, a pipe or a device.

    A pipe is not waited for. What was opened is checked once more, since the name may lead elsewhere by then.
    """
    size_of_regular(path)  # first, since opening alone acts on some devices
    handle = os.open(path, os.O_RDONLY | _AT_ONCE)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{path.name} is no regular file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes. Takes memory for what it holds, and not for what it may hold."""
    with open_regular(path) as file:
        stated = os.fstat(file.fileno()).st_size  # 0 for files that the system makes up, such as those of /proc
        content = file.read(stated + 1) if stated <= limit else b""
        while stated <= limit and len(content) <= limit and (block := file.read(_BLOCK)):
            content += block
    if max(stated, len(content)) > limit:
        raise ValueError(f"{path.name} has more than {limit} bytes")
    return content


def text_of(content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is in UTF-16: save it as UTF-8")
    return content.decode("utf-8-sig")


def read_text(path: Path, limit: int) -> str:
    """Read a regular file of at most `limit` bytes of UTF-8."""
    return text_of(read_bounded(path, limit))


def read_pairs(path: Path, limit: int) -> list[list[str]]:
    """Read the cells of each line of a table that should have two columns; empty lines are left out.

    Text is in UTF-8 or UTF-16. Cells of a .tsv are divided by tabs, of other files by commas. Semicolons or tabs divide
    them where each line then has two, and not otherwise.

    Raises what UNREADABLE_TABLE names.
    """
    content = read_bounded(path, limit)
    text = content.decode("utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    found: list[list[str]] = []
    for delimiter in ("\t" if path.suffix == ".tsv" else ",", ";", "\t"):
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
        if all(len(row) == 2 for row in rows):
            return rows
        found = found or rows
    return found


def parse_json(content: bytes | str, *, finite: bool = True) -> Any:
    """Parse JSON in UTF-8 of at most VALUES_LIMIT values, nested no deeper than MAX_DEPTH, with each name once.

    finite: refuse NaN and Infinity, which Python writes and JSON does not have, and numbers that no double holds.
    """
    text = content if isinstance(content, str) else text_of(content)
    if sum(map(text.count, ",:[{")) > VALUES_LIMIT:
        raise ValueError(f"it holds more than {VALUES_LIMIT:,} values")
    try:
        parsed = json.loads(text, object_pairs_hook=_each_once, parse_float=_finite if finite else None,
                            parse_constant=_refused if finite else None)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _refuse_depth(parsed)
    return parsed


def read_toml(path: Path) -> dict[str, Any]:
    """Read TOML of at most TOML_LIMIT bytes, nested no deeper than MAX_DEPTH."""
    text = read_text(path, TOML_LIMIT)
    if any(line.count(".") > MAX_DEPTH for line in text.splitlines()):  # tomllib's time grows with their square
        raise ValueError(f"a line of it has more than {MAX_DEPTH} dots")
    try:
        parsed = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _refuse_depth(parsed)
    return parsed


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{in_short(number, 80)} is too large a number")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{quoted(max(names, key=names.count))} stands in it twice")
    return content


def _refuse_depth(parsed: object) -> None:
    level = [parsed]
    for _ in range(MAX_DEPTH):
        level = [child for value in level if isinstance(value, dict | list)
                 for child in (value.values() if isinstance(value, dict) else value) if isinstance(child, dict | list)]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def refuse_bomb(archive: zipfile.ZipFile, size: int, limit: int = UNPACKED_LIMIT, most_members: int = MAX_MEMBERS,
                ) -> None:
    """Raise ValueError for a zip archive that says to hold more than a file of `size` bytes can or should hold.

    limit: the most bytes that all compressed members may unpack to.
    """
    members = archive.infolist()
    if len(members) > most_members or len({member.filename for member in members}) < len(members):
        raise ValueError("it holds too many members, or two of one name")
    stored = sum(member.file_size for member in members if member.compress_type == zipfile.ZIP_STORED)
    unpacked = sum(member.file_size for member in members if member.compress_type != zipfile.ZIP_STORED)
    if stored > size or unpacked > limit:
        raise ValueError(f"it says to hold {stored + unpacked} bytes in a file of {size}")
    if any(member.flag_bits & 1 for member in members):
        raise ValueError("a member is encrypted")
