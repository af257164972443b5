"""Test photos far nearer to a training photo than chance has it: found where they are planted, and nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from matlens.data.split.splits import Photo, Split
from matlens.features import neighbours
from matlens.features.neighbours import near_neighbours
from matlens.system.shards.gathered import ShardedRows
from matlens.types import Array

CLASSES = ("cork", "wood")
PER_CLASS = 90


def _random_split(rng: np.random.Generator) -> Split:
    parts = rng.choice(["train", "val", "test"], 2 * PER_CLASS, p=[0.7, 0.15, 0.15])
    return Split("random", CLASSES, tuple(Photo(f"{number}.jpg", CLASSES[number % 2], part, str(number))
                                          for number, part in enumerate(parts.tolist())))


def _placed(rng: np.random.Generator, dimensions: int, n: int = 2 * PER_CLASS) -> Array:
    """Independent photos whose features vary in so many dimensions, far from the origin."""
    return np.concatenate([rng.normal(size=(n, dimensions)), np.full((n, 1), 6.0)], axis=1).astype(np.float32)


@pytest.mark.parametrize("dimensions", [2, 3, 6, 12, 30, 200])
def test_independent_photos_raise_no_warning(dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    assert not any(near_neighbours(_random_split(rng), _placed(rng, dimensions)).is_suspicious for _ in range(10))


@pytest.mark.parametrize("dimensions", [2, 6, 12, 30])
def test_a_class_of_several_kinds_raises_no_warning(dimensions: int) -> None:
    """Five kinds of wood are far apart, and their photos still show different boards."""
    rng = np.random.default_rng(dimensions)
    for _ in range(5):
        kinds = 5 * rng.normal(size=(10, dimensions))
        places = kinds[np.arange(2 * PER_CLASS) % 2 + 2 * rng.integers(0, 5, 2 * PER_CLASS)]
        places = places + rng.normal(size=places.shape)
        features = np.concatenate([places, np.full((2 * PER_CLASS, 1), 16.0)], axis=1).astype(np.float32)
        assert not near_neighbours(_random_split(rng), features).is_suspicious


@pytest.mark.parametrize("shots", [2, 3, 5])
def test_several_shots_of_each_object_are_found_and_named(shots: int) -> None:
    rng = np.random.default_rng(shots)
    split = _random_split(rng)
    thing = np.arange(2 * PER_CLASS) // (2 * shots)  # numbers alternate between the classes
    features = _placed(rng, 12, len(set(thing)))[thing] + 0.05 * rng.normal(size=(len(thing), 13)).astype(np.float32)
    near = near_neighbours(split, features)
    assert near.is_suspicious
    assert near.looked_at == len(split.part("test"))
    of = {photo.path: (photo.class_name, int(thing[number])) for number, photo in enumerate(split.photos)}
    right = sum(of[path] == of[other] for path, other in near.pairs)
    assert right >= 0.9 * len(near.pairs)
    remark = near.remark()
    assert remark is not None
    assert near.pairs[0][0] in remark


def test_copies_that_the_split_knows_are_not_told_again() -> None:
    rng = np.random.default_rng(5)
    split, features = _random_split(rng), _placed(rng, 12)
    features[1::4] = features[::4][:len(features[1::4])]  # of the other class: no matter
    pairs = [(number, number + 2) for number in range(0, 2 * PER_CLASS - 2, 4)]
    for first, second in pairs:
        features[second] = features[first]
    assert near_neighbours(split, features).is_suspicious
    together = tuple((f"{first}.jpg", f"{second}.jpg") for first, second in pairs)
    assert not near_neighbours(dataclasses.replace(split, together=together), features).is_suspicious


def test_classes_of_few_photos_are_passed_over() -> None:
    photos = tuple(Photo(f"{number}.jpg", CLASSES[number % 2], "test" if number < 4 else "train", str(number))
                   for number in range(20))
    near = near_neighbours(Split("random", CLASSES, photos), np.zeros((20, 3), np.float32))
    assert (near.looked_at, near.pairs, near.remark()) == (0, (), None)


def test_photos_with_equal_features_do_not_break_it() -> None:
    split = _random_split(np.random.default_rng(0))
    near_neighbours(split, np.ones((2 * PER_CLASS, 4), np.float32))


def _with_shots(rng: np.random.Generator, share: float) -> tuple[Split, Array]:
    """Photos of which a share has another one close by."""
    split, features = _random_split(rng), _placed(rng, 12)
    shown = np.flatnonzero(rng.random(PER_CLASS) < share) * 2
    pairs = shown[shown + 2 < len(features)]
    features[pairs + 2] = features[pairs] + rng.normal(size=(len(pairs), 13)).astype(np.float32) * 0.01
    return split, features


def test_photos_compared_in_parts_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million photos neither features nor distances fit into memory."""
    split, features = _with_shots(np.random.default_rng(3), 0.4)
    whole = near_neighbours(split, features)
    assert len(whole.pairs) > 3
    monkeypatch.setattr(neighbours, "_CELLS", 400)
    order = np.random.default_rng(0).permutation(len(features))
    assert near_neighbours(split, ShardedRows((features[order],), np.argsort(order))) == whole


def test_some_test_photos_tell_the_share_of_all() -> None:
    """Each that is drawn is compared with all others of its class."""
    split, features = _with_shots(np.random.default_rng(4), 0.5)
    whole = near_neighbours(split, features)
    labels = split.labels(split.photos)
    is_test = np.array([photo.part == "test" for photo in split.photos])
    pairs = sum(int((is_test & (labels == number)).sum()) * int((~is_test & (labels == number)).sum())
                for number in range(2))
    some = near_neighbours(split, features, most_pairs=pairs // 2)
    assert whole.looked_at // 2 - 1 <= some.looked_at <= whole.looked_at // 2 + 1
    assert near_neighbours(split, features, most_pairs=pairs // 2) == some
    assert len(some.pairs) / some.looked_at == pytest.approx(len(whole.pairs) / whole.looked_at, abs=0.2)
