"""Standardised features that are never in memory all at once: computed block by block from features on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from matlens.types import Array, Floats, Rows

_NUMBERS = 8_000_000
"""Of a block: 64 MB in float64."""


@dataclass(frozen=True, eq=False)
class StandardisedRows:
    """Features (N, K), less `mean` (K,), over `deviation` (K,)."""

    rows: Rows
    mean: Floats
    deviation: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, K)."""
        return self.rows.shape

    @property
    def size(self) -> int:
        """N x K."""
        return int(np.prod(self.rows.shape))

    def __len__(self) -> int:
        return self.rows.shape[0]


Standardised = Floats | StandardisedRows


def raw_blocks(rows: Rows) -> Iterator[tuple[slice, Array]]:
    """Yield features (B, K) with where they stand among all N."""
    n, at_once = rows.shape[0], max(1, _NUMBERS // rows.shape[1])
    for start in range(0, n, at_once):
        yield slice(start, start + at_once), rows[np.arange(start, min(start + at_once, n))]


def blocks_of(features: Standardised) -> Iterator[tuple[slice, Floats]]:
    """Yield standardised features (B, K) with where they stand among all N; an array as one block."""
    if isinstance(features, StandardisedRows):
        for here, block in raw_blocks(features.rows):
            yield here, np.asarray((block - features.mean) / features.deviation)
    else:
        yield slice(None), features
