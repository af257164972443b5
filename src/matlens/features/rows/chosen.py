"""Some rows of features that stay where they are: of features that are mapped from the disk, only what is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from matlens.types import Array, Labels


class Rows(Protocol):
    """Features (N, ...) by row: an array, or whatever reads them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, ...)."""

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Array:
        """Copy rows."""


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Rows of features, in an order of their own. numbers: (N,) the rows of `source` that they are."""

    source: Rows
    numbers: Labels

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, ...)."""
        return (len(self.numbers), *self.source.shape[1:])

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Array:
        """Copy rows, by their positions among the chosen ones."""
        return self.source[self.numbers[rows]]
