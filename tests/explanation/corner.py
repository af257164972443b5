"""Photos whose class is decided by one marked corner, to see whether heat maps find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
from heat import heatmaps

from matlens.features.artifact import write_artifact
from matlens.models.protocol import BuildOrder, room_of
from matlens.training.loop import fit
from matlens.types import Batch

COLOURS = np.array([[1, 0.1, 0.1], [0.1, 1, 0.1], [0.1, 0.1, 1]], np.float32)


def marked(n: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey noise with a coloured patch in a corner.

    Returns photos, classes (the colour) and corners (row, column in 0, 1).
    """
    rng = np.random.default_rng(seed)
    photos = np.repeat(rng.uniform(0.3, 0.6, (n, side, side, 1)), 3, -1).astype(np.float32)
    classes = np.arange(n) % 3
    corners = rng.integers(0, 2, (n, 2))
    patch = side // 3
    for photo, number, (down, right) in zip(photos, classes, corners, strict=True):
        top, left = down * (side - patch), right * (side - patch)
        photo[top:top + patch, left:left + patch] = COLOURS[number]
    return photos, classes, corners


class Marked:
    """Training data of marked photos, by epoch."""

    def __init__(self, n: int, side: int, batch_size: int) -> None:
        self.photos, self.classes, _ = marked(n, side, 1)
        self.batch_size = batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """Shuffled batches."""
        order = np.random.default_rng(number).permutation(len(self.photos))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start:start + self.batch_size]
            yield self.photos[chosen], np.eye(3, dtype=np.float32)[self.classes[chosen]]

    def head(self, batches: int) -> Iterator[Batch]:
        """All of them."""
        return self.epoch(0)


def share_of_found_corners(model: str, tmp_path, *, side: int, epochs: int, n: int = 96, batch_size: int = 16,
                           learning_rate: float | None = None) -> float:
    """Train from random weights, and say how often the heat of a right answer lies towards the marked corner.

    learning_rate: Adam's; None: that which the network is built with.
    """
    room = room_of(model)
    room.seed(0, False)
    classifier = room.build(BuildOrder(model, 3, (side, side)))
    classifier.learning_rate = learning_rate or classifier.learning_rate
    data = Marked(n, side, batch_size)
    silent = SimpleNamespace(on_step=lambda *_: None, on_epoch=lambda *_: None)
    fit(classifier, data, list(data.head(1)), silent, epochs=epochs, early_stopping_patience=99)
    photos, classes, corners = marked(24, side, 2)
    artifact = write_artifact(tmp_path / "a", classifier.export_trunk, classifier.predict, photos[:4], model,
                              ("red", "green", "blue"))
    features = artifact.trunk.features(photos)
    predicted = artifact.head.probabilities(features).argmax(1)
    right = predicted == classes
    assert right.mean() > 0.6, f"{model} has not learnt the colours: {right.mean():.0%} right"
    maps = heatmaps(features, artifact.head, predicted)
    return float((_corner_of(maps) == corners).all(1)[right].mean())


def moved_most_by(features_of: Callable[[np.ndarray], np.ndarray], side: int) -> np.ndarray:
    """Paint each corner of a photo in turn; say for each corner of the map which painting moved it most.

    It takes no training: whatever the weights are, a place of the map tells most of its own place in the photo. What
    moves all places alike, such as a class token, counts for none of them.

    features_of: photos (B, side, side, 3) to maps (B, h, w, K). Returns numbers of paintings as (2, 2): [[0, 1],
    [2, 3]] where the map lies as the photo does.
    """
    plain = np.random.default_rng(3).uniform(0.3, 0.6, (side, side, 3)).astype(np.float32)
    photos, patch = np.stack([plain] * 5), side // 4
    for photo, (down, right) in zip(photos[1:], ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        top, left = down * (side - patch), right * (side - patch)
        photo[top:top + patch, left:left + patch] = COLOURS[0]
    features = features_of(photos)
    moved = np.square(features[1:] - features[:1]).sum(-1)
    moved -= moved.min((1, 2), keepdims=True)
    moved /= moved.sum((1, 2), keepdims=True)
    return np.asarray(moved[:, [0, 0, -1, -1], [0, -1, 0, -1]].argmax(0).reshape(2, 2))


def _corner_of(maps: np.ndarray) -> np.ndarray:
    """Say towards which corner the weight of maps (B, h, w) lies: (B, 2), row and column in 0, 1."""
    down, right = (np.arange(places) - (places - 1) / 2 for places in maps.shape[1:])
    return np.stack(((maps * down[:, None]).sum((1, 2)) > 0, (maps * right).sum((1, 2)) > 0), 1).astype(int)
