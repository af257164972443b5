"""A running average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Weights = list[npt.NDArray[Any]]


class WeightAverage(Protocol):
    """The average of a network's weights over the steps that it was told of; it begins with the present weights."""

    def update(self, keep: float) -> None:
        """Make it `keep` of itself and the rest of the present weights; what is no float is copied."""

    def weights(self) -> Weights:
        """Return a copy."""

    def set(self, weights: Weights) -> None:
        """Replace it."""

    def swapped(self) -> AbstractContextManager[None]:
        """Give the network the average inside."""


class _Weighted(Protocol):
    def snapshot(self) -> Any:
        """Return the present weights."""

    def restore(self, snapshot: Any) -> None:
        """Set the weights."""


class HostAverage:
    """See `WeightAverage`; in NumPy, of any network."""

    def __init__(self, network: _Weighted) -> None:
        self._network = network
        self._average: Weights = network.snapshot()

    def update(self, keep: float) -> None:
        """See `WeightAverage`."""
        share = 1 - np.float32(keep)
        for average, values in zip(self._average, self._network.snapshot(), strict=True):
            if np.issubdtype(average.dtype, np.floating):
                average += share * (values - average)
            else:
                average[...] = values

    def weights(self) -> Weights:
        """See `WeightAverage`."""
        return [values.copy() for values in self._average]

    def set(self, weights: Weights) -> None:
        """See `WeightAverage`."""
        self._average = [values.copy() for values in weights]

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """See `WeightAverage`."""
        before = self._network.snapshot()
        self._network.restore(self._average)
        try:
            yield
        finally:
            self._network.restore(before)
