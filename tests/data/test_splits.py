"""Layouts and splits: who is in which part must be beyond doubt."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matlens.data.sources import Listed, Source, open_source, read_official_split
from matlens.data.splits import Split, check_ratios, make_split, part_sizes
from matlens.errors import DataError, SettingsError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


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
            assert abs(found - ratio * count) < 1 or found == 1 or count < 7
    assert split_of(counts, seed, order).hash == split.hash


def test_another_seed_divides_differently_and_another_class_moves_nobody():
    """A class that is added later must not reshuffle the others."""
    assert split_of({"a": 20, "b": 20}, 1).hash != split_of({"a": 20, "b": 20}, 2).hash
    before = {photo.path: photo.part for photo in split_of({"a": 20, "b": 20}).photos}
    after = {photo.path: photo.part for photo in split_of({"a": 20, "b": 20, "c": 9}).photos}
    assert before.items() <= after.items()


@pytest.mark.parametrize(("n", "sizes"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 2, 1)), (20, (14, 3, 3)),
                                          (100, (70, 15, 15))])
def test_part_sizes_by_hand(n, sizes):
    """Largest remainders, one photo at least."""
    assert part_sizes(n, (0.7, 0.15, 0.15)) == sizes


@pytest.mark.parametrize("ratios", [(0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (0.5, 0.5), (1.2, -0.1, -0.1)])
def test_ratios_that_do_not_sum_to_one_are_refused(ratios):
    """The guide: they must sum to 1."""
    with pytest.raises(SettingsError, match="sum to 1"):
        check_ratios(ratios)


def test_a_class_too_small_to_divide_is_named():
    """Two photos cannot be in three parts."""
    with pytest.raises(DataError, match="'few' has 2"):
        split_of({"many": 10, "few": 2})


def test_manifest_comes_back_and_is_refused_when_altered(tmp_path):
    """A result is only as good as the split that it names."""
    split = split_of({"a": 6, "b": 6})
    path = split.write(tmp_path / "split.json")
    assert Split.read(path) == split
    text = path.read_text()
    path.write_text(text.replace('"part": "test"', '"part": "train"', 1))
    with pytest.raises(DataError, match="altered"):
        Split.read(path)
    outside = dataclasses.replace(split, photos=(dataclasses.replace(split.photos[0], path="../../etc/passwd"),))
    with pytest.raises(DataError, match="outside"):
        Split.read(outside.write(tmp_path / "other.json"))
    path.write_text("{}")
    with pytest.raises(DataError, match="not a split"):
        Split.read(path)


def test_class_folders_with_odd_names_and_hidden_ones(tmp_path):
    """Notebook checkpoints are no class; spaces and umlauts are no hindrance."""
    source = open_source(touch(tmp_path, "Glaß und Holz/a b.JPG", "brick/1.png", "brick/sub/2.jpeg", "brick/notes.txt",
                               ".ipynb_checkpoints/x.jpg", "__MACOSX/y.jpg", "brick/._1.png"))
    assert source.class_names == ("Glaß und Holz", "brick")
    assert {photo.path for photo in source.photos} == {"Glaß und Holz/a b.JPG", "brick/1.png", "brick/sub/2.jpeg"}
    assert source.other_files == 1


def test_a_wrapping_folder_is_looked_through(tmp_path):
    """Unpacked archives hold one folder that holds the dataset."""
    touch(tmp_path, "archive/data/brick/1.jpg", "archive/data/wood/1.jpg", "archive/README.txt")
    assert open_source(tmp_path).root == tmp_path / "archive" / "data"


def test_minc_layout_with_the_splits_that_are_there(tmp_path):
    """Official splits are read as listed, and only whole ones count."""
    touch(tmp_path, *(f"images/{name}/{i}.jpg" for name in ("brick", "wood") for i in range(3)))
    for part, i in (("train", 0), ("validate", 1), ("test", 2)):
        touch(tmp_path, f"labels/{part}1.txt", f"labels/{part}3.txt")
        for number in (1, 3):
            (tmp_path / f"labels/{part}{number}.txt").write_text(f"images/wood/{i}.jpg\nimages/brick/{i}.jpg\n")
    touch(tmp_path, "labels/train2.txt")
    source = open_source(tmp_path)
    assert source.split_numbers == (1, 3)
    assert [(photo.path, photo.part) for photo in read_official_split(source, 3)][:3] == [
        ("images/wood/0.jpg", "train"), ("images/brick/0.jpg", "train"), ("images/wood/1.jpg", "val")]
    with pytest.raises(DataError, match="minc:1, minc:3"):
        read_official_split(source, 2)
    for line, message in (("images/../../etc/passwd", "does not name"), ("images/wood/0.jpg", "twice"),
                          ("images/glass/0.jpg", "does not name")):
        (tmp_path / "labels/test1.txt").write_text(f"{line}\n")
        with pytest.raises(DataError, match=message) as caught:
            read_official_split(source, 1)
        assert "test1.txt" in str(caught.value)


def test_prepared_folders_and_a_class_missing_in_one_part(tmp_path):
    """The guide's gotcha: 14 classes in train, 13 in test."""
    touch(tmp_path, *(f"{part}/{name}/{i}.jpg" for part in ("train", "validation", "test") for name in ("a", "b")
                      for i in range(2)))
    source = open_source(tmp_path)
    assert source.layout == "prepared"
    hashes = {photo.path: photo.path for photo in source.photos}
    assert make_split(source, "prepared", hashes, {}).counts() == {part: {"a": 2, "b": 2}
                                                                  for part in ("train", "val", "test")}
    with pytest.raises(DataError, match="'b' in test"):
        make_split(source, "prepared", hashes, {"test/b/0.jpg": "broken", "test/b/1.jpg": "broken"})


@pytest.mark.parametrize(("paths", "message"), [
    ((), "No photos"), (("readme.txt",), "No photos"), (("only/1.jpg",), "one class only")])
def test_folders_that_are_no_dataset_are_refused_with_the_way_out(tmp_path, paths, message):
    """Little patience: say at once what is expected."""
    with pytest.raises(DataError, match=message):
        open_source(touch(tmp_path, *paths))
