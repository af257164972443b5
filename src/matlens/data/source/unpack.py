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

_READ = 1 << 16
_LONGEST_HEADER = 1 << 17
"""Bytes before a member that may speak of it. tarfile holds them all in memory; an honest name needs 1,536."""
_LONGEST_NAME = 255
_DEEPEST = 16


@dataclass(frozen=True)
class Limits:
    """How much may come out of an archive. MINC-2500 has 57,500 photos, and takes some 3 GB.

    size: bytes, with what the archive itself needs between files.
    """

    members: int = 200_000
    size: int = 16 * 10**9


class _Refused(Exception):
    """Says what is wrong with an archive."""


class _Bounded(gzip.GzipFile):
    """Decompressed bytes, up to limits: a few kilobytes can be made to unpack to a disk full of zeros.

    limit: where reading ends. left: how many bytes may be read for what is being done just now.
    """

    limit = 0
    left = 0

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes. Raises _Refused beyond the limits."""
        if size is None or not 0 <= size <= self.left:
            raise _Refused("a header in it is longer than any honest one")
        data = super().read(size)
        self.left -= len(data)
        if self.tell() > self.limit:
            raise _Refused(f"it unpacks to more than {self.limit / 1e9:g} GB")
        return data


@dataclass
class _Taken:
    """The paths that an archive has named so far, as file systems compare them that mind no case."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def add(self, parts: tuple[str, ...], is_folder: bool) -> bool:
        """Whether a path was free. Folders may be named again."""
        keys = [unicodedata.normalize("NFC", "/".join(parts[:end + 1])).casefold() for end in range(len(parts))]
        if self.files.intersection(keys) or (not is_folder and keys[-1] in self.folders):
            return False
        self.folders.update(keys if is_folder else keys[:-1])
        self.files.update([] if is_folder else keys[-1:])
        return True


def unpack(archive: Path, folder: Path, advance: Callable[[int], None], limits: Limits | None = None) -> None:
    """Unpack a .tar.gz of plain files and folders into an empty folder.

    Whatever else it holds is refused: links, devices, sparse files, paths that lead elsewhere, names that are not plain
    or there already. Owners, permissions and times are not taken over.

    Args:
        advance: told how many bytes of the archive are read.

    Raises:
        DataError: an archive that is refused, damaged or none; what was unpacked before is still there.
        OSError: a file cannot be written.
    """
    limits = limits or Limits()
    try:
        with archive.open("rb") as raw, _Bounded(fileobj=raw) as stream:
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
                    tar.members.clear()  # type: ignore[attr-defined]  # else they are all kept, with their headers
                    stream.left = _LONGEST_HEADER
                    advance(raw.tell())
            _read_to_end(stream)
    except _Refused as error:
        raise DataError(f"{archive} is refused: {error}.") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{archive} is damaged, or no .tar.gz: {error}.") from error


def _path(member: tarfile.TarInfo, folder: Path) -> tuple[str, ...]:
    """The parts of a member's path below `folder`. Raises _Refused for a member that is not to be unpacked."""
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
    """Whether every file system takes a name, as what it is."""
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
    """gzip's checksum comes last; and tarfile takes a damaged header for the end."""
    stream.left = stream.limit
    while rest := stream.read(min(_READ, stream.left)):
        if rest.strip(b"\0"):
            raise _Refused("something follows its end, as in a damaged one")
