"""The pixel store: every readable photo, decoded and resized once, in one memory-mapped uint8 array.

The key of a store is the content of its photos and how they were decoded, so runs, models and splits of the same photos
share it. Stores lie in the cache folder (`matlens.system.caches`).
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.pixels.files import digest_of
from matlens.data.pixels.problems import Problem, UnreadableImageError
from matlens.data.pixels.reader import PhotoReader, unreadable
from matlens.errors import CacheError, DataError, WriteError
from matlens.system.caches import Say, opened_or_made, silent, whole_entry
from matlens.system.console import Reporter, command
from matlens.system.files import read_json, seal_of, write_json
from matlens.system.untrusted import UNREADABLE, size_of_regular
from matlens.types import Pixels, Progress, unheard

_FORMAT = 4
"""Part of the key: a change of decoding or resizing must raise it."""

_SOURCES = "where.json"
"""The file that says where the photos of a store lie. It may be stale: what lies there is compared with its SHA-256."""

_AT_ONCE = 256
"""How many decoded photos may wait in memory to be written."""


def hash_photos(root: Path, paths: Sequence[str], on_progress: Progress = unheard) -> tuple[dict[str, str],
                                                                                            dict[str, str]]:
    """Read each file.

    Returns:
        The SHA-256 of the content by path; and, by path, why a file is not read (it is missing, a pipe, too large).

    Raises:
        DataError: this machine cannot read a file now. That says nothing about the photo, so it is not left out.
    """
    hashes: dict[str, str] = {}
    problems: dict[str, str] = {}

    def hashed(path: str) -> str | Problem:
        try:
            return digest_of(root / path)[0]
        except UnreadableImageError as error:
            return error.problem

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (path, digest) in enumerate(zip(paths, pool.map(hashed, paths), strict=True), 1):
            if not isinstance(digest, Problem):
                hashes[path] = digest
            elif digest.kind == "trouble":
                pool.shutdown(cancel_futures=True)
                raise unreadable(root / path, digest)
            else:
                problems[path] = str(digest)
            on_progress(done, len(paths))
    return hashes, problems


@dataclass(frozen=True)
class PixelStore:
    """Decoded photos.

    pixels: (N, H, W, 3) uint8 RGB, memory-mapped, read-only.
    rows: the row of each photo, by the SHA-256 of its content.
    checksums: CRC-32 of each row, which a process compares when it first reads the row.
    problems: by content, why a photo could not be decoded; such a photo has no row.
    decoding: how the pixels were decoded; it is part of the keys of what is computed from them.
    keep_truncated: whether photos whose end is missing were decoded.
    """

    folder: Path
    pixels: Pixels
    rows: Mapping[str, int]
    checksums: npt.NDArray[np.uint32]
    problems: Mapping[str, str]
    decoding: str = ""
    keep_truncated: bool = False

    @cached_property
    def _repaired(self) -> dict[int, Pixels]:
        """Rows that were made again where the cache cannot be written."""
        return {}

    @cached_property
    def _checked(self) -> npt.NDArray[np.bool_]:
        return np.zeros(len(self.checksums), dtype=np.bool_)

    def photo(self, row: int) -> Pixels:
        """Return a row as it lies in the file, (H, W, 3) uint8.

        A damaged row is decoded again from its photo, and written again.

        Raises:
            DataError: the row is damaged, and its photo cannot be read where it was last.
        """
        photo: Pixels = self.pixels[row]
        if self._checked[row]:
            return self._repaired.get(row, photo)
        if zlib.crc32(photo.data) != self.checksums[row]:
            photo = self._made_again(row)
        self._checked[row] = True
        return photo

    def _made_again(self, row: int) -> Pixels:
        digest = next(digest for digest, number in self.rows.items() if number == row)
        path, height, width = self._source_of(digest), *self.pixels.shape[1:3]
        photo = (Problem("it is not known where the photo lies", "missing") if path is None else
                 PhotoReader((height, width), self.keep_truncated).attempt(path, digest))
        if isinstance(photo, Problem):
            raise DataError(f"The pixel store {self.folder} is damaged at row {row}, and {path or 'its photo'} cannot "
                            f"be read to make that row again: {photo}. Put the photo back, or remove the store "
                            f"({_pruning(self.folder.parents[1])}), and repeat the command: it makes the store again.")
        written = self._write_row(row, photo)
        if not written:
            self._repaired[row] = photo
        Reporter().warn(f"row {row} of the pixel store {self.folder} was damaged; it is decoded from {path} again"
                        f"{'' if written else ', for this run only: the cache cannot be written'}")
        return photo

    def _source_of(self, digest: str) -> Path | None:
        """Return the file from which a content was last decoded or found."""
        with suppress(*UNREADABLE):
            about = read_json(self.folder / _SOURCES)
            return Path(str(about["root"]), str(about["paths"][digest]))
        return None

    def _write_row(self, row: int, photo: Pixels) -> bool:
        """Write a row and its checksum in their places. Processes that do so at once write the same bytes."""
        try:
            for name, content in (("pixels.npy", photo.tobytes()),
                                  ("checksums.npy", np.uint32(zlib.crc32(photo.data)).tobytes())):
                with (self.folder / name).open("r+b") as file:
                    rows = len(self.checksums)
                    file.seek(-(rows - row) * len(content), os.SEEK_END)
                    file.write(content)
        except OSError:
            return False
        self.checksums[row] = zlib.crc32(photo.data)
        return True

    def read(self, rows: Iterable[int]) -> Pixels:
        """Copy rows, (B, H, W, 3) uint8. Raises DataError as `photo` does."""
        return np.stack([self.photo(row) for row in rows])

    @classmethod
    def open(cls, folder: Path) -> PixelStore | None:
        """Open a finished store. Returns None if it is missing, of another version, or not whole."""
        with suppress(*UNREADABLE):
            about = read_json(folder / "store.json")
            # The seal matters: a row under another photo's name would be a wrong label.
            if about.pop("sha256") != seal_of(about) or about["format"] != _FORMAT:
                return None
            n, (height, width), problems = len(about["photos"]), about["img_size"], about["problems"]
            # A plain array over the mapped one, since np.memmap returns rows several times more slowly.
            pixels = np.asarray(_mapped(folder / "pixels.npy", "|u1", (n, height, width, 3)))
            checksums = np.array(_mapped(folder / "checksums.npy", "<u4", (n,)))
            rows = {digest: row for row, digest in enumerate(about["photos"]) if digest not in problems}
            return cls(folder, pixels, rows, checksums, problems,
                       f"{about['format']} {about['img_size']} {about['keep_truncated']}", about["keep_truncated"])
        return None


def prepare_store(root: Path, hashes: Mapping[str, str], img_size: tuple[int, int], cache_dir: Path, *,
                  keep_truncated: bool = False, on_progress: Progress = unheard, say: Say = silent) -> PixelStore:
    """Open the store of these photos, or make it by decoding and resizing each distinct content once, in parallel.

    Args:
        hashes: SHA-256 by path relative to `root`.
        img_size: (height, width).
        say: called with a message if another process is making the same store.

    Raises:
        CacheError: the cache folder has too little free space, or it cannot be written.
        DataError: this machine cannot read or decode a photo now; the store is not made.
    """
    path_of = {digest: path for path, digest in sorted(hashes.items(), reverse=True)}
    digests = sorted(path_of)
    key = hashlib.sha256("\n".join([f"{_FORMAT} {img_size} {keep_truncated}", *digests]).encode()).hexdigest()[:24]
    folder = cache_dir / "pixels" / key

    def make() -> None:
        with whole_entry(folder, "decoded photos") as partial:
            _refuse_without_space(cache_dir, len(digests) * img_size[0] * img_size[1] * 3)
            _fill(partial, root, path_of, digests, PhotoReader(img_size, keep_truncated), on_progress)

    store = opened_or_made(folder, "decoded photos", PixelStore.open, make, say)
    _note_sources(folder, root, path_of)
    return store


def _note_sources(folder: Path, root: Path, path_of: Mapping[str, str]) -> None:
    """Record where the photos lie, unless the cache is read-only: a damaged row is made again from there."""
    about = {"root": str(root.absolute()), "paths": dict(path_of)}
    with suppress(*UNREADABLE):
        if read_json(folder / _SOURCES) == about:
            return
    with suppress(WriteError, OSError):
        write_json(folder / _SOURCES, about)


def _refuse_without_space(cache_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(cache_dir).free
    if needed * 1.05 + 50e6 > free:
        raise CacheError(f"The decoded photos need {needed / 1e9:.1f} GB in {cache_dir}, which has {free / 1e9:.1f} GB "
                         f"free. Make room ({_pruning(cache_dir)}), or name another folder with --cache-dir.")


def _pruning(cache_dir: Path) -> str:
    return command("data", "store", "--prune", "--all", "--cache-dir", cache_dir)


def _header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Return the head of a .npy file of this content."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": shape})
    return head.getvalue()


def _mapped(file: Path, descr: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Map a .npy file, which must begin as `_fill` wrote it and be as long. Raises ValueError."""
    head, dtype = _header(descr, shape), np.dtype(descr)
    if size_of_regular(file) != len(head) + dtype.itemsize * math.prod(shape):
        raise ValueError(f"{file.name} has another length")
    with file.open("rb") as content:
        if content.read(len(head)) != head:
            raise ValueError(f"{file.name} has another head")
    return np.memmap(file, dtype, "r", len(head), shape)


def _fill(folder: Path, root: Path, path_of: Mapping[str, str], digests: Sequence[str], reader: PhotoReader,
          on_progress: Progress) -> None:
    """Write the files of a store. `reader` has a size."""
    assert reader.img_size is not None
    blank = np.zeros((*reader.img_size, 3), dtype=np.uint8)
    checksums: list[int] = []
    problems: dict[str, str] = {}
    # Written, not mapped: a full disk is then an error that can be caught, and no bus error.
    with (folder / "pixels.npy").open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        file.write(_header("|u1", (len(digests), *blank.shape)))
        for start in range(0, len(digests), _AT_ONCE):
            batch = digests[start:start + _AT_ONCE]
            outcomes = pool.map(lambda digest: reader.attempt(root / path_of[digest], digest), batch)
            for offset, (digest, outcome) in enumerate(zip(batch, outcomes, strict=True), 1):
                if isinstance(outcome, Problem):
                    if not outcome.is_of_the_photo:
                        pool.shutdown(cancel_futures=True)
                        raise unreadable(root / path_of[digest], outcome)
                    problems[digest] = str(outcome)
                    outcome = blank
                file.write(outcome.data)
                checksums.append(zlib.crc32(outcome.data))
                on_progress(start + offset, len(digests))
    (folder / "checksums.npy").write_bytes(_header("<u4", (len(checksums),)) + np.array(checksums, "<u4").tobytes())
    about = {"format": _FORMAT, "img_size": list(reader.img_size), "photos": list(digests), "problems": problems,
             "keep_truncated": reader.keep_truncated}
    write_json(folder / "store.json", {**about, "sha256": seal_of(about)})
