"""The recipe `probe` as a stage: which photos it looks at, and what it leaves in the history."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from builders import split_of
from matlens.errors import ModelError, OutOfMemoryError
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.training.frozen import PooledFeatures
from matlens.training.history import Epoch, History
from matlens.training.probe import given
from matlens.training.probe.logistic import STRENGTHS
from matlens.training.record import Clock
from matlens.training.stages import linear_head, nearest_photos
from matlens.training.stages.base import TrainedHead
from matlens.training.stages.linear_head import LinearHead
from matlens.training.stages.nearest_photos import MOST_BYTES, NEIGHBOURS, NearestPhotos
from matlens.types import Scores

DEPTH = 12


@pytest.fixture
def fitted(monkeypatch):
    """Fit the head of a run with drawn features; `change` may alter (features, split) before."""
    for stage in (linear_head, nearest_photos):
        monkeypatch.setattr(stage, "leave_model_file", lambda frozen, head: None)

    def one(change: Any = None, more_views: int = 0, kind: Any = LinearHead, **options: Any) -> TrainedHead:
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
                                      run=SimpleNamespace(settings=Settings.load(options={
                                          "recipe": "probe", "views": 1 + more_views, **options})),
                                      reporter=Reporter(quiet=True),
                                      pooled=lambda: pooled, bytes_of_features=lambda: 4 * DEPTH, clock=Clock(),
                                      weights_file=Path("weights.h5"))
        return kind(1).train(frozen, is_last=True)

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


def test_the_number_of_neighbours_is_chosen_on_validation_and_stands_in_the_history(fitted):
    """The reader sees among how many the choice was, and what voted."""
    trained = fitted(kind=NearestPhotos, head="knn")
    history = trained.history
    tried = [k for k in NEIGHBOURS if k < len(trained.head.labels)]
    assert history.history["neighbours"] == tried
    assert history.history["val_loss"].index(min(history.history["val_loss"])) + 1 == history.best.number
    assert trained.head.k == history.best.neighbours
    assert str(trained.head.k) in trained.remarks[0]
    assert trained.head.exemplars.shape[1] == DEPTH
    np.testing.assert_allclose(np.linalg.norm(trained.head.exemplars, axis=1), 1, rtol=1e-5)


def test_no_training_photo_votes_for_itself(fitted):
    """Else every curve of one neighbour would be at 100 %, and with views each photo would know itself."""
    for views in (0, 2):
        trained = fitted(kind=NearestPhotos, more_views=views, head="knn")
        assert trained.history.history["accuracy"][0] < 0.95
        assert len(trained.head.labels) == (1 + views) * 80


def test_the_nearest_photos_never_look_at_the_test_part(fitted):
    """Whatever its features are."""
    def spoil(features: np.ndarray, split: Any) -> None:
        features[of_part(split, "test")] = np.nan

    spoilt, plain = (fitted(change, kind=NearestPhotos, head="knn").head for change in (spoil, None))
    assert spoilt.exemplars.tobytes() == plain.exemplars.tobytes()
    assert spoilt.k == plain.k


def test_what_does_not_fit_is_refused_before_features_are_computed(fitted, monkeypatch):
    """A run that ends with the machine's last byte has cost an hour, and says nothing of why."""
    monkeypatch.setattr(given, "available_memory", lambda: 1000)
    with pytest.raises(OutOfMemoryError, match=r"240 photos.*--recipe guide"):
        fitted()
    monkeypatch.setattr(given, "available_memory", lambda: None)
    monkeypatch.setattr(nearest_photos, "MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="--head linear"):
        fitted(kind=NearestPhotos, head="knn")
    assert MOST_BYTES > 48_875 * 1280 * 4, "MINC-2500 with MobileNetV2 fits"
