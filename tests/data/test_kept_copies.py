"""What was found among photos is kept in the cache: the same photos are searched once, new ones alone are read."""

from __future__ import annotations

import hashlib
import zlib
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from matlens.data.hidden.cameras import kept_shots
from matlens.data.split.copies import Keeping, look_alikes
from matlens.system.caches import entries, prune
from matlens.system.files import read_json, seal_of, write_json
from matlens.types import Pixels, unheard


def photo(seed: int, light: int = 0) -> Pixels:
    """Smooth shapes with fine structure, which no two seeds have in common."""
    rng = np.random.default_rng(seed)
    shapes = cv2.resize(rng.integers(40, 200, (6, 6, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
    return np.clip(shapes.astype(int) + rng.integers(-20, 20, (96, 96, 1)) + light, 0, 255).astype(np.uint8)


class Photos:
    """Photos by the SHA-256 of their content, which count how often each is read."""

    def __init__(self, *shown: Pixels) -> None:
        self.pixels = {hashlib.sha256(pixels.tobytes()).hexdigest(): pixels for pixels in shown}
        self.read: list[str] = []

    def __call__(self, digest: str) -> Pixels | None:
        self.read.append(digest)
        return self.pixels[digest]

    def hashes(self, folder: str = "a") -> dict[str, str]:
        return {f"{folder}/{number}.jpg": digest for number, digest in enumerate(self.pixels)}

    def search(self, cache: Path | None, folder: str = "a", decoding: str = "1") -> list[tuple[str, ...]]:
        self.read = []
        return look_alikes(self.hashes(folder), self, unheard, cache and Keeping(cache, decoding))


@pytest.fixture
def shown() -> list[Pixels]:
    """Twelve photos and, last, a lighter copy of the first."""
    return [photo(seed) for seed in range(12)] + [photo(0, light=6)]


def test_the_same_photos_are_searched_once_wherever_they_lie(shown, tmp_path):
    photos = Photos(*shown)
    assert photos.search(tmp_path) == [("a/0.jpg", "a/12.jpg")]
    assert set(photos.read) == set(photos.pixels)
    assert photos.search(tmp_path, "b") == [("b/0.jpg", "b/12.jpg")]
    assert photos.read == []
    assert photos.search(tmp_path, decoding="2") == [("a/0.jpg", "a/12.jpg")]
    assert set(photos.read) == set(photos.pixels), "photos that are decoded in another way are other pictures"


def test_of_a_few_new_photos_these_and_what_they_are_compared_with_alone_are_read(shown, tmp_path):
    """And the outcome is that of a search of all. The copy's original is gone meanwhile."""
    Photos(*shown).search(tmp_path)
    more = Photos(*shown[1:], photo(3, light=-6), photo(40))
    groups = more.search(tmp_path)
    new = list(more.pixels)[-2:]
    assert set(new) <= set(more.read) < set(more.pixels)
    assert groups == more.search(None) == [("a/12.jpg", "a/2.jpg")]


def test_a_pair_that_was_compared_is_not_compared_again(shown, tmp_path, monkeypatch):
    """A verdict of the kept search stands for the comparison, also if photos before it in the order are gone."""
    photos = Photos(*shown)
    groups = photos.search(tmp_path)
    monkeypatch.setattr("matlens.data.split.duplicates.how_same", lambda *_: pytest.fail("compared again"))
    originals = {photos.hashes()[path] for path in groups[0]}
    for gone in set(photos.pixels) - originals:
        fewer = Photos(*(pixels for digest, pixels in photos.pixels.items() if digest != gone))
        assert [len(group) for group in fewer.search(tmp_path)] == [2]


@pytest.mark.parametrize("name", ["copies.json", "digests.npy", "signatures.npy", "compared.npy"])
def test_a_damaged_file_changes_no_outcome(shown, tmp_path, name):
    photos = Photos(*shown)
    groups = photos.search(tmp_path)
    file = next(tmp_path.glob(f"copies/*/{name}"))
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    assert photos.search(tmp_path) == groups
    more = Photos(*shown, photo(7, light=4))
    assert more.search(tmp_path) == [*groups, ("a/13.jpg", "a/7.jpg")] == more.search(None)
    if name == "copies.json":
        assert photos.search(tmp_path) == groups
        assert photos.read == [], "it was not made again"


def of_strangers(folder: Path, arrays: dict[str, np.ndarray], **changes) -> None:
    """Write an entry whose checksums are right, though matlens writes no such content or arrays."""
    content = {key: value for key, value in read_json(folder / "copies.json").items() if key != "sha256"} | changes
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        content["checksums"][name] = zlib.crc32(np.ascontiguousarray(array).data)
    write_json(folder / "copies.json", {**content, "sha256": seal_of(content)})


@pytest.mark.parametrize("groups", [None, 5, [1], [["another"]], [[["nested"]]]])
def test_groups_that_matlens_would_not_write_are_searched_again(shown, tmp_path, groups):
    photos = Photos(*shown)
    found = photos.search(tmp_path)
    of_strangers(next(tmp_path.glob("copies/*")), {}, groups=groups)
    assert photos.search(tmp_path) == found


@pytest.mark.parametrize(("name", "change"), [
    ("signatures", lambda array: array[:3]), ("signatures", lambda array: array[:, :100]),
    ("signatures", lambda array: array.astype(float)), ("digests", lambda array: array[::-1]),
    ("digests", lambda array: array[:, :31]), ("digests", lambda array: np.concatenate([array, array])),
    ("compared", lambda array: array - [0, 0, 0, -7]), ("compared", lambda array: array - [0, 0, 0, 2]),
    ("compared", lambda array: array[:, ::-1]), ("compared", lambda array: array * 10**9),
    ("compared", lambda array: array[:, :3]), ("compared", lambda array: array.astype(np.uint64))])
def test_arrays_that_matlens_would_not_write_are_not_gone_on_from(shown, tmp_path, name, change):
    Photos(*shown).search(tmp_path)
    entry = next(tmp_path.glob("copies/*"))
    of_strangers(entry, {name: change(np.load(entry / f"{name}.npy"))})
    more = Photos(*shown, photo(7, light=4))
    assert more.search(tmp_path) == more.search(None) == [("a/0.jpg", "a/12.jpg"), ("a/13.jpg", "a/7.jpg")]


def test_a_search_that_could_not_read_a_photo_is_not_kept(shown, tmp_path):
    """Trouble of a moment: the next search finds the copy."""
    photos = Photos(*shown)
    missing = photos.hashes()["a/12.jpg"]
    there, photos.pixels[missing] = photos.pixels[missing], None
    assert photos.search(tmp_path) == []
    photos.pixels[missing] = there
    assert photos.search(tmp_path) == [("a/0.jpg", "a/12.jpg")]


def test_a_cache_that_cannot_be_written_costs_the_keeping_alone(shown, tmp_path):
    (tmp_path / "copies").write_text("of the user's")
    said: list[str] = []
    photos = Photos(*shown)
    assert look_alikes(photos.hashes(), photos, unheard, Keeping(tmp_path, "1", said.append)) == [
        ("a/0.jpg", "a/12.jpg")]
    assert len(said) == 1 and str(tmp_path) in said[0]
    assert (tmp_path / "copies").read_text() == "of the user's"


def test_what_is_kept_is_shown_and_pruned(shown, tmp_path, monkeypatch):
    photos = Photos(*shown)
    photos.search(tmp_path)
    entry, = entries(tmp_path)
    assert (entry.kind, entry.what) == ("copies", "13 photos")
    monkeypatch.setattr("matlens.system.caches._marks", {})  # this process lets go of it
    for mark in (tmp_path / "locks").glob("*"):
        mark.unlink()
    assert [gone.folder for gone in prune(tmp_path, 0).removed] == [entry.folder]
    assert not entry.folder.exists()


def test_times_are_read_once_and_not_kept_if_a_file_cannot_be_read(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:17 10:31:07"
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8), (len(name), ord(name[0]), 0)).save(tmp_path / name, exif=exif)
    hashes = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.jpg", "b.jpg")}
    shot = ("Maker", datetime(2024, 5, 17, 10, 31, 7))
    aside = (tmp_path / "b.jpg").rename(tmp_path / "aside")
    assert kept_shots(tmp_path, hashes, tmp_path / "cache") == {"a.jpg": shot}
    aside.rename(tmp_path / "b.jpg")
    assert kept_shots(tmp_path, hashes, tmp_path / "cache") == {"a.jpg": shot, "b.jpg": shot}
    monkeypatch.setattr("matlens.data.hidden.cameras._head_of", lambda _: pytest.fail("read again"))
    assert kept_shots(tmp_path, hashes, tmp_path / "cache") == {"a.jpg": shot, "b.jpg": shot}
