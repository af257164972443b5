"""Training steps that do not fit into memory, computed in parts of the batch."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from matlens.errors import ModelError
from matlens.system.batching import batch_bounds

Found = TypeVar("Found")
Parts = list[tuple[int, int]]
"""(start, end) in the batch. A part's share of the batch is the weight of its mean gradient, so that their sum is the
gradient of the whole batch's mean loss."""


class MicroBatches:
    """How many photos are computed at once: the batch, and after each error for want of memory half as many.

    The batch stays what a step of the optimiser is made of. Batch normalisation that is trained sees one part at a
    time; all else is as with the whole batch, but for rounding and the numbers that dropout draws.

    Attributes:
        size: None as long as whole batches fit.
        on_halved: told of each new size.
    """

    def __init__(self, is_out_of_memory: Callable[[Exception], bool], free: Callable[[], object] = gc.collect) -> None:
        """is_out_of_memory: whether an error is the framework's for that; free: gives memory back for another try."""
        self.size: int | None = None
        self.on_halved: Callable[[int], None] = lambda size: None
        self._is_out_of_memory, self._free = is_out_of_memory, free

    def parts(self, photos: int) -> Parts:
        """Where the parts of a batch of so many photos begin and end."""
        return batch_bounds(photos, self.size or photos)

    def limit(self, size: int | None) -> None:
        """Compute no more photos at once than this."""
        if size is not None:
            self.size = min(size, self.size or size)

    def run(self, photos: int, compute: Callable[[Parts], Found]) -> Found:
        """What `compute` makes of the parts, in smaller ones until they fit; it must leave all as it was if it fails.

        Raises:
            ModelError: not even a single photo fits.
        """
        while True:
            try:
                return compute(self.parts(photos))
            except Exception as error:
                if not self._is_out_of_memory(error):
                    raise
                largest = max(end - start for start, end in self.parts(photos))
                if largest == 1:
                    raise ModelError("There is too little memory to train on a single photo. Use a smaller --img-size "
                                     "or --precision bfloat16, or end other programs that hold memory.") from error
                self.size = min(largest, self.size or largest) // 2 or 1
            self._free()  # only here: the error holds what was computed
            self.on_halved(self.size)
