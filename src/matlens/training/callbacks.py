"""Early stopping and the learning rate's plateau, with Keras' definitions, for all frameworks."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs in a row without a new best one, by a figure that is better the lower it is."""

    patience: int = 5
    best: float = math.inf
    waited: int = 0

    def should_stop(self, figure: float) -> bool:
        """Take the figure of an epoch, such as its validation loss, and return whether training ends after it."""
        if figure < self.best:
            self.best, self.waited = figure, 0
            return False
        self.waited += 1
        return self.waited >= self.patience


@dataclass
class ReduceOnPlateau:
    """Multiply the learning rate by `factor` after `patience` epochs without a loss lower by `min_delta`."""

    patience: int = 3
    factor: float = 0.1
    min_delta: float = 1e-4
    best: float = math.inf
    waited: int = 0

    def next_rate(self, val_loss: float, rate: float) -> float:
        """Take the validation loss of an epoch, and return the learning rate for the next one."""
        if val_loss < self.best - self.min_delta:
            self.best, self.waited = val_loss, 0
            return rate
        self.waited += 1
        if self.waited < self.patience:
            return rate
        self.waited = 0
        return rate * self.factor
