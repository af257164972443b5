"""Activations at a layer inside the trunk, one feature map a photo, cached on disk and read in batches.

    <cache>/activations/<key>/
        activations.npy     (N, h, w, K) float16 or float32, memory-mapped when read
        checksums.npy       (N,) CRC-32 of each row, checked whenever the row is read
        activations.json    the model, the trunk, the view and the number of photos
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.errors import CacheError, ModelError
from matlens.system.caches import whole_entry
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import UNREADABLE
from matlens.system.untrusted_arrays import map_array
from matlens.types import Array

_FORMAT = 1


@dataclass(frozen=True)
class Activations:
    """Feature maps on disk. values: (N, h, w, K), memory-mapped; checksums: (N,) CRC-32 of each row."""

    folder: Path
    values: npt.NDArray[np.floating]
    checksums: npt.NDArray[np.uint32]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, h, w, K)."""
        return self.values.shape

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Array:
        """Copy rows, (B, h, w, K) float32. Raises CacheError where one is not what was written."""
        chosen = self.values[rows]
        for row, value in zip(rows, chosen, strict=True):
            if zlib.crc32(value.data) != self.checksums[row]:
                raise CacheError(f"The activations in {self.folder} are damaged at row {row}. Delete that folder; "
                                 "the same command computes them again.")
        return np.asarray(chosen, dtype=np.float32)

    @classmethod
    def open(cls, folder: Path) -> Activations | None:
        """Open the activations in a folder. Returns None where they are missing, not whole, or of another version."""
        try:
            about = read_json(folder / "activations.json")
            values, checksums = map_array(folder / "activations.npy"), map_array(folder / "checksums.npy")
            if about["format"] != _FORMAT or list(values.shape) != about["shape"] or values.ndim != 4 or (
                    checksums.shape != values.shape[:1]):
                return None
            return cls(folder, values, checksums)
        except UNREADABLE:
            return None

    @classmethod
    def write(cls, folder: Path, shape: tuple[int, ...], dtype: str,
              fill: Callable[[Callable[[int, Array], None]], None],
              about: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Write N rows, whole or not at all.

        Args:
            fill: gets a function and calls it with (row, values) once for each row, in any order.
            about: goes into the JSON.

        Raises:
            CacheError: there is no room.
            ModelError: a value is too large for `dtype` (float16 ends at 65504).
        """
        checksums = np.zeros(shape[0], dtype=np.uint32)
        lock = threading.Lock()
        with whole_entry(folder, "activations") as partial:
            # Written, not mapped: a full disk is then an error to catch instead of a bus error.
            with (partial / "activations.npy").open("wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": np.dtype(dtype).str, "fortran_order": False,
                                                            "shape": shape})
                start, size = file.tell(), np.dtype(dtype).itemsize * int(np.prod(shape[1:]))

                def write_row(row: int, values: Array) -> None:
                    with np.errstate(over="ignore"):
                        stored = values.astype(dtype)
                    if not np.isfinite(stored).all():
                        raise ModelError(f"Activations of photo {row} are too large for {dtype}. "
                                         "Use --activations float32, or --no-feature-cache.")
                    checksums[row] = zlib.crc32(stored.data)
                    with lock:
                        file.seek(start + row * size)
                        file.write(stored.data)

                fill(write_row)
            np.save(partial / "checksums.npy", checksums)
            write_json(partial / "activations.json", {**about, "format": _FORMAT, "shape": list(shape)})
