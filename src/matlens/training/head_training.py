"""Train a head on features in NumPy, with Keras' arithmetic and without a framework."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.models.head import Dense, Head, Pooling, softmax
from matlens.types import Array, Batch, ClassCounts, OnStep, Scores

_SMALLEST = 1e-7
"""Keras' epsilon, in Adam's denominator and in the loss."""


@dataclass
class Adam:
    """Kingma and Ba 2015, as keras.optimizers.Adam computes it."""

    learning_rate: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    steps: int = 0
    moments: list[tuple[Array, Array]] = field(default_factory=list)

    def update(self, parameters: Sequence[Array], gradients: Sequence[Array]) -> None:
        """Take one step, in place."""
        if not self.moments:
            self.moments = [(np.zeros_like(values), np.zeros_like(values)) for values in parameters]
        self.steps += 1
        rate = np.float32(self.learning_rate * np.sqrt(1 - self.beta_2**self.steps) / (1 - self.beta_1**self.steps))
        for values, slope, (mean, square) in zip(parameters, gradients, self.moments, strict=True):
            mean += np.float32(1 - self.beta_1) * (slope - mean)
            square += np.float32(1 - self.beta_2) * (slope * slope - square)
            values -= rate * mean / (np.sqrt(square) + np.float32(_SMALLEST))


class HeadTrainer:
    """Dense(hidden, relu), Dropout, Dense(classes, softmax) on averaged features: the loop's `Resumable`.

    Batches are (features (B, K), labels (B, C), each row times its photo's weight). Dropout follows from (seed, step):
    there is no generator to restore.
    """

    trains_statistics = False

    def __init__(self, layers: Sequence[Dense], dropout: float, learning_rate: float, seed: int) -> None:
        self._hidden, self._last = (Dense(layer.kernel.copy(), layer.bias.copy(), layer.activation) for layer in layers)
        self._dropout, self._seed = dropout, seed
        self._adam = Adam(learning_rate)

    @classmethod
    def fresh(cls, inputs: int, hidden: int, classes: int, dropout: float, learning_rate: float, seed: int,
              ) -> HeadTrainer:
        """Make a head with Keras' initial weights: Glorot-uniform kernels (Glorot and Bengio 2010), biases 0."""
        rng = np.random.default_rng([seed, 0])
        return cls([_fresh(inputs, hidden, "relu", rng), _fresh(hidden, classes, "softmax", rng)], dropout,
                   learning_rate, seed)

    @property
    def learning_rate(self) -> float:
        """The optimiser's present learning rate."""
        return self._adam.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._adam.learning_rate = value

    def head(self, pooling: Pooling = "avg") -> Head:
        """Copy the head as it is now. pooling: what made the features that it is trained on."""
        return Head(pooling, tuple(Dense(layer.kernel.copy(), layer.bias.copy(), layer.activation)
                                   for layer in (self._hidden, self._last)))

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """Train for one epoch."""
        means = _MeanScores()
        for step, (features, labels) in enumerate(batches, 1):
            probabilities = self._train_on(np.asarray(features), labels)
            means.add(probabilities, labels)
            on_step(step, means.scores)
        return means.scores()

    def validate(self, batches: Iterable[Batch], *, macro_f1: bool = False) -> Scores:
        """Compute loss and accuracy without training. macro_f1: that, too."""
        means, counts = _MeanScores(), ClassCounts(len(self._last.bias))
        for features, labels in batches:
            hidden = np.maximum(np.asarray(features) @ self._hidden.kernel + self._hidden.bias, 0)
            probabilities = softmax(hidden @ self._last.kernel + self._last.bias)
            means.add(probabilities, labels)
            counts.add(probabilities.argmax(axis=1), labels.argmax(axis=1))
        return replace(means.scores(), macro_f1=counts.macro_f1()) if macro_f1 else means.scores()

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Do nothing: a head has no batch normalisation."""

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """Copy all weights."""
        return [values.copy() for values in self._parameters]

    def restore(self, snapshot: Any) -> None:
        """Restore the weights that `snapshot` returned."""
        for values, saved in zip(self._parameters, snapshot, strict=True):
            values[...] = saved

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return Adam's steps and moments."""
        return {"steps": np.array(self._adam.steps), **{
            f"{name}/{number}": values for number, moments in enumerate(self._adam.moments)
            for name, values in zip(("mean", "square"), moments, strict=True)}}

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the state that `snapshot` and `training_state` returned."""
        self.restore(snapshot)
        self._adam.steps = int(state["steps"])
        self._adam.moments = [(state[f"mean/{number}"].copy(), state[f"square/{number}"].copy())
                              for number in range((len(state) - 1) // 2)]

    @property
    def _parameters(self) -> list[Array]:
        return [self._hidden.kernel, self._hidden.bias, self._last.kernel, self._last.bias]

    def _train_on(self, features: Array, labels: Array) -> Array:
        hidden = np.maximum(features @ self._hidden.kernel + self._hidden.bias, 0)
        mask = self._dropout_mask(hidden.shape)
        dropped = hidden * mask
        probabilities = softmax(dropped @ self._last.kernel + self._last.bias)
        slope = (probabilities * labels.sum(axis=1, keepdims=True) - labels) / np.float32(len(labels))
        below = (slope @ self._last.kernel.T) * mask * (hidden > 0)
        self._adam.update(self._parameters, [features.T @ below, below.sum(axis=0), dropped.T @ slope,
                                             slope.sum(axis=0)])
        return probabilities

    def _dropout_mask(self, shape: tuple[int, ...]) -> Array:
        """Draw dropout's factors: 0, or the inverse of the share of units that stay."""
        if self._dropout == 0:
            return np.ones(shape, dtype=np.float32)
        rng = np.random.default_rng([self._seed, self._adam.steps, 1])
        keep = np.float32(1 - self._dropout)
        return (rng.random(shape, dtype=np.float32) < keep).astype(np.float32) / keep


def _fresh(inputs: int, outputs: int, activation: Any, rng: np.random.Generator) -> Dense:
    limit = np.sqrt(6 / (inputs + outputs))
    return Dense(rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32), np.zeros(outputs, np.float32),
                 activation)


class _MeanScores:
    """Averages loss and accuracy over photos."""

    def __init__(self) -> None:
        self._loss, self._hits, self._photos = 0.0, 0, 0

    def add(self, probabilities: Array, labels: Array) -> None:
        weights = labels.sum(axis=1)
        likely = np.clip((probabilities * labels).sum(axis=1) / weights, _SMALLEST, 1)
        self._loss -= float((weights * np.log(likely)).sum())
        self._hits += int((probabilities.argmax(axis=1) == labels.argmax(axis=1)).sum())
        self._photos += len(labels)

    def scores(self) -> Scores:
        photos = max(self._photos, 1)
        return Scores(self._loss / photos, self._hits / photos)
