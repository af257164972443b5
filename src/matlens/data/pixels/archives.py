"""Read photos from where they are: files, ZIPs within bounds (of uploads, and of archives on disk), and addresses."""

from __future__ import annotations

import contextlib
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from matlens.data.layout.walk import has_photo_ending
from matlens.data.pixels.files import content_of
from matlens.data.pixels.problems import Problem, UnreadableImageError
from matlens.data.pixels.reader import PhotoReader
from matlens.data.remote.photos import RemotePhoto
from matlens.errors import MatlensError
from matlens.system.untrusted import open_regular, reason_of, refuse_bomb, size_of_regular
from matlens.types import Pixels

ZIP_MAGIC = b"PK\x03\x04"

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
"""What zipfile raises on damaged archives; encrypted ones and unknown compressions are among it."""

MOST_MEMBERS, MOST_BYTES = 1_000_000, 256 << 20
"""Of an archive on disk: its members, and the bytes that a photo of it may unpack to."""

_LEAST_UNPACKED, _MOST_EXPANDED = 1 << 30, 100
"""The bytes that an archive on disk may unpack to, and how many times its own: photos that were drawn shrink well."""


@dataclass(frozen=True)
class ZippedPhoto:
    """A photo in a ZIP on disk. member: its name there, which is shown and never used as a path."""

    archive: Path
    member: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.member.replace("\\", "/")).name


PhotoPlace = Path | ZippedPhoto | RemotePhoto
"""Where a photo is."""


def photo_members(archive: zipfile.ZipFile, size: int, most_unpacked: int, most_members: int) -> list[zipfile.ZipInfo]:
    """Return the members of an archive of `size` bytes that are photos by their names. Raises what BROKEN names."""
    refuse_bomb(archive, size, most_unpacked, most_members)
    return [member for member in archive.infolist() if has_photo_ending(member.filename) and not member.is_dir()
            and not member.filename.startswith("__MACOSX/")]


def content_of_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most_bytes: int) -> bytes | Problem:
    """Unpack a photo of at most so many bytes; a larger one is a problem. Raises what BROKEN names."""
    too_large = Problem(f"it has more than {most_bytes:,} bytes", "unsupported")
    if member.file_size > most_bytes:
        return too_large
    with archive.open(member) as file:
        content = file.read(most_bytes + 1)
    return too_large if len(content) > most_bytes else content


def photos_in_zip(path: Path) -> list[ZippedPhoto]:
    """List the photos of a ZIP on disk, in the archive's order. Raises what BROKEN names."""
    size = size_of_regular(path)
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = photo_members(archive, size, max(_LEAST_UNPACKED, _MOST_EXPANDED * size), MOST_MEMBERS)
    return [ZippedPhoto(path, member.filename) for member in members]


class PhotoOpener:
    """Reads photos from files and from ZIPs on disk, in any thread.

    An archive stays open until photos of another one are read.
    """

    def __init__(self, reader: PhotoReader) -> None:
        self._reader, self._path = reader, Path()
        self._open, self._lock = contextlib.ExitStack(), threading.Lock()
        self._archive: zipfile.ZipFile | None = None

    def close(self) -> None:
        """Close the archive that is open."""
        self._open.close()
        self._archive = None

    def content(self, place: PhotoPlace) -> bytes | Problem:
        """Read the file of a photo, unpack it, or bring it; or say why it cannot be."""
        if isinstance(place, RemotePhoto):
            return place.content()
        if isinstance(place, Path):
            try:
                return content_of(place)
            except UnreadableImageError as error:
                return error.problem
            except (OSError, MemoryError) as error:
                return Problem(reason_of(error), "trouble")
        try:
            with self._lock:
                if self._archive is None or self._path != place.archive:
                    self.close()
                    file: BinaryIO = self._open.enter_context(open_regular(place.archive))
                    self._archive, self._path = self._open.enter_context(zipfile.ZipFile(file)), place.archive
                return content_of_member(self._archive, self._archive.getinfo(place.member), MOST_BYTES)
        except KeyError:
            return Problem("the archive changed meanwhile", "trouble")
        except BROKEN as error:
            return Problem(reason_of(error))

    def attempt(self, place: PhotoPlace) -> Pixels | Problem:
        """Read a photo. Trouble of the machine with one photo is a problem too, so that it ends no others."""
        try:
            if isinstance(place, Path):
                return self._reader.attempt(place)
            content = self.content(place)
            return content if isinstance(content, Problem) else self._reader.attempt_content(content)
        except (MatlensError, OSError, MemoryError) as error:
            return Problem(reason_of(error), "trouble")


@contextlib.contextmanager
def opening(reader: PhotoReader) -> Iterator[PhotoOpener]:
    """Give an opener, whose archive is closed at the end."""
    opener = PhotoOpener(reader)
    try:
        yield opener
    finally:
        opener.close()
