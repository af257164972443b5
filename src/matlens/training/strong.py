"""The recipe `strong`: the best in the time that the guide's recipe takes. The same settings for all models and data.

AdamW with warm-up and cosine (Loshchilov and Hutter 2017, 2019), smoothed labels (Szegedy et al. 2016), averaged
weights (Polyak and Juditsky 1992; Izmailov et al. 2018). Validation judges the averaged weights, which are the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.models.protocol import Tunable
from matlens.training.checkpoints import Checkpoints
from matlens.training.history import History
from matlens.training.loop import TrainingData, TrainingListener, fit
from matlens.types import Batch, OnStep, Scores


@dataclass(frozen=True)
class Strong:
    """The settings of the recipe.

    learning_rate: the highest, where a pretrained trunk is trained from a cut on; for a network that is trained whole
        the guide's rate is the highest.
    warm_up: share of the steps in which the rate rises from 0.
    average_epochs: about how many of the last epochs the averaged weights cover.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    warm_up: float = 0.1
    average_epochs: float = 0.7

    def rate(self, done: float, highest: float) -> float:
        """Return the learning rate when a share `done` of all steps is done."""
        if done < self.warm_up:
            return highest * max(done, 1e-3) / self.warm_up
        return highest * (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up))) / 2


STRONG = Strong()


def fit_strong(network: Tunable, train: TrainingData, val: Iterable[Batch], listener: TrainingListener, *,
               epochs: int, steps: int, save_best: Callable[[], None], recipe: Strong = STRONG,
               history: History | None = None, checkpoints: Checkpoints | None = None) -> History:
    """Train by the recipe; the network ends with the averaged weights of the lowest validation loss.

    Training losses are computed with smoothed labels, validation losses without. steps: training steps an epoch.
    """
    tuned = _Tuned(network, recipe, steps, epochs)

    def save() -> None:
        with tuned.averaged():
            save_best()

    return fit(tuned, train, val, listener, epochs=epochs, early_stopping_patience=epochs, reduce_lr_patience=epochs,
               save_best=save, history=history,
               states=None if checkpoints is None else checkpoints.of("strong", tuned))


class _Tuned:
    """A network whose rate follows the schedule and whose weights are averaged: the loop's `Resumable`."""

    def __init__(self, network: Tunable, recipe: Strong, steps: int, epochs: int) -> None:
        self._network, self._recipe = network, recipe
        self._highest, self._all_steps, self._done = network.learning_rate, steps * epochs, 0
        self._keep = 1 - 1 / max(1.0, steps * recipe.average_epochs)
        self._average: list[npt.NDArray[Any]] = network.snapshot()
        network.use_adamw(recipe.weight_decay)

    @property
    def learning_rate(self) -> float:
        """The present learning rate."""
        return self._network.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        """Ignore the loop's plateau: the schedule decides."""

    @property
    def trains_statistics(self) -> bool:
        """Whether the network trains statistics of batch normalisation."""
        return self._network.trains_statistics

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """Train for one epoch."""
        return self._network.train_epoch(self._steps(batches), on_step)

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Compute the statistics of the averaged weights."""
        with self.averaged():
            self._network.recompute_statistics(batches)
            self._average = self._network.snapshot()

    def validate(self, batches: Iterable[Batch]) -> Scores:
        """Compute loss and accuracy with the averaged weights."""
        with self.averaged():
            return self._network.validate(batches)

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """Copy the averaged weights."""
        return [values.copy() for values in self._average]

    def restore(self, snapshot: list[npt.NDArray[Any]]) -> None:
        """Put weights into the network."""
        self._network.restore(snapshot)

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the network's state, its weights (which are not the averaged ones), and the steps done."""
        weights = {f"weights/{number}": values for number, values in enumerate(self._network.snapshot())}
        return {"done": np.array(self._done), **weights, **self._network.training_state()}

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the state that `snapshot` and `training_state` returned."""
        self._done, self._average = int(state["done"]), [values.copy() for values in snapshot]
        weights = [state[f"weights/{number}"] for number in range(len(snapshot))]
        self._network.resume(weights, state)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network the averaged weights inside."""
        before = self._network.snapshot()
        self._network.restore(self._average)
        try:
            yield
        finally:
            self._network.restore(before)

    def _steps(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        smoothing = np.float32(self._recipe.label_smoothing)
        for images, labels in batches:
            self._network.learning_rate = self._recipe.rate(self._done / self._all_steps, self._highest)
            yield images, labels * (1 - smoothing) + smoothing / np.float32(labels.shape[1])
            self._done += 1  # the step is done when the next batch is asked for
            self._take_into_average()

    def _take_into_average(self) -> None:
        keep = np.float32(min(self._keep, self._done / (self._done + 9)))
        for average, values in zip(self._average, self._network.snapshot(), strict=True):
            if np.issubdtype(average.dtype, np.floating):
                average += (1 - keep) * (values - average)
            else:
                average[...] = values
