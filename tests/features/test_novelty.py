"""Photos that a model does not know: p values by hand, sets that cover what they state, detectors and their file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from matlens.errors import ModelError
from matlens.features.artifact import Artifact, write_about
from matlens.features.beside import note_novelty
from matlens.features.novelty.conformal import Conformal, PredictionSets, groups_needed
from matlens.features.novelty.detectors import DETECTORS, NearestClass, NearestNeighbours
from matlens.features.novelty.stored import FILE_NAME, Novelty
from matlens.features.novelty.training_photos import TrainingPhotos

SINGLE = np.arange(4)


def test_a_p_value_is_the_share_of_photos_that_look_at_least_as_strange():
    """Of the scores 1 to 4 two reach 2.5, and the photo itself counts: 3 of 5."""
    conformal = Conformal(np.array([4.0, 1.0, 3.0, 2.0]), SINGLE)
    np.testing.assert_allclose(conformal.p_values([2.5, 2.0, 0.0, 5.0]), [3 / 5, 4 / 5, 1, 1 / 5])


def test_photos_of_one_group_count_as_one():
    """Groups {1, 1} and {5}: each weighs one of three, the third being the photo's own."""
    conformal = Conformal(np.array([1.0, 1.0, 5.0]), np.array([7, 7, 2]))
    np.testing.assert_allclose(conformal.p_values([1.0, 2.0, 6.0]), [1, 2 / 3, 1 / 3])
    assert conformal.count == 2


@pytest.mark.parametrize(("rate", "groups"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.5, 1)])
def test_a_rate_takes_so_many_groups(rate, groups):
    assert groups_needed(rate) == groups
    few, enough = (Conformal(np.zeros(n), np.arange(n)) for n in (groups - 1, groups))
    assert not few.tells(rate)
    assert enough.tells(rate)
    assert enough.p_values(1.0) <= rate + 1e-12


def test_sets_by_hand():
    """1 - p of the true classes was 0.1 to 0.4. A class of probability 0.65 has 1 - p = 0.35, which one photo reaches:
    its p value is 2 of 5, and so it is not in a set of 60 %, but in one of 61 %. With 0.75 two reach 0.25: 3 of 5."""
    sets = PredictionSets(np.array([0.9, 0.8, 0.7, 0.6]), np.array([0, 0, 1, 1]), SINGLE, 3)
    photos = np.array([[0.65, 0.34, 0.01], [0.25, 0.75, 0.0]], np.float32)
    other = np.array([2, 2])  # which is answered, and so in the set
    assert sets.members(photos, 0.6, answers=other).tolist() == [[False, False, True], [False, True, True]]
    assert sets.members(photos, 0.61, answers=other).tolist() == [[True, False, True], [False, True, True]]
    assert sets.members(photos, 0.01).tolist() == [[True, False, False], [False, True, False]]
    assert (sets.untold(0.6), sets.untold(0.7)) == ([2], [0, 1, 2]), "two photos of a class are too few for 70 %"
    assert sets.members(photos[:1], 0.7, by_class=True).all(), "what cannot be told may be"


@pytest.mark.parametrize("each", [1, 5])
def test_sets_cover_what_they_state_for_photos_of_groups_that_nobody_saw(each):
    """400 draws of 60 groups with `each` copies of a photo, and one of another group: 90 % within 3 standard errors."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        hard = rng.random(61)
        own = 0.5 + 0.5 * np.repeat(hard[:60], each)
        sets = PredictionSets(own, np.zeros(60 * each, np.int64), np.repeat(np.arange(60), each), 2)
        answered = np.array([[0.5 + 0.5 * hard[60], 0.5 - 0.5 * hard[60]]], np.float32)
        covered.append(bool(sets.members(answered, 0.9, answers=np.array([1]))[0, 0]))
    assert abs(np.mean(covered) - 0.9) < 3 * np.sqrt(0.09 / 400) + 1 / 61


def _clouds(rng: np.random.Generator, n: int = 40):
    """Features of two classes around two axes, and strangers around a third."""
    centres = np.eye(6, dtype=np.float32)[:3] * 3
    known = np.concatenate([centres[k] + rng.normal(0, 0.3, (n, 6)) for k in (0, 1)]).astype(np.float32)
    strange = (centres[2] + rng.normal(0, 0.3, (n, 6))).astype(np.float32)
    return known, np.repeat([0, 1], n), strange


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_scores_strangers_higher_than_photos_like_those_it_saw(name):
    known, labels, strange = _clouds(np.random.default_rng(1))
    assert DETECTORS[name].fits(known, labels)
    detector = DETECTORS[name].fit(known, labels)
    more = _clouds(np.random.default_rng(2))[0]
    assert detector.strangeness(strange).min() > detector.strangeness(more).max()
    assert detector.width == 6
    assert not DETECTORS[name].fits(known[:2], labels[:2])


def test_the_distance_is_that_to_the_fifth_neighbour_at_length_1():
    """Five photos at 90 degrees to a sixth: between unit vectors that is the square root of 2; six of one kind: 0."""
    axes = np.eye(6, dtype=np.float32) * 7
    assert NearestNeighbours.fit(axes[:5], np.zeros(5)).strangeness(axes[5:])[0] == pytest.approx(2**0.5, abs=1e-3)
    assert NearestNeighbours.fit(np.repeat(axes[:1], 5, 0), np.zeros(5)).strangeness(axes[:1])[0] == pytest.approx(0)


def test_the_mahalanobis_distance_is_that_of_another_library():
    from scipy.spatial.distance import mahalanobis
    from sklearn.covariance import oas

    known, labels, strange = _clouds(np.random.default_rng(3))
    unit, far = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (known, strange[:1]))
    means = [unit[labels == k].mean(axis=0) for k in (0, 1)]
    off = np.concatenate([unit[labels == k] - means[k] for k in (0, 1)])
    inverse = np.linalg.inv(oas(off, assume_centered=True)[0])
    expected = min(mahalanobis(far[0], mean, inverse) for mean in means)
    assert NearestClass.fit(known, labels).strangeness(strange[:1])[0] == pytest.approx(expected, rel=1e-3)


def _artifact(folder):
    folder.mkdir()
    for name in ("trunk.xml", "trunk.bin", "head.npz"):
        (folder / name).write_bytes(b"network")
    write_about(folder, "m", ("a", "b"), (32, 32), parity=0.0)
    return folder


def _novelty(name: str) -> Novelty:
    known, labels, _ = _clouds(np.random.default_rng(1))
    detector = DETECTORS[name].fit(known, labels)
    return Novelty(detector, detector.strangeness(known), np.full(80, 0.9), labels, np.arange(80), 2)


@pytest.mark.parametrize("name", DETECTORS)
def test_an_artifact_takes_what_it_knows_along(tmp_path, name):
    folder, novelty = _artifact(tmp_path / "m.artifact"), _novelty(name)
    about = (folder / "artifact.json").read_bytes()
    assert Artifact.open(folder).novelty is None, "artifacts of earlier versions have none"
    note_novelty(folder, novelty)
    features = _clouds(np.random.default_rng(4))[2]
    read = Artifact.open(folder.rename(tmp_path / "moved")).novelty
    np.testing.assert_array_equal(read.p_values(features), novelty.p_values(features))
    assert read.are_unknown(read.p_values(features)).all()
    assert (tmp_path / "moved" / "artifact.json").read_bytes() == about, "what was measured of it stays valid"


PATHS = tuple(f"train/a/{number:02}.png" for number in range(80))


def _with_training(name: str) -> Novelty:
    known, labels, _ = _clouds(np.random.default_rng(1))
    return replace(_novelty(name), training=TrainingPhotos.of(PATHS, labels, known))


@pytest.mark.parametrize("name", DETECTORS)
def test_the_training_photos_that_a_photo_is_most_like_are_named_from_the_file(tmp_path, name):
    """Each photo is most like itself, with a cosine of 1; scikit-learn names the others."""
    folder = _artifact(tmp_path / "m.artifact")
    note_novelty(folder, _with_training(name))
    training, known = Artifact.open(folder).novelty.training, _clouds(np.random.default_rng(1))[0]
    places, similarities = training.nearest(known * 7, 4)
    assert training.paths == PATHS
    assert (places[:, 0] == np.arange(80)).all()
    expected = -np.sort(-cosine_similarity(known), axis=1)[:, :4]
    np.testing.assert_allclose(similarities, expected, atol=2e-3)
    assert training.nearest(known[:1], 200)[0].shape == (1, 80), "there are no more"


def _named(*paths: str) -> np.ndarray:
    return np.frombuffer(json.dumps(paths).encode(), np.uint8)


@pytest.mark.parametrize("change", [
    {"training_paths": _named("a.png")}, {"training_paths": _named(*["../a.png"] * 80)},
    {"training_paths": _named(*["/etc/passwd"] * 80)}, {"training_paths": _named()},
    {"training_paths": np.frombuffer(b"{}", np.uint8)}, {"training_labels": np.full(80, 2)},
    {"training_labels": np.zeros(3, np.int64)}, {"training_features": np.zeros((80, 3), np.float16)},
    {"training_features": np.full((80, 6), np.nan, np.float16)}])
@pytest.mark.parametrize("name", DETECTORS)
def test_training_photos_that_do_not_fit_or_lie_elsewhere_are_refused(tmp_path, name, change):
    folder = _artifact(tmp_path / "m.artifact")
    note_novelty(folder, _with_training(name))
    with np.load(folder / FILE_NAME) as arrays:
        content = {**arrays, **change}
    np.savez(folder / FILE_NAME, **content)
    with pytest.raises(ModelError, match=rf"{FILE_NAME}.*matlens evaluate"):
        _ = Artifact.open(folder).novelty


@pytest.mark.parametrize("change", [
    {"head": np.array("0" * 64)}, {"format": np.array(2)}, {"detector": np.array("other")}, {"labels": np.full(80, 2)},
    {"groups": np.zeros(3, np.int64)}, {"strangeness": np.full(80, np.nan)}, {"true_probabilities": np.full(80, 1.5)},
    {"exemplars": np.zeros((2, 6), np.float16)}, {"exemplars": np.array(["x"])}, {"more": np.zeros(3)}])
def test_what_does_not_fit_is_refused_with_the_way_out(tmp_path, change):
    folder = _artifact(tmp_path / "m.artifact")
    note_novelty(folder, _novelty("knn"))
    with np.load(folder / FILE_NAME) as arrays:
        content = {**arrays, **change}
    np.savez(folder / FILE_NAME, **content)
    artifact = Artifact.open(folder)  # for what needs none of it
    with pytest.raises(ModelError, match=rf"{FILE_NAME}.*matlens evaluate"):
        _ = artifact.novelty


@pytest.mark.parametrize("detector", [NearestNeighbours, NearestClass])
def test_a_class_that_is_left_out_is_as_if_it_had_never_been_there(detector):
    """The covariance without a class comes from the whole one: nothing of the class may stay in it."""
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 2, 5, 7], [30, 40, 4, 50])
    features = generator.normal(size=(len(labels), 24)).astype(np.float32) + labels[:, None] * np.float32(0.3)
    looked_at = generator.normal(size=(9, 24)).astype(np.float32)
    for number, scores in zip((0, 5, 9), detector.without_each(np.array([0, 5, 9]), features, labels, looked_at),
                              strict=True):
        others = labels != number
        np.testing.assert_allclose(scores, detector.fit(features[others], labels[others]).strangeness(looked_at),
                                   rtol=1e-4)


def test_too_few_photos_of_other_classes_tell_nothing():
    features, labels = np.ones((12, 3), np.float32), np.array([0] * 10 + [1] * 2)
    for detector in (NearestNeighbours, NearestClass):
        assert list(detector.without_each(np.array([0]), features, labels, features[:1])) == [None]
