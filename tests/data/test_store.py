"""The pixel store: one content decoded once, whoever asks; never half of it, never on a full disk without a word."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from matlens.data.pixels import store as module
from matlens.data.pixels.problems import Problem, UnreadableImageError, problem_of
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.store import PixelStore, hash_photos, prepare_store
from matlens.data.prepare import prepare
from matlens.errors import CacheError, DataError
from matlens.settings.schema import Settings
from matlens.system.caches import prune
from matlens.system.console import Reporter
from matlens.system.files import seal_of


def photo(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (grey, grey, grey)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three photos, one of them twice."""
    for number, grey in enumerate((10, 20, 30, 30)):
        photo(tmp_path / "photos" / f"{number}.png", grey)
    return tmp_path / "photos"


def shards_in(cache: Path) -> list[Path]:
    return sorted((cache / "pixels").glob("*-*"))


def hashes_of(root: Path) -> dict[str, str]:
    return hash_photos(root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png")))[0]


def test_the_same_content_is_stored_once(root, tmp_path):
    """A dataset with copies costs its distinct photos, and each path still finds its pixels."""
    hashes = hashes_of(root)
    store = prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    assert store.pixels.shape == (3, 4, 4, 3)
    greys = [int(store.read([store.rows[hashes[f"{number}.png"]]])[0, 0, 0, 0]) for number in range(4)]
    assert greys == [10, 20, 30, 30]


def test_unreadable_photos_have_a_reason_and_no_row(root, tmp_path):
    """A broken file is left out, and the user is told why."""
    (root / "bad.jpg").write_text("text")
    hashes, problems = hash_photos(root, ["bad.jpg", "0.png", "gone.jpg"])
    assert problems == {"gone.jpg": "missing file"}
    store = prepare_store(root, hashes, (32, 32), tmp_path / "cache")
    assert store.problems == {hashes["bad.jpg"]: "not an image"}
    assert list(store.rows) == [hashes["0.png"]]


def test_an_interrupted_store_is_not_there(root, tmp_path, monkeypatch):
    """Half a store must not be taken for a whole one."""
    calls: list[Path] = []

    def interrupted(reader: PhotoReader, path: Path, sha256: str) -> np.ndarray:
        calls.append(path)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(PhotoReader, "attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    assert not shards_in(tmp_path / "cache")


def test_a_full_disk_is_noticed_before_the_work(root, tmp_path, monkeypatch):
    """And the way out is said."""
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(CacheError, match="--cache-dir"):
        prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")


def test_what_changes_the_pixels_makes_another_store(root, tmp_path):
    """Else a run with other sizes or with --keep-truncated would train on the pixels of another."""
    hashes = hashes_of(root)
    folders = {prepare_store(root, hashes, size, tmp_path / "cache", keep_truncated=keep).folder
               for size, keep in (((4, 6), False), ((6, 4), False), ((4, 6), True))}
    assert len(folders) == 3
    photo(root / "0.png", 11)
    assert prepare_store(root, hashes_of(root), (4, 6), tmp_path / "cache").folder not in folders


def test_moved_and_renamed_photos_are_not_decoded_again(root, tmp_path, monkeypatch):
    """The content is the key: a dataset in a new place starts at once."""
    first = prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(root, moved)
    (moved / "1.png").rename(moved / "renamed.png")
    monkeypatch.setattr(PhotoReader, "attempt", lambda *a: pytest.fail("decoded again"))
    assert prepare_store(moved, hashes_of(moved), (4, 4), tmp_path / "cache").folder == first.folder


def test_two_official_splits_share_the_decoded_photos(tmp_path, monkeypatch):
    """MINC's five splits are of the same photos; only the first run should pay for decoding."""
    lines: dict[str, list[str]] = {}
    for grey in range(12):
        path = f"images/{'ab'[grey % 2]}/{grey}.png"
        photo(tmp_path / "minc" / path, grey)
        for number in (1, 2):
            part = ("train", "validate", "test")[(grey // 2 + number) % 3]
            lines.setdefault(f"{part}{number}.txt", []).append(path)
    (tmp_path / "minc" / "labels").mkdir()
    for name, paths in lines.items():
        (tmp_path / "minc" / "labels" / name).write_text("\n".join(paths))
    first, second = (Settings(data_dir=tmp_path / "minc", protocol=f"minc:{number}", img_size=(32, 32),
                              cache_dir=tmp_path / "cache") for number in (1, 2))
    prepared = prepare(first, Reporter(quiet=True))
    monkeypatch.setattr(PhotoReader, "attempt", lambda *a: pytest.fail("decoded again"))
    again = prepare(second, Reporter(quiet=True))
    assert again.store.folder == prepared.store.folder
    assert again.split.hash != prepared.split.hash


@pytest.mark.parametrize("name", ["shard.json", "values.npy", "checksums.npy", "digests.npy", "index.json", "rows.npy"])
def test_a_store_that_lost_a_file_is_made_again(root, tmp_path, name):
    """Cleaning tools take single files out of caches; that must cost time only."""
    hashes = hashes_of(root)
    store = prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    of_index = name in ("index.json", "rows.npy")
    ((store.folder if of_index else store.shards[0].folder) / name).unlink()
    assert PixelStore.open(store.folder) is None
    again = prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    assert again.read([again.rows[hashes["1.png"]]]).tolist() == np.full((1, 4, 4, 3), 20).tolist()


@pytest.mark.parametrize("damage", ["names swapped", "a problem less", "another version", "rows swapped"])
def test_a_description_that_was_altered_is_not_believed(root, tmp_path, damage):
    """It still reads well, but gives photos each other's names, or takes a broken one for a black one."""
    (root / "bad.png").write_text("text")
    hashes = hashes_of(root)
    store = prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    file = store.shards[0].folder / "shard.json"
    about = json.loads(file.read_text())
    if damage == "names swapped":
        names = np.load(file.with_name("digests.npy"))
        np.save(file.with_name("digests.npy"), names[::-1].copy())
    elif damage == "a problem less":
        about["problems"] = {}
    elif damage == "rows swapped":
        np.save(store.folder / "rows.npy", np.load(store.folder / "rows.npy")[::-1].copy())
    else:
        about["format"] = 99
        about["sha256"] = seal_of({key: value for key, value in about.items() if key != "sha256"})
    file.write_text(json.dumps(about))
    assert PixelStore.open(store.folder) is None
    again = prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    assert (again.rows, again.problems) == (store.rows, store.problems)


def test_a_disk_that_fills_up_while_decoding_is_told_and_leaves_nothing(root, tmp_path, monkeypatch):
    """Another program may take the room in the meantime: a message with the way out, and no half store."""
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_fill", full)
    with pytest.raises(CacheError, match=r"No space left.*--cache-dir"):
        prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    assert not shards_in(tmp_path / "cache")


def test_a_cache_folder_that_cannot_be_made_is_named(root, tmp_path):
    """Read-only homes are common on clusters; the message must say which option helps."""
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"file/cache.*--cache-dir"):
        prepare_store(root, hashes_of(root), (4, 4), tmp_path / "file" / "cache")


@pytest.mark.parametrize("problem", [Problem("Stale file handle", "trouble"), Problem("missing file", "missing"),
                                     problem_of(MemoryError())])
def test_trouble_of_the_machine_is_an_error_and_is_not_kept(root, tmp_path, monkeypatch, problem):
    """A whole photo was left out of every later run, since its store said for ever that it cannot be read."""
    hashes, attempt = hashes_of(root), PhotoReader.attempt
    monkeypatch.setattr(PhotoReader, "attempt", lambda reader, path, sha256:
                        problem if path.name == "1.png" else attempt(reader, path, sha256))
    with pytest.raises(DataError, match=r"1\.png"):
        prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    assert not shards_in(tmp_path / "cache")
    monkeypatch.undo()
    assert prepare_store(root, hashes, (4, 4), tmp_path / "cache").problems == {}


def test_a_photo_that_changes_between_its_hash_and_its_decoding_is_not_kept(root, tmp_path):
    """Its pixels would stand under the name of other content."""
    hashes = hashes_of(root)
    photo(root / "1.png", 99)
    with pytest.raises(DataError, match=r"1\.png"):
        prepare_store(root, hashes, (4, 4), tmp_path / "cache")


def test_a_file_out_of_reach_is_an_error_and_a_pipe_is_left_out(root, monkeypatch):
    """The first says nothing about the photo; the second would never end."""
    os.mkfifo(root / "pipe.png")
    assert set(hash_photos(root, ["0.png", "pipe.png"])[1]) == {"pipe.png"}

    def refuse(path: Path) -> None:
        raise UnreadableImageError("Permission denied", "trouble")

    monkeypatch.setattr(module, "digest_of", refuse)
    with pytest.raises(DataError, match=r"0\.png.*Permission denied"):
        hash_photos(root, ["0.png"])


def flipped(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 16
    file.write_bytes(content)


@pytest.mark.parametrize(("name", "at"), [("values.npy", -1), ("values.npy", -48), ("values.npy", -100),
                                          ("checksums.npy", -1), ("checksums.npy", -9)])
def test_a_row_that_rots_is_made_again_from_its_photo(root, tmp_path, name, at, capsys):
    """docs/formats.md promises it; the run goes on, and one line says so. The next run finds the row whole."""
    hashes = hashes_of(root)
    folder = prepare_store(root, hashes, (4, 4), tmp_path / "cache").folder
    shard = shards_in(tmp_path / "cache")[0]
    before = {file.name: file.read_bytes() for file in shard.iterdir()}
    flipped(shard / name, at)
    capsys.readouterr()
    for lines in (1, 0):
        store = PixelStore.open(folder)
        assert store is not None
        for number, grey in enumerate((10, 20, 30, 30)):
            assert store.photo(store.rows[hashes[f"{number}.png"]]).tolist() == np.full((4, 4, 3), grey).tolist()
            assert store.photo(store.rows[hashes[f"{number}.png"]]).tolist() == np.full((4, 4, 3), grey).tolist()
        assert capsys.readouterr().err.count("\n") == lines
    assert {file.name: file.read_bytes() for file in shard.iterdir()} == before


def test_a_row_that_rots_in_a_cache_that_cannot_be_written_costs_this_run_alone(root, tmp_path, monkeypatch, capsys):
    """Decoded once, said once."""
    hashes = hashes_of(root)
    store = prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    flipped(shards_in(tmp_path / "cache")[0] / "values.npy", -1)
    monkeypatch.setattr(PixelStore, "_write_row", lambda *_: False)
    row = len(store.checksums) - 1
    digest = next(digest for digest, number in store.rows.items() if number == row)
    grey = 10 * (1 + int(next(path for path, known in hashes.items() if known == digest)[0]))
    assert [int(store.photo(row).max()) for _ in range(3)] == [min(grey, 30)] * 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_row_that_rots_without_its_photo_is_an_error_that_names_both(root, tmp_path):
    """There is nothing to make it from."""
    store = prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    flipped(shards_in(tmp_path / "cache")[0] / "values.npy", -1)
    shutil.rmtree(root)
    with pytest.raises(DataError, match=r"(?s)row 2.*\.png"):
        store.read(range(3))


@pytest.mark.parametrize("name", ["values.npy", "checksums.npy"])
def test_no_flipped_byte_of_a_header_changes_the_pixels(root, tmp_path, name):
    """|u1 may become |i1 or |b1: the bytes are the same, and the photo is another; other heads break NumPy's parser."""
    hashes = hashes_of(root)
    folder = prepare_store(root, hashes, (4, 4), tmp_path / "cache").folder
    shard = shards_in(tmp_path / "cache")[0]
    whole = (shard / name).read_bytes()
    for at in range(whole.index(b"\n") + 1):
        for bit in {0, at % 8}:
            (shard / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1:])
            store = PixelStore.open(folder)
            assert store is None or store.read([0]).tolist() == np.full((1, 4, 4, 3), store.pixels[0, 0, 0, 0]).tolist()
            assert store is None or store.pixels.dtype == np.uint8


@pytest.fixture
def attempts(monkeypatch) -> list[str]:
    """The names of the photos that are decoded."""
    names: list[str] = []
    attempt = PhotoReader.attempt

    def counted(reader: PhotoReader, path: Path, sha256: str) -> object:
        names.append(path.name)
        return attempt(reader, path, sha256)

    monkeypatch.setattr(PhotoReader, "attempt", counted)
    return names


def test_new_photos_alone_are_decoded(root, tmp_path, attempts):
    """A dataset grows by ten photos a day; the whole of it must not be decoded each day."""
    prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    photo(root / "new.png", 77)
    (root / "bad.png").write_text("text")
    attempts.clear()
    hashes = hashes_of(root)
    store = prepare_store(root, hashes, (4, 4), tmp_path / "cache")
    assert sorted(attempts) == ["bad.png", "new.png"]
    assert (len(store.shards), store.pixels.shape[0], len(store.rows)) == (2, 5, 4)
    assert store.problems == {hashes["bad.png"]: "not an image"}
    for name, grey in (("0.png", 10), ("2.png", 30), ("new.png", 77)):
        assert store.photo(store.rows[hashes[name]]).tolist() == np.full((4, 4, 3), grey).tolist()
    (root / "0.png").unlink()
    attempts.clear()
    fewer = prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    assert attempts == []
    assert hashes["0.png"] not in fewer.rows and len(fewer.rows) == 3


@pytest.mark.parametrize("name", ["shard.json", "digests.npy"])
def test_a_damaged_shard_is_decoded_again_alone(root, tmp_path, attempts, name):
    prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    photo(root / "new.png", 77)
    store = prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    new = next(shard.folder for shard in store.shards if len(shard.digests) == 1)
    flipped(new / name, -7)
    attempts.clear()
    said: list[str] = []
    again = prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache", say=said.append)
    assert attempts == ["new.png"]
    assert [str(new) in text for text in said] == [True]
    assert again.rows == store.rows


def test_stores_of_earlier_versions_are_not_read_and_are_pruned(root, tmp_path):
    """One array of all photos, under the name of an entry, with what marked it then."""
    old = tmp_path / "cache" / "pixels" / ("0" * 24)
    old.mkdir(parents=True)
    np.save(old / "pixels.npy", np.zeros((1, 4, 4, 3), np.uint8))
    (old / "store.json").write_text(json.dumps({"format": 4, "img_size": [4, 4], "photos": ["0" * 64]}))
    assert PixelStore.open(old) is None
    store = prepare_store(root, hashes_of(root), (4, 4), tmp_path / "cache")
    assert len(store.rows) == 3
    assert [entry.folder for entry in prune(tmp_path / "cache", 0).removed] == [old]
