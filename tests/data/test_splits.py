"""Splits: who is in which part must be beyond doubt."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matlens.data.source.sources import Listed, Source
from matlens.data.split.division import part_sizes
from matlens.data.split.splits import Split, check_ratios, make_split
from matlens.errors import DataError, SettingsError


def split_of(counts: dict[str, int], seed: int = 1, order: int | None = None) -> Split:
    photos = [Listed(f"{name}/{i}.jpg", name) for name, count in counts.items() for i in range(count)]
    if order is not None:
        random.Random(order).shuffle(photos)
    source = Source(Path("x"), "folders", tuple(sorted(counts)), tuple(photos))
    return make_split(source, "random", {photo.path: f"{hash(photo.path):x}" for photo in photos}, {}, seed=seed)


folders = st.dictionaries(st.text("abcdé ü", min_size=1, max_size=5), st.integers(3, 40), min_size=2, max_size=5)


@settings(max_examples=60, deadline=None)
@given(folders, st.integers(0, 5), st.integers(0, 5))
def test_random_splits_are_disjoint_complete_stratified_and_the_same_in_any_order(counts, seed, order):
    """A photo in two parts, or a split that depends on the file system, would spoil every comparison."""
    split = split_of(counts, seed)
    paths = [photo.path for photo in split.photos]
    assert len(paths) == len(set(paths)) == sum(counts.values())
    for name, count in counts.items():
        for part, ratio in zip(("train", "val", "test"), (0.7, 0.15, 0.15), strict=True):
            found = split.counts()[part][name]
            assert found >= 1
            # A part that is due less than one photo takes its one from the largest.
            assert abs(found - ratio * count) < 1 or 0.15 * count < 1
    assert split_of(counts, seed, order).hash == split.hash


def test_another_seed_divides_differently_and_another_class_moves_nobody():
    """A class that is added later must not reshuffle the others."""
    assert split_of({"a": 20, "b": 20}, 1).hash != split_of({"a": 20, "b": 20}, 2).hash
    before = {photo.path: photo.part for photo in split_of({"a": 20, "b": 20}).photos}
    after = {photo.path: photo.part for photo in split_of({"a": 20, "b": 20, "c": 9}).photos}
    assert before.items() <= after.items()


@pytest.mark.parametrize(("n", "sizes"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 2, 1)), (20, (14, 3, 3)),
                                          (100, (70, 15, 15)), (7, (5, 1, 1)), (13, (9, 2, 2))])
def test_part_sizes_by_hand(n, sizes):
    """Largest remainders, one photo at least."""
    assert part_sizes(n, (0.7, 0.15, 0.15)) == sizes


@pytest.mark.parametrize("ratios", [(0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (0.5, 0.5), (1.2, -0.1, -0.1),
                                    (float("nan"), 0.5, 0.5)])
def test_ratios_that_do_not_sum_to_one_are_refused(ratios):
    """The guide: they must sum to 1."""
    with pytest.raises(SettingsError, match="sum to 1"):
        check_ratios(ratios)


def test_a_class_too_small_to_divide_is_named():
    """Two photos cannot be in three parts."""
    with pytest.raises(DataError, match="'few' has 2"):
        split_of({"many": 10, "few": 2})


def test_a_manifest_is_read_back_as_it_was_written(tmp_path):
    """A result is only as good as the split that it names."""
    split = split_of({"a": 6, "b": 6})
    assert Split.read(split.write(tmp_path / "split.json")) == split


def test_the_hash_of_a_split_depends_on_names_and_contents_not_on_the_place():
    """It is how two runs are known to be comparable."""
    photos = tuple(Listed(f"{name}/{i}.jpg", name) for name in "ab" for i in range(9))
    hashes = {photo.path: f"{position:064x}" for position, photo in enumerate(photos)}

    def split_hash(root: str, contents: dict[str, str]) -> str:
        return make_split(Source(Path(root), "folders", ("a", "b"), photos), "random", contents, {}).hash

    assert split_hash("here", hashes) == split_hash("there", hashes)
    assert split_hash("here", hashes) != split_hash("here", {**hashes, "a/0.jpg": "f" * 64})


def test_labels_are_positions_among_the_sorted_classes():
    """A shifted label would name every photo wrongly."""
    split = split_of({"wood": 3, "brick": 3})
    assert split.class_names == ("brick", "wood")
    assert [split.class_names[label] for label in split.labels(split.photos)] == [
        photo.class_name for photo in split.photos]


def test_photos_that_cannot_be_read_are_left_out_with_their_reason():
    """They must be in the manifest, so that a report can tell, and in no part."""
    photos = tuple(Listed(f"{name}/{i}.jpg", name) for name in "ab" for i in range(5))
    hashes = {photo.path: f"{position:064x}" for position, photo in enumerate(photos)}
    source = Source(Path("x"), "folders", ("a", "b"), photos)
    split = make_split(source, "random", hashes, {"a/3.jpg": "empty file"})
    assert [(left.path, left.reason) for left in split.left_out] == [("a/3.jpg", "empty file")]
    assert sorted(photo.path for photo in split.photos) == sorted(set(hashes) - {"a/3.jpg"})
