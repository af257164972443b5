"""The pixel store: every readable photo decoded and resized once, as one memory-mapped uint8 array.

A store is keyed by the content of its photos and by how they were decoded, so runs, models and splits of the
same photos share it. It lies in the cache folder (`matlens.system.caches`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.pixels.decode import UnreadableImageError, read_photo
from matlens.errors import CacheError, DataError
from matlens.system.caches import Say, kept_or_made, silent, whole_entry
from matlens.system.files import read_json, write_json
from matlens.types import Progress

_FORMAT = 2
"""Part of the key: raise it when decoding or resizing changes."""

_AT_ONCE = 256
"""How many decoded photos may wait in memory to be written."""



def _quiet(done: int, total: int) -> None:
    pass


def hash_photos(root: Path, paths: Sequence[str], on_progress: Progress = _quiet) -> tuple[dict[str, str],
                                                                                           dict[str, str]]:
    """SHA-256 of each file's content by path; and, by path, why a file could not be read at all."""
    hashes: dict[str, str] = {}
    problems: dict[str, str] = {}

    def one(path: str) -> tuple[str, str, str]:
        try:
            return path, hashlib.sha256((root / path).read_bytes()).hexdigest(), ""
        except FileNotFoundError:
            return path, "", "missing file"
        except OSError as error:
            return path, "", error.strerror or str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (path, digest, problem) in enumerate(pool.map(one, paths), 1):
            if problem:
                problems[path] = problem
            else:
                hashes[path] = digest
            on_progress(done, len(paths))
    return hashes, problems


@dataclass(frozen=True)
class PixelStore:
    """Decoded photos.

    pixels: (N, H, W, 3) uint8 RGB, memory-mapped, read-only.
    rows: the row of each photo's content (SHA-256).
    checksums: CRC-32 of each row, checked when a process first reads it.
    problems: by content, why a photo could not be decoded; those have no row.
    decoding: how the pixels came from the files, as part of keys.
    """

    folder: Path
    pixels: npt.NDArray[np.uint8]
    rows: Mapping[str, int]
    checksums: npt.NDArray[np.uint32]
    problems: Mapping[str, str]
    decoding: str = ""

    @cached_property
    def _checked(self) -> npt.NDArray[np.bool_]:
        return np.zeros(len(self.checksums), dtype=np.bool_)

    def photo(self, row: int) -> npt.NDArray[np.uint8]:
        """One row as it lies in the file, (H, W, 3) uint8. Raises DataError where it is not what was written."""
        photo: npt.NDArray[np.uint8] = self.pixels[row]
        if not self._checked[row]:
            if zlib.crc32(photo.data) != self.checksums[row]:
                raise DataError(f"The pixel store {self.folder} is damaged at row {row}. Delete that folder; "
                                "it is made again from the photos.")
            self._checked[row] = True
        return photo

    def read(self, rows: Iterable[int]) -> npt.NDArray[np.uint8]:
        """Copy rows out, (B, H, W, 3) uint8. Raises DataError as `photo` does."""
        return np.stack([self.photo(row) for row in rows])

    @classmethod
    def open(cls, folder: Path) -> PixelStore | None:
        """Open a finished store; None if it is not there, of another version, or not whole."""
        try:
            about = read_json(folder / "store.json")
            if about.pop("sha256") != _seal(about) or about["format"] != _FORMAT:
                return None
            # A plain array over the mapped one: rows of np.memmap are made several times more slowly.
            pixels = np.asarray(np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False))
            checksums = np.load(folder / "checksums.npy", allow_pickle=False)
            problems = about["problems"]
            rows = {digest: row for row, digest in enumerate(about["photos"]) if digest not in problems}
            n = len(about["photos"])
            if pixels.shape != (n, *about["img_size"], 3) or checksums.shape != (n,):
                return None
            return cls(folder, pixels, rows, checksums, problems,
                       f"{about['format']} {about['img_size']} {about['keep_truncated']}")
        except (OSError, ValueError, KeyError, TypeError):
            return None


def prepare_store(root: Path, hashes: Mapping[str, str], img_size: tuple[int, int], cache_dir: Path, *,
                  keep_truncated: bool = False, on_progress: Progress = _quiet, say: Say = silent) -> PixelStore:
    """Open the store of these photos, or make it: decode and resize each distinct content once, in parallel.

    Args:
        hashes: SHA-256 by path relative to `root`.
        img_size: (height, width).
        say: told that another process is making the same store.

    Raises:
        CacheError: the cache folder has too little free space, or cannot be written.
    """
    path_of = {digest: path for path, digest in sorted(hashes.items(), reverse=True)}
    digests = sorted(path_of)
    key = hashlib.sha256("\n".join([f"{_FORMAT} {img_size} {keep_truncated}", *digests]).encode()).hexdigest()[:24]
    folder = cache_dir / "pixels" / key

    def make() -> None:
        with whole_entry(folder, "decoded photos") as partial:
            _refuse_without_space(cache_dir, len(digests) * img_size[0] * img_size[1] * 3)
            _fill(partial, root, path_of, digests, img_size, keep_truncated, on_progress)

    return kept_or_made(folder, "decoded photos", PixelStore.open, make, say)


def _refuse_without_space(cache_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(cache_dir).free
    if needed * 1.05 + 50e6 > free:
        raise CacheError(f"The decoded photos need {needed / 1e9:.1f} GB in {cache_dir}, which has "
                             f"{free / 1e9:.1f} GB free. Make room (matlens data store --prune --all), or name another "
                             "folder with --cache-dir.")


def _seal(about: dict[str, Any]) -> str:
    """SHA-256 of a description: a row under another photo's name would be a wrong label."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _fill(folder: Path, root: Path, path_of: Mapping[str, str], digests: Sequence[str], img_size: tuple[int, int],
          keep_truncated: bool, on_progress: Progress) -> None:
    def one(digest: str) -> npt.NDArray[np.uint8] | str:
        try:
            return read_photo(root / path_of[digest], img_size, keep_truncated=keep_truncated)
        except UnreadableImageError as error:
            return str(error)

    blank = np.zeros((*img_size, 3), dtype=np.uint8)
    checksums: list[int] = []
    problems: dict[str, str] = {}
    # Written, not mapped: a full disk is then an error to catch instead of a bus error.
    with (folder / "pixels.npy").open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False,
                                                    "shape": (len(digests), *img_size, 3)})
        for start in range(0, len(digests), _AT_ONCE):
            some = digests[start:start + _AT_ONCE]
            for offset, (digest, outcome) in enumerate(zip(some, pool.map(one, some), strict=True), 1):
                if isinstance(outcome, str):
                    problems[digest] = outcome
                    outcome = blank
                file.write(outcome.data)
                checksums.append(zlib.crc32(outcome.data))
                on_progress(start + offset, len(digests))
    np.save(folder / "checksums.npy", np.array(checksums, dtype=np.uint32))
    about = {"format": _FORMAT, "img_size": list(img_size), "photos": list(digests), "problems": problems,
             "keep_truncated": keep_truncated}
    write_json(folder / "store.json", {**about, "sha256": _seal(about)})
