"""Facts of photos that are cached by content are those that reading gives, and new photos alone are decoded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from matlens.data.audit import cached_facts as module
from matlens.data.audit.audit import audit
from matlens.data.audit.cached_facts import cached_facts
from matlens.data.audit.photo_facts import read_facts
from matlens.data.drawn.synthetic import MATERIALS, draw_dataset
from matlens.data.pixels.problems import Problem
from matlens.data.source.sources import open_source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Drawn photos; one of them twice, one broken, one of a format that is not read, one that is no file."""
    root = tmp_path / "photos"
    draw_dataset(root, photos_per_class=4, size=40, materials=MATERIALS[:2])
    second = root / MATERIALS[1]
    some = sorted(root.rglob("*.jpg"))
    shutil.copy(some[0], second / "again.jpg")
    (second / "cut.jpg").write_bytes(some[1].read_bytes()[:700])
    (second / "photo.jpg").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(300))
    (second / "gone.jpg").symlink_to(root / "nowhere.jpg")
    return root


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The paths of the photos that are decoded."""
    paths: list[str] = []

    def counted(root, photos, *arguments):
        paths.extend(photo.path for photo in photos)
        return read_facts(root, photos, *arguments)

    monkeypatch.setattr(module, "read_facts", counted)
    return paths


def test_facts_are_those_that_reading_gives_and_are_collected_once(root, tmp_path, decoded):
    """A second audit in seconds must find what the first found."""
    photos = open_source(root).photos
    plain = read_facts(root, photos)
    assert {fact.problem.kind for fact in plain if fact.problem} >= {"damaged", "unsupported"}
    for decodings in (len({fact.sha256 for fact in plain if fact.sha256}), 0):
        decoded.clear()
        assert cached_facts(root, photos, tmp_path / "cache") == plain
        assert len(decoded) == decodings


def test_new_and_changed_photos_alone_are_decoded(root, tmp_path, decoded):
    cached_facts(root, open_source(root).photos, tmp_path / "cache")
    decoded.clear()
    draw_dataset(tmp_path / "more", photos_per_class=1, size=40, materials=MATERIALS[:2], seed=9)
    new = next((tmp_path / "more").rglob("*.jpg"))
    shutil.copy(new, root / MATERIALS[0] / "new.jpg")
    first = sorted((root / MATERIALS[1]).glob("*.jpg"))[0]
    first.rename(root / MATERIALS[0] / "moved.jpg")
    photos = open_source(root).photos
    assert cached_facts(root, photos, tmp_path / "cache") == read_facts(root, photos)
    assert decoded == [f"{MATERIALS[0]}/new.jpg"]


def test_a_damaged_shard_is_collected_again(root, tmp_path, decoded):
    photos = open_source(root).photos
    plain = cached_facts(root, photos, tmp_path / "cache")
    shard, = (tmp_path / "cache" / "facts").glob("[!.]*-*")
    content = bytearray((shard / "values.npy").read_bytes())
    content[-9] ^= 1
    (shard / "values.npy").write_bytes(content)
    said: list[str] = []
    assert cached_facts(root, photos, tmp_path / "cache", say=said.append) == plain
    assert [str(shard) in text for text in said] == [True]
    assert cached_facts(root, photos, tmp_path / "cache") == plain


def test_a_trouble_of_the_machine_is_not_kept(root, tmp_path, monkeypatch):
    """A whole photo would be called unreachable for ever."""
    photos = open_source(root).photos
    plain = read_facts(root, photos)
    chosen = next(fact for fact in plain if fact.problem is None)

    def troubled(root, photos, *arguments):
        return [fact if fact.sha256 != chosen.sha256 else type(fact)(
            fact.path, fact.class_name, problem=Problem("there is not enough memory for it", "trouble"))
            for fact in read_facts(root, photos, *arguments)]

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_facts", troubled)
        patch.setattr(module, "facts_of", lambda root, photo: troubled(root, [photo])[0])
        found = cached_facts(root, photos, tmp_path / "cache")
        assert [fact.path for fact in found if fact.problem and fact.problem.kind == "trouble"]
    assert cached_facts(root, photos, tmp_path / "cache") == plain


def test_an_audit_goes_on_where_the_cache_cannot_be_written(root, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    said: list[str] = []
    photos = open_source(root).photos
    assert cached_facts(root, photos, tmp_path / "cache", say=said.append) == read_facts(root, photos)
    assert len(said) == 1 and "--cache-dir" in said[0]


def test_an_audit_finds_the_same_with_and_without_a_cache(root, tmp_path):
    source = open_source(root)
    plain = audit(source).as_json() | {"seconds": 0}
    for _ in range(2):
        assert audit(source, cache_dir=tmp_path / "cache").as_json() | {"seconds": 0} == plain
