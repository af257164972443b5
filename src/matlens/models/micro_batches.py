"""Training steps that do not fit into memory, computed in parts of the batch."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from matlens.errors import DeviceError
from matlens.system.batching import batch_bounds

Result = TypeVar("Result")
Parts = list[tuple[int, int]]
"""(start, end) in the batch. A part's share of the batch is the weight of its mean gradient, so that their sum is the
gradient of the whole batch's mean loss."""


class MicroBatches:
    """Decides how many photos are computed at once: the batch, and half as many after each error for want of memory.

    A step of the optimiser still sees the whole batch. Batch normalisation that is trained sees one part at a time;
    everything else is as with the whole batch, except for rounding and the numbers that dropout draws.

    Attributes:
        size: photos at once; None as long as whole batches fit.
        on_halved: called with each new size.
    """

    def __init__(self, is_out_of_memory: Callable[[Exception], bool], free: Callable[[], object] = gc.collect) -> None:
        """Create it.

        Args:
            is_out_of_memory: tells whether an error is the framework's for want of memory.
            free: gives memory back before another try.
        """
        self.size: int | None = None
        self.on_halved: Callable[[int], None] = lambda size: None
        self._is_out_of_memory, self._free = is_out_of_memory, free

    def parts(self, photos: int) -> Parts:
        """Return where the parts of a batch of so many photos begin and end."""
        return batch_bounds(photos, self.size or photos)

    def limit(self, size: int | None) -> None:
        """Compute no more photos at once than `size`; None changes nothing."""
        if size is not None:
            self.size = min(size, self.size or size)

    def run(self, photos: int, compute: Callable[[Parts], Result]) -> Result:
        """Return what `compute` makes of a batch's parts; halve the parts until they fit into memory.

        Where `compute` fails it must leave everything as it was before.

        Raises:
            DeviceError: not even a single photo fits.
        """
        while True:
            try:
                return compute(self.parts(photos))
            except Exception as error:
                if not self._is_out_of_memory(error):
                    raise
                largest = max(end - start for start, end in self.parts(photos))
                if largest == 1:
                    raise DeviceError("There is too little memory to train on a single photo. Use a smaller --img-size "
                                      "or --precision bfloat16, or end other programs that hold memory.") from error
                self.size = min(largest, self.size or largest) // 2 or 1
            self._free()  # only here: the error holds what was computed
            self.on_halved(self.size)
