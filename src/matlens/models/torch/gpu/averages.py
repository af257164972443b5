"""A running average of weights that stays on their device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import torch


class DeviceAverage:
    """See `models.averaging.WeightAverage`. No step copies anything to the host or waits for the device.

    tensors: the network's weights and statistics, which are changed in place wherever they change.
    """

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        self._tensors = [values.detach() for values in tensors]
        self._average = [values.clone() for values in self._tensors]
        self._floating = [number for number, values in enumerate(self._tensors) if values.is_floating_point()]
        self._others = [number for number, values in enumerate(self._tensors) if not values.is_floating_point()]

    @torch.no_grad()
    def update(self, keep: float) -> None:
        """Make it `keep` of itself and the rest of the present weights; what is no float is copied."""
        if self._floating:
            torch._foreach_lerp_([self._average[number] for number in self._floating],
                                 [self._tensors[number] for number in self._floating], 1 - keep)
        if self._others:
            torch._foreach_copy_([self._average[number] for number in self._others],
                                 [self._tensors[number] for number in self._others])

    def weights(self) -> list[npt.NDArray[Any]]:
        """Return a copy of the average on the host."""
        return [values.cpu().numpy().copy() for values in self._average]

    @torch.no_grad()
    def set(self, weights: Sequence[npt.NDArray[Any]]) -> None:
        """Replace the average."""
        for average, values in zip(self._average, weights, strict=True):
            average.copy_(torch.as_tensor(values))

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Give the network the average inside."""
        before = [values.clone() for values in self._tensors]
        self._put(self._average)
        try:
            yield
        finally:
            self._put(before)

    @torch.no_grad()
    def _put(self, weights: list[torch.Tensor]) -> None:
        torch._foreach_copy_(self._tensors, weights)
