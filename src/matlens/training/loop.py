"""The training loop of all frameworks: epochs, the best weights, early stopping, plateau."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from matlens.errors import ModelError
from matlens.models.protocol import Trainable
from matlens.training.callbacks import EarlyStopping, ReduceOnPlateau
from matlens.training.checkpoints import StageStates, TrainingPoint
from matlens.training.history import Epoch, History
from matlens.types import Batch, Pace, Scores

STATISTICS_BATCHES = 16
"""Training batches over which batch normalisation's statistics are averaged before a validation."""


class TrainingListener(Protocol):
    """Told how a training goes; every method may do nothing."""

    def on_step(self, epoch: int, step: int, scores: Scores) -> None:
        """Hear that a training step of an epoch (both counted from 1) is done. Some steps are left out, see `Pace`."""

    def on_epoch(self, epoch: Epoch, improved: bool) -> None:
        """Hear that an epoch is done, its validation included."""


class TrainingData(Protocol):
    """Training photos in batches."""

    def epoch(self, number: int) -> Iterable[Batch]:
        """Give the batches of epoch `number`, counted from 0."""

    def head(self, batches: int) -> Iterable[Batch]:
        """Give at most so many batches of photos as they are, not augmented."""


def fit(classifier: Trainable, train: TrainingData, val: Iterable[Batch], listener: TrainingListener, *, epochs: int,
        initial_epoch: int = 0, early_stopping_patience: int = 5, reduce_lr_patience: int = 3,
        save_best: Callable[[], None] = lambda: None, history: History | None = None,
        states: StageStates | None = None) -> History:
    """Train a classifier, which ends with the weights of the best epoch: `History.best`.

    Args:
        epochs: the last epoch's number; training starts at `initial_epoch` + 1, as Keras' `fit` counts.
        save_best: called after each epoch that is better than all before.
        history: an earlier stage's, to be continued; its best epoch stays the one to beat. It says what chooses the
            best one, by which training ends early, too; the learning rate's plateau is the validation loss's. With
            `keep_last` nothing is chosen by validation: neither the epoch, nor the end, nor the learning rate.
        states: of the same classifier. Training goes on from the last one, and saves one before the listener hears of
            an epoch.

    Raises:
        ModelError: the loss is not a finite number any more.
    """
    history = history or History()
    stopping, plateau = EarlyStopping(early_stopping_patience), ReduceOnPlateau(reduce_lr_patience)
    best_weights = classifier.snapshot() if history.epochs else None
    first, finished = initial_epoch + 1, False
    resumed = states.resume(first, save_best) if states is not None else None
    if resumed is not None:
        point, best_weights = resumed[0], resumed[1] or best_weights
        history.epochs[:] = point.epochs
        stopping, plateau, finished, first = point.stopping, point.plateau, point.finished, point.number + 1
    pace = Pace()
    for number in range(first, 0 if finished else epochs + 1):
        started = time.perf_counter()
        photos = 0

        def counted(batches: Iterable[Batch]) -> Iterable[Batch]:
            nonlocal photos
            for images, labels in batches:
                photos += len(images)
                yield images, labels

        def on_step(step: int, read: Callable[[], Scores], number: int = number) -> None:
            if pace.due():
                listener.on_step(number, step, read())

        scores = classifier.train_epoch(counted(train.epoch(number - 1)), on_step)
        trained = time.perf_counter() - started
        if classifier.trains_statistics:
            classifier.recompute_statistics(train.head(STATISTICS_BATCHES))
        # Asked for by name only where it is needed: a network may take another pass for it.
        val_scores = classifier.validate(val, **({"macro_f1": True} if history.choose_by == "macro_f1" else {}))
        if not (math.isfinite(scores.loss) and math.isfinite(val_scores.loss)):
            raise ModelError(f"Training diverged in epoch {number} (loss {scores.loss}, validation loss "
                             f"{val_scores.loss}), so the model is not kept. Try a larger --batch-size, or --precision "
                             "float32.")
        rate = classifier.learning_rate
        history.epochs.append(Epoch(number, scores, val_scores, rate, time.perf_counter() - started,
                                    photos / trained))
        improved = history.best is history.epochs[-1]
        if improved:
            best_weights = classifier.snapshot()
            save_best()
        finished = number == epochs
        if not history.keep_last:
            finished = stopping.should_stop(history.figure(val_scores)) or finished
            classifier.learning_rate = plateau.next_rate(val_scores.loss, rate)
        if states is not None:
            states.save(TrainingPoint(tuple(history.epochs), history.best.number, classifier.learning_rate, stopping,
                                      plateau, finished), best_weights)
        listener.on_epoch(history.epochs[-1], improved)
        if finished:
            break
    if best_weights is not None:
        classifier.restore(best_weights)
    return history
