"""The pixel store: every readable photo, decoded and resized once, as bytes that are mapped into memory.

Photos lie in shards (`matlens.system.shards`), whose key is their content and how they were decoded, so runs, models
and splits of the same photos share them. Stores lie in the cache folder (`matlens.system.caches`).
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.pixels.files import digest_of
from matlens.data.pixels.problems import Problem, UnreadableImageError
from matlens.data.pixels.reader import PhotoReader, unreadable
from matlens.errors import CacheError, DataError, WriteError
from matlens.system.caches import Say, silent
from matlens.system.console import Reporter, command
from matlens.system.files import read_json, write_json
from matlens.system.shards.gathered import DigestRows, ShardedRows
from matlens.system.shards.shard import OpenShard, WriteRow, write_row_anew
from matlens.system.shards.sharded import ShardedValues, open_index
from matlens.system.untrusted import UNREADABLE
from matlens.types import Pixels, Progress, unheard

_FORMAT = 5
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

    folder: of the index of these photos.
    pixels: (N, H, W, 3) uint8 RGB, memory-mapped, read-only.
    rows: the row of each photo, by the SHA-256 of its content.
    checksums: CRC-32 of each row, which a process compares when it first reads the row.
    problems: by content, why a photo could not be decoded; such a photo has no row.
    decoding: how the pixels were decoded; it is part of the keys of what is computed from them.
    keep_truncated: whether photos whose end is missing were decoded.
    shards: those in which the rows lie.
    """

    folder: Path
    pixels: Pixels | ShardedRows
    rows: Mapping[str, int]
    checksums: npt.NDArray[np.uint32]
    problems: Mapping[str, str]
    decoding: str = ""
    keep_truncated: bool = False
    shards: tuple[OpenShard, ...] = ()

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
        path, (height, width) = self._source_of(row), self.pixels.shape[1:3]
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

    def _source_of(self, row: int) -> Path | None:
        """Return the file from which the content of a row was last decoded or found."""
        with suppress(*UNREADABLE):
            about = read_json(self.folder / _SOURCES)
            return Path(str(about["root"]), str(about["paths"][row]))
        return None

    def _write_row(self, row: int, photo: Pixels) -> bool:
        """Write a row and its checksum in their places. Processes that do so at once write the same bytes."""
        if not isinstance(self.pixels, ShardedRows):
            return False
        shard, place = self.pixels.where(row)
        if written := write_row_anew(self.shards[shard], place, photo):
            self.checksums[row] = self.shards[shard].checksums[place]
        return written

    def read(self, rows: Iterable[int]) -> Pixels:
        """Copy rows, (B, H, W, 3) uint8. Raises DataError as `photo` does."""
        return np.stack([self.photo(row) for row in rows])

    @classmethod
    def open(cls, folder: Path) -> PixelStore | None:
        """Open a finished store. Returns None if it or one of its shards is missing, of another version, or not whole.
        """
        with suppress(*UNREADABLE):
            index = open_index(folder)
            if index is None or index.about["version"] != _FORMAT:
                return None
            problems = {digest: str(problem) for shard in index.shards
                        for digest, problem in shard.about["problems"].items()}
            digests = index.digests
            everything = DigestRows(digests, np.ones(len(digests), np.bool_))
            problems = {digest: problem for digest, problem in problems.items() if digest in everything}
            has_row = np.ones(len(digests), np.bool_)
            has_row[[everything[digest] for digest in problems]] = False
            return cls(folder, index.values, DigestRows(digests, has_row), index.checksums, problems,
                       index.about["rules"], index.about["keep_truncated"], index.shards)
        return None


def pixel_shards(root: Path, hashes: Mapping[str, str], img_size: tuple[int, int], cache_dir: Path, *,
                 keep_truncated: bool = False, say: Say = silent) -> ShardedValues:
    """Return the decoded photos as shards, of which each can be built by itself (`ShardedValues.build`).

    Args:
        hashes: SHA-256 by path relative to `root`.
        img_size: (height, width).
        say: called with a message if another process is making the same photos, or a damaged shard is made again.
    """
    path_of, reader = _path_of(hashes), PhotoReader(img_size, keep_truncated)
    return ShardedValues(
        cache_dir, "pixels", "decoded photos", f"{_FORMAT} {list(img_size)} {keep_truncated}", sorted(path_of), "|u1",
        lambda: (*img_size, 3), partial(_fill, root, path_of, reader),
        {"version": _FORMAT, "img_size": list(img_size), "keep_truncated": keep_truncated, "model": ""}, verify=False,
        before=lambda photos: _refuse_without_space(cache_dir, photos * img_size[0] * img_size[1] * 3), say=say)


def prepare_store(root: Path, hashes: Mapping[str, str], img_size: tuple[int, int], cache_dir: Path, *,
                  keep_truncated: bool = False, on_progress: Progress = unheard, say: Say = silent) -> PixelStore:
    """Open the store of these photos, or make what it lacks by decoding and resizing each content once, in parallel.

    Arguments are those of `pixel_shards`.

    Raises:
        CacheError: the cache folder has too little free space, or it cannot be written.
        DataError: this machine cannot read or decode a photo now; its shard is not made.
    """
    shards = pixel_shards(root, hashes, img_size, cache_dir, keep_truncated=keep_truncated, say=say)
    folder = shards.opened_or_made(on_progress).folder
    store = PixelStore.open(folder)
    if store is None:
        raise CacheError(f"What was written to {folder} (decoded photos) cannot be read back. Name another folder with "
                         "--cache-dir.")
    _note_sources(folder, root, _path_of(hashes))
    return store


def _path_of(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the first path of each content."""
    return {digest: path for path, digest in sorted(hashes.items(), reverse=True)}


def _note_sources(folder: Path, root: Path, path_of: Mapping[str, str]) -> None:
    """Record where the photos lie, unless the cache is read-only: a damaged row is made again from there."""
    about = {"root": str(root.absolute()), "paths": [path_of[digest] for digest in sorted(path_of)]}
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


def _fill(root: Path, path_of: Mapping[str, str], reader: PhotoReader, digests: Sequence[str], write: WriteRow,
          on_progress: Progress) -> Mapping[str, Any]:
    """Decode photos. Returns why some could not be; their rows are blank. `reader` has a size."""
    assert reader.img_size is not None
    blank = np.zeros((*reader.img_size, 3), dtype=np.uint8)
    problems: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(digests), _AT_ONCE):
            batch = digests[start:start + _AT_ONCE]
            outcomes = pool.map(lambda digest: reader.attempt(root / path_of[digest], digest), batch)
            for row, (digest, outcome) in enumerate(zip(batch, outcomes, strict=True), start):
                if isinstance(outcome, Problem):
                    if not outcome.is_of_the_photo:
                        pool.shutdown(cancel_futures=True)
                        raise unreadable(root / path_of[digest], outcome)
                    problems[digest] = str(outcome)
                    outcome = blank
                write(row, outcome)
                on_progress(row + 1, len(digests))
    return {"problems": problems}
