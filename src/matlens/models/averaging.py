"""Averages of a network's weights over the steps of a training (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class WeightAverage(Protocol):
    """A moving average of a network's weights, which begins as the weights are when it is made."""

    def update(self, keep: float) -> None:
        """Set it to keep * average + (1 - keep) * weights; of whole numbers, such as counters, to the present ones.

        keep: a share, rounded to float32.
        """

    def weights(self) -> list[npt.NDArray[Any]]:
        """Copy the average, in the order and the dtypes of the network's `snapshot`."""

    def set(self, weights: list[npt.NDArray[Any]]) -> None:
        """Set the average to a copy of these weights. Not to be called inside of `swapped`."""

    def swapped(self) -> AbstractContextManager[None]:
        """Give the network the average inside, and its own weights, as they were before, afterwards.

        What is changed inside in the network's weights, such as statistics of batch normalisation, is lost then.
        """


class Weighted(Protocol):
    """A network whose weights can be read and written as arrays."""

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """Return a copy of the present weights."""

    def restore(self, snapshot: list[npt.NDArray[Any]]) -> None:
        """Set the weights."""


class HostAverage:
    """A `WeightAverage` in NumPy, of any network: each step copies the weights to the host."""

    def __init__(self, network: Weighted) -> None:
        self._network = network
        self._average = network.snapshot()

    def update(self, keep: float) -> None:
        """See `WeightAverage`."""
        share = 1 - np.float32(keep)
        for average, values in zip(self._average, self._network.snapshot(), strict=True):
            if np.issubdtype(average.dtype, np.floating):
                average += share * (values - average)
            else:
                average[...] = values

    def weights(self) -> list[npt.NDArray[Any]]:
        """See `WeightAverage`."""
        return [values.copy() for values in self._average]

    def set(self, weights: list[npt.NDArray[Any]]) -> None:
        """See `WeightAverage`."""
        self._average = [np.array(values) for values in weights]

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """See `WeightAverage`."""
        before = self._network.snapshot()
        self._network.restore(self._average)
        try:
            yield
        finally:
            self._network.restore(before)
