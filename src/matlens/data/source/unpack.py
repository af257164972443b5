"""Unpack an archive that a stranger may have made."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from matlens.errors import DataError
from matlens.system.untrusted import open_regular, reading

_READ = 1 << 16
_LONGEST_HEADER = 1 << 17
"""How many bytes may describe a member. tarfile holds them all in memory; an ordinary name needs 1,536."""
_LONGEST_NAME = 255
_DEEPEST = 16


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold. MINC-2500 has 57,500 photos of some 3 GB.

    size: in bytes, including what the archive itself needs between files.
    """

    members: int = 200_000
    size: int = 16 * 10**9


class _Refused(Exception):
    """What is wrong with an archive."""


class _Bounded(gzip.GzipFile):
    """Decompressed bytes, up to limits: a few kilobytes can be made to unpack to a disk full of zeros.

    limit: the position at which reading ends. left: how many bytes the present step may still read.
    """

    limit = 0
    left = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes. Raises _Refused beyond the limits."""
        if size is None or not 0 <= size <= self.left:
            raise _Refused("a header in it is too long")
        data = super().read(size)
        self.left -= len(data)
        if self.tell() > self.limit:
            raise _Refused(f"it unpacks to more than {self.limit / 1e9:g} GB")
        return data


@dataclass
class _Taken:
    """The paths that an archive has named so far, as file systems that ignore case compare them."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def add(self, parts: tuple[str, ...], is_folder: bool) -> bool:
        """Add a path. Returns False if it was taken; folders may be named again."""
        keys = [unicodedata.normalize("NFC", "/".join(parts[:end + 1])).casefold() for end in range(len(parts))]
        if self.files.intersection(keys) or (not is_folder and keys[-1] in self.folders):
            return False
        self.folders.update(keys if is_folder else keys[:-1])
        self.files.update([] if is_folder else keys[-1:])
        return True


def unpack(archive: Path, folder: Path, advance: Callable[[int], None], limits: Limits | None = None) -> None:
    """Unpack a .tar.gz of plain files and folders into an empty folder.

    Anything else is refused: links, devices, sparse files, paths that lead elsewhere, and names that are not plain or
    occur twice. Owners, permissions and times are not taken from the archive.

    Args:
        advance: called with the number of bytes of the archive that were read.

    Raises:
        DataError: the archive is refused, damaged or no archive. What was unpacked before stays.
        OSError: a file cannot be written.
    """
    limits = limits or Limits()
    # What a damaged archive raises is listed here, since a file that cannot be written raises OSError.
    damage = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
    try:
        with (reading(archive, "a whole .tar.gz", DataError, "Get it again.", catching=damage),
              open_regular(archive) as raw, _Bounded(fileobj=raw) as stream):
            stream.limit = limits.size
            stream.left = _LONGEST_HEADER
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                taken, number = _Taken(), 0
                while (member := tar.next()) is not None:
                    number += 1
                    if number > limits.members:
                        raise _Refused(f"it holds more than {limits.members:,} files and folders")
                    parts = _path(member, folder)
                    if not taken.add(parts, member.isdir()):
                        raise _Refused(f"{member.name!r} is in it twice")
                    stream.left = member.size + _READ
                    _write(tar, member, folder.joinpath(*parts))
                    tar.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps all of them, with their headers
                    stream.left = _LONGEST_HEADER
                    advance(raw.tell())
            _read_to_end(stream)
    except _Refused as error:
        raise DataError(f"{archive} is refused: {error}. Remove it, and get it from its authors.") from error


def _path(member: tarfile.TarInfo, folder: Path) -> tuple[str, ...]:
    """Return the parts of a member's path below `folder`. Raises _Refused for a member that must not be unpacked."""
    name = repr(member.name)
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or member.issparse():
        raise _Refused(f"{name} is a link, a device or a sparse file; only files and folders are unpacked")
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise _Refused(f"{name} points out of the folder")
    if len(path.parts) > _DEEPEST or not (path.parts or member.isdir()) or not all(map(_is_plain, path.parts)):
        raise _Refused(f"{name} is no plain name")
    if member.size < 0:
        raise _Refused(f"{name} has an impossible size")
    if filtered := getattr(tarfile, "data_filter", None):  # Python 3.11.4 has it
        try:
            filtered(member, str(folder))
        except tarfile.TarError as error:
            raise _Refused(str(error)) from error
    return path.parts


def _is_plain(part: str) -> bool:
    """Return whether every file system accepts a name unchanged."""
    return (part.isprintable() and part == part.strip() and not part.endswith(".") and not set(part) & set('\\:*?"<>|')
            and len(part.encode()) <= _LONGEST_NAME)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None
    with source, path.open("xb") as file:
        shutil.copyfileobj(source, file, _READ)


def _read_to_end(stream: _Bounded) -> None:
    """Read on to gzip's checksum, which comes last: tarfile takes a damaged header for the end of the archive."""
    stream.left = stream.limit
    while rest := stream.read(min(_READ, stream.left)):
        if rest.strip(b"\0"):
            raise _Refused("data follow its end, so it is damaged")
