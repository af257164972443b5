"""Networks and listeners that stand in for real ones in the tests of training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from matlens.models.averaging import HostAverage
from matlens.types import Scores

SILENT = SimpleNamespace(on_step=lambda *_: None, on_epoch=lambda *_: None)
"""A `TrainingListener` that does nothing."""


class Counter:
    """A `Tunable` network whose weight is the number of its training steps; its validation's figures are given."""

    def __init__(self, losses: list[float], trains_statistics: bool = False, accuracies: list[float] | None = None,
                 ) -> None:
        self.accuracies = list(accuracies or [0.5] * len(losses))
        self.losses, self.trains_statistics, self.learning_rate = list(losses), trains_statistics, 3.0
        self.weight, self.seed, self.mean = np.zeros(2, np.float32), np.array([7], np.int64), np.zeros(1, np.float32)
        self.began, self.rates, self.labels, self.validated, self.decay = [], [], [], [], None

    def use_adamw(self, weight_decay):
        self.decay = weight_decay

    def average(self):
        return HostAverage(self)

    def train_epoch(self, batches, on_step):
        self.began.append(float(self.weight[0]))
        for step, (_, labels) in enumerate(batches, 1):
            self.rates.append(self.learning_rate)
            self.labels.append(labels)
            self.weight = self.weight + np.float32(1)
            self.seed = self.seed + 1
            on_step(step, lambda: Scores(1.0, 0.5))
        return Scores(1.0, 0.5)

    def recompute_statistics(self, batches):
        self.mean = self.weight[:1] * 10

    def validate(self, batches, *, macro_f1=False):
        self.validated.append([float(values[0]) for values in self.snapshot()])
        return Scores(self.losses.pop(0), self.accuracies.pop(0))

    def snapshot(self):
        return [self.weight.copy(), self.seed.copy(), self.mean.copy()]

    def restore(self, snapshot):
        self.weight, self.seed, self.mean = (values.copy() for values in snapshot)

    def training_state(self):
        return {"rate": np.array(self.learning_rate)}

    def resume(self, snapshot, state):
        self.restore(snapshot)
        self.resumed_rate = float(state["rate"])
