"""The votes of the nearest training photos by hand, and what an artifact holds of them."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.errors import ModelError
from matlens.models.head import Head, softmax
from matlens.models.heads.knn import TEMPERATURE, KnnHead, unit_rows
from matlens.models.heads.reading import read_head

CLASSES, DEPTH, PHOTOS = 3, 6, 20


def by_hand(k: int, **more) -> KnnHead:
    """Exemplars at 0 and 90 degrees of class 0 and 1, and at 180 of class 1."""
    return KnnHead("avg", np.array([[1, 0], [0, 1], [-1, 0]], np.float32), np.array([0, 1, 1]), k,
                   np.zeros(CLASSES, np.float32), **more)


def drawn(k: int = 7, places: int | None = None) -> KnnHead:
    rng = np.random.default_rng(0)
    exemplars = unit_rows(rng.normal(size=(PHOTOS, DEPTH)).astype(np.float32))[0]
    return KnnHead("avg" if places is None else "statistics", exemplars, rng.integers(0, CLASSES, PHOTOS), k,
                   np.zeros(CLASSES, np.float32), places)


def maps(photos: int = 4) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(photos, 2, 3, DEPTH)).astype(np.float32)


def test_the_nearest_has_one_vote_the_next_less_and_one_vote_is_everybodys():
    """A photo at 30 degrees: cosines 0.866 and 0.5, so votes 1 and exp(-0.366 / 0.07), and a third for each class."""
    photo = np.array([[[[np.cos(np.pi / 6), np.sin(np.pi / 6)]]]], np.float32)
    second = np.exp((0.5 - np.sqrt(3) / 2) / TEMPERATURE)
    votes = np.array([1 + 1 / 3, second + 1 / 3, 1 / 3])
    np.testing.assert_allclose(by_hand(2).probabilities(photo), [votes / votes.sum()], rtol=1e-5)
    np.testing.assert_allclose(by_hand(1).probabilities(photo), [np.array([4, 1, 1]) / 6], rtol=1e-5)


def test_how_bright_a_photo_is_changes_nothing():
    """Cosines know directions alone."""
    head, features = by_hand(3), np.array([[[[3, 1]]], [[[300, 100]]]], np.float32)
    first, second = head.probabilities(features)
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_probabilities_sum_to_one_and_a_shift_is_one_of_class_scores():
    """Logit adjustment and temperature take them as they take a network's."""
    head, by = drawn(), np.array([1, 0, -2], np.float32)
    probabilities = head.probabilities(maps())
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert probabilities.min() > 0
    np.testing.assert_allclose(head.shifted(by).probabilities(maps()), softmax(np.log(probabilities) + by), rtol=1e-5)


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_the_heat_of_votes_is_what_makes_a_photo_more_like_its_neighbours(score):
    """Central differences of the votes, the nearest one's weight held, and the neighbours the same."""
    head, features = drawn(), maps(1).astype(np.float64)
    pooled = features.mean(axis=(1, 2))

    def similarities(values: np.ndarray) -> np.ndarray:
        return values / np.linalg.norm(values) @ head.exemplars.T.astype(np.float64)

    before = similarities(pooled)
    nearest = np.argsort(-before[0])[:head.k]
    classes = head.labels[nearest[:1]]

    def explained(values: np.ndarray) -> float:
        weights = np.exp((similarities(values)[0, nearest] - before.max()) / TEMPERATURE)
        votes = np.bincount(head.labels[nearest], weights, CLASSES) + 1 / CLASSES
        return float((np.log(votes) if score == "logit" else votes / votes.sum())[classes[0]])

    wanted = [(explained(pooled + step) - explained(pooled - step)) / 2e-5 for step in 1e-5 * np.eye(DEPTH)]
    given = features.astype(np.float32)
    found = head.channel_gradients(head.forward(given), classes, DEPTH, score)
    np.testing.assert_allclose(found[0], wanted, rtol=2e-3, atol=2e-3 * np.abs(wanted).max())
    assert np.abs(wanted).max() > 0.01
    at_places = head.gradients(head.forward(given), classes, given, score)
    np.testing.assert_allclose(at_places.sum(axis=(1, 2)), found, rtol=1e-4, atol=1e-6)


def test_statistics_have_no_heat():
    """They are the same at every place."""
    head = drawn(places=4)
    sums = head.channel_gradients(head.forward(maps()), np.zeros(4, np.int64), DEPTH)
    assert not sums[:, 4:].any()
    assert sums[:, :4].any()


def test_an_artifact_gives_back_the_head_that_was_put_into_it(tmp_path):
    """Of either kind, by the same function."""
    knn, dense = drawn(places=4), Head.blank("statistics", DEPTH, CLASSES, 4)
    for head in (knn, dense):
        head.save(tmp_path / "head.npz")
        again = read_head(tmp_path / "head.npz")
        assert type(again) is type(head)
        assert (again.pooling, again.places) == ("statistics", 4)
        np.testing.assert_array_equal(again.probabilities(maps()), head.probabilities(maps()))
    np.testing.assert_allclose(dense.probabilities(maps()), 1 / CLASSES)


@pytest.mark.parametrize("change", [{"k": np.array(PHOTOS + 1)}, {"labels": np.full(PHOTOS, CLASSES)},
                                    {"exemplars": np.ones((PHOTOS + 1, DEPTH), np.float32)},
                                    {"places": np.array(2)}],
                         ids=["many neighbours", "a class too many", "a photo too many", "places without statistics"])
def test_a_file_that_does_not_fit_together_is_refused(tmp_path, change):
    """A stranger's artifact must not answer something."""
    drawn().save(file := tmp_path / "head.npz")
    with np.load(file) as arrays:
        content = {**arrays, **change}
    np.savez(file, **content)
    with pytest.raises(ModelError, match="head"):
        read_head(file)
