"""A large split: the same photos from columns as from JSON, a small split.json, and nothing damaged is believed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from matlens.data.split.manifest import columns as manifest
from matlens.data.split.manifest.columns import MOST_IN_JSON, columns_beside
from matlens.data.split.splits import CorrectedPhoto, LeftOut, Photo, Split
from matlens.errors import DataError
from matlens.system.tables.columns import read_columns, write_columns

CLASSES = ("bois", "bärk", "木")
MINC_2500 = 57_500


def split_of(n: int, letters: int = 0) -> Split:
    photos = tuple(Photo(f"{CLASSES[number % 3]}/{number:06d}{'x' * letters}.jpg", CLASSES[number % 3],
                         ("train", "val", "test")[number % 7 % 3], f"{number:064x}") for number in range(n))
    paths = [photo.path for photo in photos]
    return Split("random", CLASSES, photos, (LeftOut("bois/é.jpg", "0 bytes"), LeftOut("木/2.jpg", "0 bytes")), 42,
                 (0.7, 0.15, 0.15), None, ((paths[0], paths[3]), (paths[1], paths[4], paths[7])), remarks=("a remark",),
                 corrected=(CorrectedPhoto(paths[0], "bois", "", "train"),))


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of 30 photos that holds them in columns."""
    monkeypatch.setattr(manifest, "MOST_IN_JSON", 20)
    return split_of(30).write(tmp_path / "split.json")


def test_the_same_split_comes_back_from_columns(large: Path) -> None:
    assert Split.read(large) == split_of(30)


def test_split_json_of_a_large_split_counts_its_photos_and_names_none(large: Path) -> None:
    content = json.loads(large.read_text("utf-8"))
    assert content["counts"] == split_of(30).counts()
    assert content["hash"] == split_of(30).hash
    assert "photos" not in content and "000001" not in large.read_text("utf-8").replace("bois/000000.jpg", "")
    assert (content["together"], content["n_left_out"], content["left_out_reasons"]) == (2, 2, {"0 bytes": 2})


def test_a_split_of_the_size_of_minc_2500_is_json_as_ever(tmp_path: Path) -> None:
    """Others read it, and so do earlier versions; the keys stand in their old order."""
    split = split_of(MINC_2500)
    path = split.write(tmp_path / "split.json")
    content = json.loads(path.read_text("utf-8"))
    assert list(content) == ["format", "protocol", "hash", "seed", "ratios", "groups", "together", "train_on",
                             "remarks", "class_names", "photos", "left_out", "corrected"]
    assert content["format"] == 1 and len(content["photos"]) == MINC_2500
    assert not columns_beside(path).exists()
    assert Split.read(path) == split


def test_the_manifest_of_more_photos_than_the_limit_stays_small(tmp_path: Path) -> None:
    split = split_of(MOST_IN_JSON + 1)
    path = split.write(tmp_path / "split.json")
    assert path.stat().st_size < 10_000
    assert columns_beside(path).stat().st_size < 50 * len(split.photos)  # a million: 50 MB
    assert Split.read(path).hash == split.hash


def test_few_photos_with_very_long_names_are_columns_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MOST_LETTERS", 2000)
    split = split_of(30, letters=100)
    path = split.write(tmp_path / "split.json")
    assert columns_beside(path).exists()
    assert Split.read(path) == split


def test_a_photo_moved_to_another_part_is_noticed(large: Path) -> None:
    """Whoever edits the columns changes what was tested on."""
    with np.load(columns_beside(large)) as arrays:
        changed = dict(arrays)
    changed["part"][0] = 2
    np.savez(columns_beside(large), **changed)
    with pytest.raises(DataError, match="altered"):
        Split.read(large)


@pytest.mark.parametrize(("column", "value"), [
    ("class", np.full(30, 3, np.int32)), ("class", np.full(30, -1, np.int32)), ("part", np.full(30, 3, np.uint8)),
    ("part", np.zeros(29, np.uint8)), ("group_ends", np.array([2, 9])), ("group_ends", np.array([5, 2])),
    ("path.ends", np.arange(30)), ("path.ends", np.full(30, -1)), ("path.letters", np.full(10, 255, np.uint8)),
    ("path.letters", np.array(["a"], object)), ("extra", np.zeros(1))],
    ids=["class too high", "class below 0", "no such part", "a photo too few", "group ends outside", "falling ends",
         "letters left", "negative ends", "no UTF-8", "pickles", "another column"])
def test_columns_that_do_not_fit_are_refused_by_name(large: Path, column: str, value: np.ndarray) -> None:
    with np.load(columns_beside(large)) as arrays:
        changed = dict(arrays)
    np.savez(columns_beside(large), **changed | {column: value})
    with pytest.raises(DataError, match=columns_beside(large).name):
        Split.read(large)


def test_missing_or_foreign_columns_are_named(large: Path) -> None:
    columns_beside(large).write_bytes(b"no archive")
    with pytest.raises(DataError, match=columns_beside(large).name):
        Split.read(large)
    columns_beside(large).unlink()
    with pytest.raises(DataError, match="missing"):
        Split.read(large)


def test_texts_and_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    """Also no text, empty texts, and a name that is no UTF-8 on the disk."""
    names = ["", "ä\udc80", "木", ""]
    path = write_columns(tmp_path / "t.npz", {"name": names, "nothing": [], "n": np.arange(3)})
    texts, numbers = read_columns(path, ("name", "nothing"), {"n": "i"})
    assert texts == {"name": names, "nothing": []}
    assert numbers["n"].tolist() == [0, 1, 2]
