"""How a dataset lies on disk: what is a class, what is a photo, and what is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from matlens.data.source.counts import class_counts, count_by_part
from matlens.data.source.find import find_sources
from matlens.data.source.sources import open_source, read_official_split
from matlens.data.split.protocols import default_protocol
from matlens.data.split.splits import make_split
from matlens.errors import DataError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


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
    (tmp_path / "labels/test1.txt").write_text("images/wood/0.jpg\n")
    with pytest.raises(DataError, match=r"test1\.txt: images/wood/0\.jpg .*twice.*as train"):
        read_official_split(source, 1)


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


@pytest.mark.parametrize(("content", "message"), [
    (b"images/a/1.jpg\nimages/a/1.jpg\n", "images/a/1.jpg is listed twice"),
    (b"images/../a/1.jpg\n", "'images/../a/1.jpg' does not name"),
    (b"images/a/..\n", "'images/a/..' does not name"),
    (b"/etc/passwd\n", "'/etc/passwd' does not name"),
    (b"images/glass/1.jpg\n", "'images/glass/1.jpg' does not name")])
def test_a_wrong_line_in_a_list_is_named_with_its_file(tmp_path, content, message):
    """Whoever mends the list must be led to the file and the line, not to a traceback."""
    touch(tmp_path, "images/a/1.jpg", "images/b/1.jpg", "labels/validate1.txt", "labels/test1.txt")
    (tmp_path / "labels" / "train1.txt").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_official_split(open_source(tmp_path), 1)
    assert message in str(caught.value)
    assert str(tmp_path / "labels" / "train1.txt") in str(caught.value)


def test_a_listed_photo_that_is_not_there_is_left_out_by_name(tmp_path):
    """MINC lists that name a lost file: the photo must appear among those left out, not vanish."""
    touch(tmp_path, *(f"images/{name}/{i}.jpg" for name in "ab" for i in range(3)))
    for part, numbers in (("train", (0, 7)), ("validate", (1,)), ("test", (2,))):
        lines = [f"images/{name}/{i}.jpg" for name in "ab" for i in numbers]
        touch(tmp_path, f"labels/{part}1.txt")
        (tmp_path / f"labels/{part}1.txt").write_text("\r\n".join(lines) + "\r\n\r\n")
    source = open_source(tmp_path)
    hashes = {photo.path: photo.path for photo in source.photos}
    lost = {"images/a/7.jpg": "missing file", "images/b/7.jpg": "missing file"}
    split = make_split(source, "minc:1", hashes, lost)
    assert {left.path: left.reason for left in split.left_out} == lost
    assert split.counts() == {part: {"a": 1, "b": 1} for part in ("train", "val", "test")}


def test_each_layout_has_its_own_protocol(tmp_path):
    """An official split must be used where there is one; nobody should have to ask for it."""
    folders = touch(tmp_path / "f", "a/1.jpg", "b/1.jpg")
    prepared = touch(tmp_path / "p", *(f"{part}/{name}/1.jpg" for part in ("train", "validate", "test")
                                       for name in "ab"))
    minc = touch(tmp_path / "m", "images/a/1.jpg", "images/b/1.jpg",
                 *(f"labels/{part}{n}.txt" for part in ("train", "validate", "test") for n in (2, 4)))
    assert [default_protocol(open_source(root)) for root in (folders, prepared, minc)] == [
        "random", "prepared", "minc:2"]
    assert [open_source(root).layout for root in (folders, prepared, minc)] == ["folders", "prepared", "minc"]


def test_datasets_are_found_by_their_layout_below_a_folder(tmp_path):
    """Kaggle mounts datasets some folders deep; their place must not have to be known."""
    touch(tmp_path, "inputs/someone/set/a/1.jpg", "inputs/someone/set/b/1.jpg", "notes/readme.txt",
          "other/x/train/a/1.jpg", "other/x/train/b/1.jpg", "other/x/test/a/1.jpg")
    assert [(source.root.relative_to(tmp_path).as_posix(), source.layout) for source in find_sources(
        [tmp_path / "inputs", tmp_path / "notes", tmp_path / "other"])] == [
        ("inputs/someone/set", "folders"), ("other/x", "prepared")]


def test_a_missing_test_folder_makes_no_classes_of_train_and_val(tmp_path):
    """Else a model would learn to tell training photos from validation photos, and call that a success."""
    source = open_source(touch(tmp_path, *(f"{part}/{name}/1.jpg" for part in ("train", "val") for name in "ab")))
    assert (source.layout, source.class_names) == ("prepared", ("a", "b"))
    with pytest.raises(DataError, match=r"'a' in test, 'b' in test.*--protocol random"):
        make_split(source, "prepared", {photo.path: photo.path for photo in source.photos}, {})


def test_a_file_in_place_of_a_folder_is_told_apart(tmp_path):
    """--data photo.jpg is an easy slip; so is a wrong name."""
    touch(tmp_path, "photo.jpg")
    with pytest.raises(DataError, match="is a file"):
        open_source(tmp_path / "photo.jpg")
    with pytest.raises(DataError, match="No such folder"):
        open_source(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names in Unicode")
def test_a_file_name_in_another_encoding_is_named(tmp_path):
    """Archives from old Windows: no manifest can hold that name, so say which file it is."""
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / os.fsdecode(b"gl\xe4s.jpg")).write_bytes(b"x")
    with pytest.raises(DataError, match=r"gl\\xe4s\.jpg.*not UTF-8"):
        open_source(tmp_path)


def test_photos_are_counted_by_class_and_part(tmp_path):
    """A class that is short of photos shows before training."""
    touch(tmp_path, "train/a/1.jpg", "train/a/2.PNG", "train/b/1.jpg", "val/a/1.jpg", "test/b/1.jpeg",
          "train/a/notes.txt", "train/a/.hidden.jpg", "train/.ipynb_checkpoints/1.jpg")
    assert count_by_part(open_source(tmp_path)) == {
        "train": {"a": 2, "b": 1}, "val": {"a": 1, "b": 0}, "test": {"a": 0, "b": 1}}
    assert class_counts(tmp_path / "train") == {"a": 2, "b": 1}
    with pytest.raises(DataError, match="No such folder"):
        class_counts(tmp_path / "nowhere")
