"""The division of photos into batches."""

from __future__ import annotations


def batch_bounds(photos: int, batch_size: int) -> list[tuple[int, int]]:
    """List (start, end) of each batch. A single last photo joins the batch before: batch normalisation needs two."""
    starts = list(range(0, photos, batch_size))
    if batch_size > 1 and len(starts) > 1 and photos - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], photos], strict=True))
