"""Every reader of files that strangers may have made: a damaged file is refused by name, or counts as missing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attacks import ARRAY, JSON, TEXT, Reader, cases, refuse, refuse_after
from matlens.data.audit.photo_facts import facts_of
from matlens.data.audit.quarantine import LOG, MovedFile, restore
from matlens.data.batches import read_photos, read_pixels
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.store import PixelStore, hash_photos, prepare_store
from matlens.data.source.download import _version_of
from matlens.data.source.sources import Listed, listed_in
from matlens.data.split.splits import LeftOut, Photo, Split
from matlens.data.split.together import named_groups
from matlens.errors import DataError, SettingsError
from matlens.system.files import read_json

URL = "https://example.org/x.tar.gz"


def made_split(folder: Path) -> Path:
    photos = tuple(Photo(f"{name}/{part}.jpg", name, part, "0") for name in "ab" for part in ("train", "val", "test"))
    return Split("random", ("a", "b"), photos, (LeftOut("a/x.jpg", "empty file"),), 1, (0.7, 0.15, 0.15), "(a)",
                 (("a/train.jpg", "b/train.jpg"),), remarks=("a remark",)).write(folder / "split.json")


def made_photo(folder: Path) -> Path:
    """A PNG under another format's name: the content counts."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(folder / "1.jpg", "PNG")
    return folder / "1.jpg"


def made_store(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        hashes, _ = hash_photos(folder, [made_photo(folder).name])
        store = prepare_store(folder, hashes, (8, 8), folder / "cache")
        of_index = name in ("index.json", "rows.npy")
        return (store.folder if of_index else store.shards[0].folder) / name

    return make


def store_around(path: Path) -> PixelStore | None:
    index, = (file.parent for file in path.parents[1].glob("*/index.json"))
    return PixelStore.open(index)


def made_log(folder: Path) -> Path:
    (folder / "moved.jpg").write_bytes(b"x")
    moved = MovedFile(str(folder / "photos"), "a.jpg", "moved.jpg", "dark", "", hashlib.sha256(b"x").hexdigest())
    (folder / LOG).write_text(json.dumps(dataclasses.asdict(moved)) + "\n")
    return folder / LOG


def made_groups(folder: Path) -> Path:
    (folder / "groups.csv").write_text("path,group\na/1.jpg,s\nb/1.jpg,s\n")
    return folder / "groups.csv"


def made_list(folder: Path) -> Path:
    (folder / "train1.txt").write_text("images/a/1.jpg\n")
    return folder / "train1.txt"


def made_state(folder: Path) -> Path:
    (folder / "x.part.json").write_text(json.dumps({"url": URL, "validator": '"1"', "size": 9}))
    return folder / "x.part.json"


REFUSED = (DataError,)
READERS = {
    "split": Reader(made_split, Split.read, REFUSED, JSON),
    "store's index": Reader(made_store("index.json"), lambda path: PixelStore.open(path.parent), None, JSON),
    "store's rows": Reader(made_store("rows.npy"), lambda path: PixelStore.open(path.parent), None, ARRAY),
    "shard's description": Reader(made_store("shard.json"), store_around, None, JSON),
    "shard's digests": Reader(made_store("digests.npy"), store_around, None, ARRAY),
    "shard's pixels": Reader(made_store("values.npy"), store_around, None, ARRAY),
    "shard's checksums": Reader(made_store("checksums.npy"), store_around, None, ARRAY),
    "quarantine log": Reader(made_log, lambda path: restore(path.parent / "photos", path.parent), REFUSED, JSON),
    "groups": Reader(made_groups, lambda path: named_groups(["a/1.jpg", "b/1.jpg"], str(path)),
                     (DataError, SettingsError), (*TEXT, "empty", "number", "nested")),
    "official list": Reader(made_list, listed_in, REFUSED, ("no UTF-8",)),
    "download": Reader(made_state, lambda path: _version_of(path.with_suffix(""), URL), None, JSON),
    "photo": Reader(made_photo, PhotoReader((8, 8)).read, REFUSED, (*TEXT, "empty", "truncated", "nested")),
    "photo, or none": Reader(made_photo, PhotoReader((8, 8)).read_or_none, None, (*TEXT, "empty", "truncated")),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_in_order_is_read(tmp_path, name):
    """Else the refusals below would prove nothing."""
    assert READERS[name].read(READERS[name].make(tmp_path)) is not None


@pytest.mark.parametrize(("name", "attack"), cases(READERS))
def test_a_damaged_file_is_refused_by_name_or_counts_as_missing(tmp_path, name, attack):
    """A traceback tells the user nothing, and a pipe must not be waited for."""
    refuse_after(attack, READERS[name], tmp_path)


VALUES = ("null", "5", '"x"', "[]", "{}", "NaN", "-1e999", '"\\ud800"', '"a\\u0000b"', "[" * 90 + "]" * 90, '[["x"]]',
          "[{}]")


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.contents == JSON])
def test_a_field_of_any_other_type_ends_in_no_traceback(tmp_path, name):
    """Each field in turn becomes null, a number, text, a list ...; what is not noticed must do no harm."""
    reader = READERS[name]
    path = reader.make(tmp_path)
    whole = json.loads(path.read_text())
    fields = [(whole, key) for key in whole]
    fields += [(item, key) for value in whole.values() if isinstance(value, list) for item in value
               if isinstance(item, dict) for key in item]
    for holder, key in fields:
        before = holder[key]
        for value in VALUES:
            holder[key] = "<here>"
            path.write_text(json.dumps(whole).replace('"<here>"', value) + "\n")
            with suppress(reader.error or ()):
                reader.read(path)
        del holder[key]
        path.write_text(json.dumps(whole) + "\n")
        with suppress(reader.error or ()):
            reader.read(path)
        holder[key] = before


def test_a_photo_is_read_the_same_way_by_every_door(tmp_path):
    """Pixels, a reason, an error or nothing: four answers about the same file."""
    whole, cut = made_photo(tmp_path), tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:300])
    reader = PhotoReader((8, 6))
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()
    for pixels in (reader.attempt(whole), reader.read(whole), reader.read_or_none(whole),
                   reader.read_unchanged(whole, digest)):
        np.testing.assert_array_equal(pixels, PhotoReader((8, 6)).read(whole))
        assert pixels.shape == (8, 6, 3)
    assert PhotoReader().read(whole).shape == PhotoReader(min_size=(2, 2)).read(whole).shape == (16, 16, 3)
    reason = reader.attempt(cut)
    assert isinstance(reason, str) and "truncated" in reason
    assert PhotoReader(keep_truncated=True).read(cut).shape == (16, 16, 3)


def test_a_photo_under_an_impossible_name_is_unreadable(tmp_path):
    """A name from a file may hold what no file name can."""
    assert PhotoReader().read_or_none(tmp_path / "a\0b.jpg") is None


@pytest.mark.parametrize("harm", ["gone", "another photo", "broken before the split"])
def test_a_photo_that_is_not_the_one_that_was_divided_is_refused(tmp_path, harm):
    """Predictions of other photos than those of the split would be no evaluation of its test part."""
    path = made_photo(tmp_path)
    if harm == "broken before the split":
        path.write_bytes(b"text")
    photo = Photo(path.name, "a", "test", hashlib.sha256(path.read_bytes()).hexdigest())
    if harm == "gone":
        path.unlink()
    elif harm == "another photo":
        Image.new("RGB", (16, 16)).save(path, "PNG")
    for reading in (read_pixels(tmp_path, [photo], PhotoReader((8, 8))), read_photos(tmp_path, [photo], (8, 8))):
        with pytest.raises(DataError) as caught:
            next(reading)
        assert str(path) in str(caught.value)


def test_a_pipe_among_the_photos_is_a_problem_and_not_waited_for(tmp_path):
    """Reading it would never end."""
    os.mkfifo(tmp_path / "pipe.jpg")
    hashes, problems = hash_photos(tmp_path, ["pipe.jpg"])
    assert not hashes and list(problems) == ["pipe.jpg"]
    assert facts_of(tmp_path, Listed("pipe.jpg", "a")).problem


@pytest.mark.parametrize("path", ["../../x.jpg", "a/../../x", "/etc/passwd", "\\\\server\\x", "C:/x.jpg", "..\\x",
                                  "a\0b", ""])
def test_a_split_that_points_out_of_its_dataset_is_refused(tmp_path, path):
    """A manifest of somebody else's must not make matlens read any file of the machine."""
    Split("random", ("a",), (Photo(path, "a", "test", "0"),)).write(tmp_path / "split.json")
    with pytest.raises(DataError) as caught:
        Split.read(tmp_path / "split.json")
    assert str(tmp_path / "split.json") in str(caught.value)


@pytest.mark.parametrize("change", [{"class": "b"}, {"class": "glass"}, {"part": "val"}, {"sha256": "2"},
                                    {"path": "a/2.jpg"}, {"class": 7}, {"path": ["a"]}])
def test_an_altered_split_is_refused(tmp_path, change):
    """A label that was changed would be a wrong result under a right name."""
    path = made_split(tmp_path)
    content = json.loads(path.read_text())
    content["photos"][0] |= change
    path.write_text(json.dumps(content))
    refuse(READERS["split"], path)


@pytest.mark.parametrize(("root", "source", "destination"), [
    ("photos", "../stolen.jpg", "moved.jpg"), ("photos/../..", "stolen.jpg", "moved.jpg"),
    ("photos", "link/stolen.jpg", "moved.jpg"), ("photos", "stolen.jpg", "../secret"), ("photos", "", "moved.jpg")])
def test_a_quarantine_log_moves_nothing_out_of_its_folders(tmp_path, root, source, destination):
    """It may come from somebody else."""
    away, photos = tmp_path / "away", tmp_path / "photos"
    for folder in (away, photos, tmp_path / "elsewhere"):
        folder.mkdir()
    (photos / "link").symlink_to(tmp_path / "elsewhere")
    made_log(away)
    shutil.copy(away / "moved.jpg", tmp_path / "secret")
    entry = json.loads((away / LOG).read_text())
    entry |= {"root": f"{tmp_path}/{root}", "source": source, "destination": destination}
    (away / LOG).write_text(json.dumps(entry) + "\n")
    with pytest.raises(DataError):
        restore(photos, away)
    assert not list(tmp_path.parent.glob("stolen.jpg")) and not list(tmp_path.rglob("stolen.jpg"))
    assert (away / "moved.jpg").exists() and (tmp_path / "secret").exists()


def test_json_beyond_its_bound_or_from_a_device_is_refused(tmp_path):
    """A link to /dev/zero never ends."""
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "large.json").write_text("[" + "1," * 1000 + "1]")
    for name in ("zero.json", "large.json"):
        with pytest.raises(ValueError, match=name):
            read_json(tmp_path / name, 1000)
    assert read_json(tmp_path / "large.json", 3000) == [1] * 1001
