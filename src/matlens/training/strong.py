"""The recipe `strong`: the best in the time that the guide's recipe takes. The same settings for all models and data.

A pretrained network's new head is trained first, as the guide does it (Kumar et al. 2022: an untrained head would
spoil what the trunk knows). Then AdamW with warm-up and cosine (Loshchilov and Hutter 2017, 2019), smoothed labels
(Szegedy et al. 2016), averaged weights (Polyak and Juditsky 1992; Izmailov et al. 2018). Validation judges the averaged
weights, which are the result unless the head's epochs answered more validation photos right (`History.best`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
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
    average_epochs, average_steps: about how many of the last epochs the averaged weights cover, and how many steps at
        least: epochs of few photos are short.
    fewest_steps: a training has as many epochs more as these take, unless the user chose their number.
    head_epochs: of the head at most, which are as many as the guide's recipe takes.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    warm_up: float = 0.1
    average_epochs: float = 0.7
    average_steps: int = 36
    fewest_steps: int = 500
    head_epochs: int = 4

    def rate(self, done: float, highest: float) -> float:
        """Return the learning rate when a share `done` of all steps is done."""
        if done < self.warm_up:
            return highest * max(done, 1e-3) / self.warm_up
        return highest * (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up))) / 2

    def epochs(self, planned: int, steps: int) -> int:
        """Return the planned number of epochs of so many steps, or as many as the fewest steps take if that is more."""
        return max(planned, math.ceil(self.fewest_steps / steps))

    def averaged_steps(self, steps: int, epochs: int) -> float:
        """Return how many of the last steps the averaged weights cover: a quarter of all at most, and at least 1."""
        return max(1.0, min(max(steps * self.average_epochs, self.average_steps), steps * epochs / 4))


STRONG = Strong()


def fit_strong(network: Tunable, train: TrainingData, val: Iterable[Batch], listener: TrainingListener, *,
               epochs: int, steps: int, save_best: Callable[[], None], recipe: Strong = STRONG,
               history: History | None = None, checkpoints: Checkpoints | None = None) -> History:
    """Train by the recipe; the network ends with the averaged weights of the best epoch (`History.best`).

    Training losses are computed with smoothed labels, validation losses without.

    Args:
        epochs, steps: how many epochs follow, and the training steps of each.
        history: that of the head, which the network holds; its best epoch stays the one to beat.
    """
    tuned, history = _Tuned(network, recipe, steps, epochs), history or History()
    history.head_epochs = len(history.epochs)

    def save() -> None:
        with tuned.averaged():
            save_best()

    return fit(tuned, train, val, listener, epochs=history.head_epochs + epochs, initial_epoch=history.head_epochs,
               early_stopping_patience=epochs, reduce_lr_patience=epochs, save_best=save, history=history,
               states=None if checkpoints is None else checkpoints.of("strong", tuned))


class _Tuned:
    """A network whose rate follows the schedule and whose weights are averaged: the loop's `Resumable`."""

    def __init__(self, network: Tunable, recipe: Strong, steps: int, epochs: int) -> None:
        self._network, self._recipe = network, recipe
        self._highest, self._all_steps, self._done = network.learning_rate, steps * epochs, 0
        self._keep = 1 - 1 / recipe.averaged_steps(steps, epochs)
        self._steps, self._average = steps, network.average()
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
        def after_step(step: int, read: Callable[[], Scores]) -> None:
            on_step(step, read)
            self._done += 1
            self._average.update(min(self._keep, self._done / (self._done + 9)))
            if step < self._steps:  # the last step's rate is the epoch's
                self._set_rate()

        # Not while batches are drawn: a network may draw them ahead of its steps.
        self._set_rate()
        return self._network.train_epoch(self._smoothed(batches), after_step)

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Compute the statistics of the averaged weights."""
        with self.averaged():
            self._network.recompute_statistics(batches)
            weights = self._network.snapshot()
        self._average.set(weights)

    def validate(self, batches: Iterable[Batch], *, macro_f1: bool = False) -> Scores:
        """Compute loss and accuracy with the averaged weights. macro_f1: that, too."""
        with self.averaged():
            return self._network.validate(batches, macro_f1=macro_f1)

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """Copy the averaged weights."""
        return self._average.weights()

    def restore(self, snapshot: list[npt.NDArray[Any]]) -> None:
        """Put weights into the network."""
        self._network.restore(snapshot)

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the network's state, its weights (which are not the averaged ones), and the steps done."""
        weights = {f"weights/{number}": values for number, values in enumerate(self._network.snapshot())}
        return {"done": np.array(self._done), **weights, **self._network.training_state()}

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the state that `snapshot` and `training_state` returned."""
        self._done = int(state["done"])
        self._average.set(snapshot)
        weights = [state[f"weights/{number}"] for number in range(len(snapshot))]
        self._network.resume(weights, state)

    def averaged(self) -> AbstractContextManager[None]:
        """Give the network the averaged weights inside."""
        return self._average.swapped()

    def _set_rate(self) -> None:
        self._network.learning_rate = self._recipe.rate(self._done / self._all_steps, self._highest)

    def _smoothed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        smoothing = np.float32(self._recipe.label_smoothing)
        for images, labels in batches:
            weights = labels.sum(axis=1, keepdims=True)
            yield images, labels * (1 - smoothing) + smoothing * weights / np.float32(labels.shape[1])
