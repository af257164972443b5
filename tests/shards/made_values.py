"""Values in shards that tests and the processes that they start make: one row a photo, told by its digest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from matlens.system.shards import planning
from matlens.system.shards.sharded import ShardedValues

ROW = 6


def names(first: int, end: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, end)]


def row_of(digest: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(digest), "<u4")[:ROW].astype(np.float32)


class Made:
    """Values of photos in a cache, and which were computed. pause: seconds for a photo."""

    def __init__(self, cache: Path, digests: list[str], rules: str = "rules", pause: float = 0.0,
                 say: Callable[[str], None] = lambda _: None) -> None:
        self.computed: list[str] = []

        def fill(digests, write, on_progress):
            for number in reversed(range(len(digests))):
                write(number, row_of(digests[number]))
                self.computed.append(digests[number])
                print(digests[number], flush=True)
                time.sleep(pause)
            on_progress(len(digests), len(digests))
            return {}

        self.digests = digests
        self.values = ShardedValues(cache, "features", "features", rules, digests, "<f4", lambda: (ROW,), fill,
                                    {"model": "m"}, say=say)

    def check(self) -> None:
        """Open or make the values, and compare each."""
        rows = np.asarray(self.values.opened_or_made().values)
        np.testing.assert_array_equal(rows, [row_of(digest) for digest in self.digests])


def in_small_shards(most: int) -> None:
    planning.LARGEST = most
