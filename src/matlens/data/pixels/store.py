"""The pixel store: every readable photo, decoded and resized once, in one memory-mapped uint8 array.

The key of a store is the content of its photos and how they were decoded, so runs, models and splits of the same photos
share it. Stores lie in the cache folder (`matlens.system.caches`).
"""

from __future__ import annotations

import hashlib
import json
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

from matlens.data.pixels.reader import PhotoReader
from matlens.errors import CacheError, DataError
from matlens.system.caches import Say, opened_or_made, silent, whole_entry
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import UNREADABLE, size_of_regular
from matlens.system.untrusted_arrays import map_array
from matlens.types import Pixels, Progress, unheard

_FORMAT = 2
"""Part of the key: a change of decoding or resizing must raise it."""

_AT_ONCE = 256
"""How many decoded photos may wait in memory to be written."""


def hash_photos(root: Path, paths: Sequence[str], on_progress: Progress = unheard) -> tuple[dict[str, str],
                                                                                            dict[str, str]]:
    """Return the SHA-256 of each file's content by path, and, by path, why a file could not be read at all."""
    hashes: dict[str, str] = {}
    problems: dict[str, str] = {}

    def hashed(path: str) -> tuple[str, str, str]:
        try:
            size_of_regular(root / path)
            return path, hashlib.sha256((root / path).read_bytes()).hexdigest(), ""
        except FileNotFoundError:
            return path, "", "missing file"
        except OSError as error:
            return path, "", error.strerror or str(error)
        except ValueError as error:  # a pipe or a device
            return path, "", str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (path, digest, problem) in enumerate(pool.map(hashed, paths), 1):
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
    rows: the row of each photo, by the SHA-256 of its content.
    checksums: CRC-32 of each row, which a process compares when it first reads the row.
    problems: by content, why a photo could not be decoded; such a photo has no row.
    decoding: how the pixels were decoded; it is part of the keys of what is computed from them.
    """

    folder: Path
    pixels: Pixels
    rows: Mapping[str, int]
    checksums: npt.NDArray[np.uint32]
    problems: Mapping[str, str]
    decoding: str = ""

    @cached_property
    def _checked(self) -> npt.NDArray[np.bool_]:
        return np.zeros(len(self.checksums), dtype=np.bool_)

    def photo(self, row: int) -> Pixels:
        """Return a row as it lies in the file, (H, W, 3) uint8. Raises DataError if the row is damaged."""
        photo: Pixels = self.pixels[row]
        if not self._checked[row]:
            if zlib.crc32(photo.data) != self.checksums[row]:
                raise DataError(f"The pixel store {self.folder} is damaged at row {row}: its checksum does not match. "
                                "Delete that folder, or the whole cache (matlens data store --prune --all); matlens "
                                "makes it again from the photos.")
            self._checked[row] = True
        return photo

    def read(self, rows: Iterable[int]) -> Pixels:
        """Copy rows, (B, H, W, 3) uint8. Raises DataError as `photo` does."""
        return np.stack([self.photo(row) for row in rows])

    @classmethod
    def open(cls, folder: Path) -> PixelStore | None:
        """Open a finished store. Returns None if it is missing, of another version, or not whole."""
        with suppress(*UNREADABLE):
            about = read_json(folder / "store.json")
            if about.pop("sha256") != _seal(about) or about["format"] != _FORMAT:
                return None
            pixels, checksums = map_array(folder / "pixels.npy"), map_array(folder / "checksums.npy")
            problems = about["problems"]
            rows = {digest: row for row, digest in enumerate(about["photos"]) if digest not in problems}
            n = len(about["photos"])
            if pixels.shape != (n, *about["img_size"], 3) or checksums.shape != (n,):
                return None
            return cls(folder, pixels, rows, checksums, problems,
                       f"{about['format']} {about['img_size']} {about['keep_truncated']}")
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
    """
    path_of = {digest: path for path, digest in sorted(hashes.items(), reverse=True)}
    digests = sorted(path_of)
    key = hashlib.sha256("\n".join([f"{_FORMAT} {img_size} {keep_truncated}", *digests]).encode()).hexdigest()[:24]
    folder = cache_dir / "pixels" / key

    def make() -> None:
        with whole_entry(folder, "decoded photos") as partial:
            _refuse_without_space(cache_dir, len(digests) * img_size[0] * img_size[1] * 3)
            _fill(partial, root, path_of, digests, PhotoReader(img_size, keep_truncated), on_progress)

    return opened_or_made(folder, "decoded photos", PixelStore.open, make, say)


def _refuse_without_space(cache_dir: Path, needed: int) -> None:
    free = shutil.disk_usage(cache_dir).free
    if needed * 1.05 + 50e6 > free:
        raise CacheError(f"The decoded photos need {needed / 1e9:.1f} GB in {cache_dir}, which has {free / 1e9:.1f} GB "
                         "free. Make room (matlens data store --prune --all), or name another folder with --cache-dir.")


def _seal(about: dict[str, Any]) -> str:
    """Return the SHA-256 of a description: a row under another photo's name would be a wrong label."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _fill(folder: Path, root: Path, path_of: Mapping[str, str], digests: Sequence[str], reader: PhotoReader,
          on_progress: Progress) -> None:
    """Write the files of a store. `reader` has a size."""
    assert reader.img_size is not None
    blank = np.zeros((*reader.img_size, 3), dtype=np.uint8)
    checksums: list[int] = []
    problems: dict[str, str] = {}
    # Written, not mapped: a full disk is then an error that can be caught, and no bus error.
    with (folder / "pixels.npy").open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False,
                                                    "shape": (len(digests), *blank.shape)})
        for start in range(0, len(digests), _AT_ONCE):
            batch = digests[start:start + _AT_ONCE]
            outcomes = pool.map(lambda digest: reader.attempt(root / path_of[digest]), batch)
            for offset, (digest, outcome) in enumerate(zip(batch, outcomes, strict=True), 1):
                if isinstance(outcome, str):
                    problems[digest] = outcome
                    outcome = blank
                file.write(outcome.data)
                checksums.append(zlib.crc32(outcome.data))
                on_progress(start + offset, len(digests))
    np.save(folder / "checksums.npy", np.array(checksums, dtype=np.uint32))
    about = {"format": _FORMAT, "img_size": list(reader.img_size), "photos": list(digests), "problems": problems,
             "keep_truncated": reader.keep_truncated}
    write_json(folder / "store.json", {**about, "sha256": _seal(about)})
