"""Read files that strangers may have made: within bounds, inside their folder, as data and never as code.

All functions raise ValueError (of which the errors of JSON and Unicode are kinds) or OSError. A reader calls them
inside `reading`, which turns these into an error of the reader's choice that names the file and the way out. Arrays are
read by `untrusted_arrays`.
"""

from __future__ import annotations

import json
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matlens.errors import MatlensError

JSON_LIMIT = 256 << 20
"""The most bytes of a JSON file: the manifest of a million photos takes 150 MB."""

MAX_DEPTH = 100
"""The most objects and lists in one another; Keras' configurations reach some fifteen."""

UNPACKED_LIMIT = 1 << 30
"""The most bytes that the compressed members of an archive may unpack to. The file bounds uncompressed ones."""

_MAX_MEMBERS = 10_000

UNREADABLE: tuple[type[Exception], ...] = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, MemoryError, OverflowError,
    zipfile.BadZipFile, zlib.error)
"""What reading a file of unexpected content raises: errors of the system, of parsers, and of code that looks for other
content."""


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
        raise error(f"{path} is not {what} ({reason_of(problem)}). {way_out}") from problem


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
        raise ValueError(f"{path.name} is no regular file")
    return about.st_size


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes."""
    size_of_regular(path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name} has more than {limit} bytes")
    return content


def parse_json(content: bytes | str) -> Any:
    """Parse JSON in UTF-8 that is nested no deeper than MAX_DEPTH."""
    try:
        parsed = json.loads(content if isinstance(content, str) else content.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    level = [parsed]
    for _ in range(MAX_DEPTH):
        level = [child for value in level if isinstance(value, dict | list)
                 for child in (value.values() if isinstance(value, dict) else value) if isinstance(child, dict | list)]
        if not level:
            return parsed
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def refuse_bomb(archive: zipfile.ZipFile, size: int, limit: int = UNPACKED_LIMIT) -> None:
    """Raise ValueError for a zip archive that says to hold more than a file of `size` bytes can or should hold.

    limit: the most bytes that all compressed members may unpack to.
    """
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError("it holds too many members, or two of one name")
    stored = sum(member.file_size for member in members if member.compress_type == zipfile.ZIP_STORED)
    unpacked = sum(member.file_size for member in members if member.compress_type != zipfile.ZIP_STORED)
    if stored > size or unpacked > limit:
        raise ValueError(f"it says to hold {stored + unpacked} bytes in a file of {size}")
    if any(member.flag_bits & 1 for member in members):
        raise ValueError("a member is encrypted")
