"""One shard on the disk: written whole or not at all, and opened only as it was written.

    <cache>/<kind>/<stage>-<photos>/
        shard.json      what was computed, by which rules, the shape, and the SHA-256 of all this
        digests.npy     (n, 32) uint8, SHA-256 of the photos' contents, sorted; the folder's name is made of them
        values.npy      (n, ...), memory-mapped when read
        checksums.npy   (n,) CRC-32 of each row of the values
"""

from __future__ import annotations

import io
import math
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.system.caches import whole_entry
from matlens.system.files import read_json, seal_of, write_json
from matlens.system.ownership.cache_content import SHARD_NAME
from matlens.system.shards.planning import Digests, shard_name
from matlens.system.untrusted import UNREADABLE, size_of_regular

VALUES, CHECKSUMS = "values.npy", "checksums.npy"

_DIGESTS = "digests.npy"

_FORMAT = 1

_CHECKED_AT_ONCE = 256
"""Rows that a thread checks at once."""

WriteRow = Callable[[int, npt.NDArray[Any]], None]
"""Writes the values of the photo with a number in the shard. Threads may call it at once, in any order."""


@dataclass(frozen=True, eq=False)
class OpenShard:
    """A whole shard.

    digests: (n,). values: (n, ...), memory-mapped. checksums: (n,). about: what else its description says.
    """

    folder: Path
    digests: Digests
    values: npt.NDArray[Any]
    checksums: npt.NDArray[np.uint32]
    about: Mapping[str, Any]

    def is_undamaged(self) -> bool:
        """Read all rows, and return whether each is what was written."""
        def are_whole(start: int) -> bool:
            rows = range(start, min(start + _CHECKED_AT_ONCE, len(self.values)))
            return all(zlib.crc32(self.values[row].data) == self.checksums[row] for row in rows)

        with ThreadPoolExecutor() as pool:
            return all(pool.map(are_whole, range(0, len(self.values), _CHECKED_AT_ONCE)))


def open_shard(folder: Path, rules: str) -> OpenShard | None:
    """Open a shard. Returns None where it is missing, not whole, not of these rules, or cannot be read now."""
    with suppress(OSError):
        return read_shard(folder, rules)
    return None


def read_shard(folder: Path, rules: str) -> OpenShard | None:
    """Do the same, but raise OSError where it is there and cannot be read now: that is no damage of its content."""
    try:
        about = read_json(folder / SHARD_NAME)
        # The seal and the name matter: a row under another photo's name would be a wrong label.
        if about.pop("sha256") != seal_of(about) or about["format"] != _FORMAT or about["rules"] != rules:
            return None
        n, shape, dtype = about["photos"], tuple(about["shape"]), about["dtype"]
        digests = np.array(_mapped(folder / _DIGESTS, "|u1", (n, 32))).view("S32").reshape(n)
        if shard_name(rules, digests) != folder.name:
            return None
        values = np.asarray(_mapped(folder / VALUES, dtype, (n, *shape)))
        return OpenShard(folder, digests, values, np.array(_mapped(folder / CHECKSUMS, "<u4", (n,))), about)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        raise
    except UNREADABLE:
        return None


def write_shard(folder: Path, what: str, rules: str, digests: Digests, shape: Sequence[int], dtype: npt.DTypeLike,
                fill: Callable[[WriteRow], Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Write a shard, whole or not at all.

    Args:
        what: names the values in messages, such as "features".
        shape: of one photo's values.
        fill: called with a function that it calls with (number, values) of each photo, in any order. What it returns
            goes into the description, as `about` does.

    Raises:
        CacheError: it cannot be written.
    """
    kind, checksums, lock = np.dtype(dtype), np.zeros(len(digests), dtype=np.uint32), threading.Lock()
    head = _header(kind.str, (len(digests), *shape))
    size = kind.itemsize * math.prod(shape)
    with whole_entry(folder, what) as partial:
        # Written, not mapped: a full disk is then an error to catch, and no bus error.
        with (partial / VALUES).open("wb") as file:
            file.write(head)

            def write_row(row: int, values: npt.NDArray[Any]) -> None:
                content = np.ascontiguousarray(values, dtype=kind)
                if content.nbytes != size:
                    raise ValueError(f"a row of {content.nbytes} bytes where {size} belong")
                checksums[row] = zlib.crc32(content.data)
                with lock:
                    if file.tell() != len(head) + row * size:
                        file.seek(len(head) + row * size)
                    file.write(content.data)

            more = fill(write_row)
        _save(partial / CHECKSUMS, "<u4", checksums)
        _save(partial / _DIGESTS, "|u1", np.frombuffer(digests.tobytes(), np.uint8).reshape(-1, 32))
        content = {**about, **more, "format": _FORMAT, "rules": rules, "photos": len(digests), "shape": list(shape),
                   "dtype": kind.str}
        write_json(partial / SHARD_NAME, {**content, "sha256": seal_of(content)})


def write_row_anew(shard: OpenShard, row: int, values: npt.NDArray[Any]) -> bool:
    """Write a damaged row and its checksum in their places. Returns whether they could be written.

    Processes that do so at once write the same bytes.
    """
    try:
        for name, content in ((VALUES, values.tobytes()), (CHECKSUMS, np.uint32(zlib.crc32(values.data)).tobytes())):
            with (shard.folder / name).open("r+b") as file:
                file.seek(-(len(shard.digests) - row) * len(content), io.SEEK_END)
                file.write(content)
    except OSError:
        return False
    shard.checksums[row] = zlib.crc32(values.data)
    return True


def read_numbers(file: Path, n: int) -> npt.NDArray[np.int64]:
    """Read (n,) int64 as `save_numbers` wrote them. Raises one of UNREADABLE."""
    return np.array(_mapped(file, "<i8", (n,)))


def save_numbers(file: Path, numbers: Iterable[int]) -> None:
    """Write numbers (n,) int64."""
    _save(file, "<i8", np.asarray(numbers, dtype="<i8"))


def _save(file: Path, descr: str, values: npt.NDArray[Any]) -> None:
    file.write_bytes(_header(descr, values.shape) + values.astype(descr).tobytes())


def _header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Return the head of a .npy file of this content."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": shape})
    return head.getvalue()


def _mapped(file: Path, descr: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Map a .npy file, which must begin as it was written and be as long. Raises ValueError or OSError."""
    head, dtype = _header(descr, shape), np.dtype(descr)
    if size_of_regular(file) != len(head) + dtype.itemsize * math.prod(shape) or dtype.hasobject:
        raise ValueError(f"{file.name} has another length")
    with file.open("rb") as content:
        if content.read(len(head)) != head:
            raise ValueError(f"{file.name} has another head")
    if not math.prod(shape):
        return np.zeros(shape, dtype)
    # A plain array over the mapped one, since np.memmap returns rows several times more slowly.
    return np.asarray(np.memmap(file, dtype, "r", len(head), shape))
