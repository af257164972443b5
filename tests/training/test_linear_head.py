"""The recipe `probe` as a stage: which photos it looks at, and what it leaves in the history."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from builders import split_of
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.training.frozen import PooledFeatures
from matlens.training.history import Epoch, History
from matlens.training.probe.logistic import STRENGTHS
from matlens.training.record import Clock
from matlens.training.stages import linear_head
from matlens.training.stages.base import TrainedHead
from matlens.training.stages.linear_head import LinearHead
from matlens.types import Scores

DEPTH = 12


@pytest.fixture
def fitted(monkeypatch):
    """Fit the head of a run with drawn features; `change` may alter (features, split) before."""
    monkeypatch.setattr(linear_head, "leave_model_file", lambda frozen, head: None)

    def one(change: Any = None, more_views: int = 0) -> TrainedHead:
        split = split_of(per_class=40)
        labels = split.labels(split.photos)
        rng = np.random.default_rng(0)
        features = (rng.normal(size=(len(labels), DEPTH)) + np.eye(DEPTH)[labels]).astype(np.float32)
        if change is not None:
            change(features, split)
        views = [features[[photo.part == "train" for photo in split.photos]] + 0.1 * view
                 for view in range(1, more_views + 1)]
        pooled = PooledFeatures((features, *views), tuple(photo.sha256 for photo in split.photos), "trunk", "key")
        frozen: Any = SimpleNamespace(prepared=SimpleNamespace(split=split), model="mobilenetv2_transfer",
                                      run=SimpleNamespace(settings=Settings()), reporter=Reporter(quiet=True),
                                      pooled=lambda: pooled, clock=Clock(), weights_file=Path("weights.h5"))
        return LinearHead(1).train(frozen, is_last=True)

    return one


def of_part(split: Any, part: str) -> np.ndarray:
    return np.array([photo.part == part for photo in split.photos])


def test_every_strength_stands_in_the_history_and_the_best_on_validation_is_kept(fitted):
    """Curves for a model without epochs: the reader sees among how many the choice was."""
    trained = fitted()
    history = trained.history
    assert history.history["strength"] == list(STRENGTHS)
    assert "learning_rate" not in history.history
    losses = history.history["loss"]
    assert losses == sorted(losses, reverse=True), "a weaker penalty fits the training photos better"
    assert history.history["val_loss"].index(min(history.history["val_loss"])) + 1 == history.best.number
    assert f"({history.best.strength:g}, " in trained.remarks[0]
    assert f"of {len(STRENGTHS)}" in trained.remarks[0]


def test_the_test_part_is_never_looked_at(fitted):
    """Whatever its features are."""
    def spoil(features: np.ndarray, split: Any) -> None:
        features[of_part(split, "test")] = np.nan

    assert fitted(spoil).head.layers[0].kernel.tobytes() == fitted().head.layers[0].kernel.tobytes()


def test_validation_photos_choose_and_are_not_fitted(fitted):
    """Photos that say nothing choose the strongest penalty, and leave the path of heads as it was."""
    def shuffle(features: np.ndarray, split: Any) -> None:
        rows = np.flatnonzero(of_part(split, "val"))
        features[rows] = features[rows[::-1]]

    shuffled, plain = fitted(shuffle), fitted()
    assert shuffled.history.history["loss"] == plain.history.history["loss"]
    assert shuffled.history.best.strength == STRENGTHS[0]
    assert "the strongest of" in shuffled.remarks[0]


def test_views_are_more_training_photos(fitted):
    """`--views 3` shows each training photo three times, and no other photo."""
    varied, plain = (fitted(more_views=views).history.history for views in (2, 0))
    assert varied["loss"] != plain["loss"]
    assert varied["val_loss"][0] == pytest.approx(plain["val_loss"][0], abs=0.1)


def test_of_equal_losses_the_stronger_penalty_is_kept():
    """It is the simpler head."""
    epochs = [Epoch(number, Scores(1.0, 0.5), Scores(loss, 0.5), 0.0, 1.0, 1.0, strength)
              for number, loss, strength in ((1, 0.9, 1.0), (2, 0.7, 0.1), (3, 0.7, 0.01))]
    assert History(epochs).best.strength == 0.1
