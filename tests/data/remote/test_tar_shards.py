"""Tar shards as WebDataset lays them out: labels in three forms, names that meet, damaged and hostile shards."""

from __future__ import annotations

import io
import tarfile

import pytest

from matlens.data.remote.bring import bring
from matlens.data.remote.tars import spread
from matlens.errors import DataError
from matlens.settings.addresses import address_of
from remote_places import HASTE, Heard, same_photos


def shard(path, *members):
    """Write a tar of (name, content); a content of None is a link."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            about = tarfile.TarInfo(name)
            if content is None:
                about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"
            about.size = len(content or b"")
            tar.addfile(about, io.BytesIO(content or b""))


def samples(photos, classes):
    """Members of the photos of some classes, each class with another form of label."""
    for name in classes:
        form = {"brick": ("cls", name), "metal": ("txt", f"{name}\n"),
                "wood": ("json", f'{{"id": 1, "label": "{name}"}}')}
        for file in sorted((photos / name).iterdir()):
            yield f"{file.stem}.png", file.read_bytes()
            yield f"{file.stem}.{form[name][0]}", form[name][1].encode()


def test_shards_give_the_photos_of_class_folders(tmp_path, photos, heard):
    folder = tmp_path / "shards"
    folder.mkdir()
    shard(folder / "s-00.tar", *samples(photos, ["brick", "metal"]))
    shard(folder / "s-01.tar", *samples(photos, ["wood"]))
    for words in (str(folder), str(folder / "s-{00..01}.tar")):
        root = bring(address_of(words), tmp_path / "cache", 1, heard, HASTE)
        assert same_photos(root, photos)
    again = Heard()
    bring(address_of(str(folder)), tmp_path / "cache", 1, again, HASTE)
    assert "0 brought now, 9 were here" in again.text
    shard(folder / "s-02.tar", ("brick 0.png", b"another"), ("brick 0.cls", b"brick"), ("alone.png", b"x"))
    more = Heard()
    root = bring(address_of(str(folder)), tmp_path / "cache", 1, more, HASTE)
    assert (root / "brick" / "s-02" / "brick 0.png").read_bytes() == b"another"
    assert (root / "brick" / "brick 0.png").read_bytes() == (photos / "brick" / "brick 0.png").read_bytes()
    assert "1 brought now, 9 were here" in more.text and "alone" in more.text


@pytest.mark.parametrize(("members", "fact"), [
    ([("1.png", b"x"), ("1.cls", b"../up")], "../up"), ([("../1.png", b"x"), ("../1.cls", b"wood")], "no plain name"),
    ([("1.png", None), ("1.cls", b"wood")], "link"), ([("1.png", b"x"), ("1.png", b"y"), ("1.cls", b"wood")], "twice"),
    ([("1.png", b"x"), ("1.json", b'{"lable": "wood"}')], "rename lable to label"),
    ([("1.png", b"x"), ("1.json", b"{")], "1.cls"), ([("1.png", b"x"), ("1.cls", b"w" * 5000)], "5,000"),
    ([("1.png", b"x")], "no photo with a label"), ([("1.txt", b"wood")], "no photo with a label")])
def test_a_shard_that_must_not_be_unpacked_is_refused_and_leaves_nothing(tmp_path, heard, members, fact):
    shard(tmp_path / "s.tar", *members)
    with pytest.raises(DataError) as refused:
        bring(address_of(str(tmp_path / "s.tar")), tmp_path / "cache", 1, heard, HASTE)
    assert fact in str(refused.value) and "s.tar" in str(refused.value)
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("end", [700, 1536, 2048])
def test_a_shard_that_is_cut_off_is_refused(tmp_path, heard, end):
    """tarfile takes one that ends between two members for a whole one, and its last photos would be missing."""
    shard(tmp_path / "whole.tar", ("1.png", b"x"), ("1.cls", b"wood"))
    (tmp_path / "s.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[:end])
    with pytest.raises(DataError, match="not a whole tar shard"):
        bring(address_of(str(tmp_path / "s.tar")), tmp_path / "cache", 1, heard, HASTE)


def test_a_header_that_says_to_be_a_gigabyte_takes_no_memory(tmp_path, heard):
    about = tarfile.TarInfo("././@PaxHeader")
    about.type, about.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "s.tar").write_bytes(about.tobuf() + bytes(4096))
    with pytest.raises(DataError, match="header in it is too long"):
        bring(address_of(str(tmp_path / "s.tar")), tmp_path / "cache", 1, heard, HASTE)


def test_braces_are_written_out_as_a_shell_does():
    assert spread("s-{0008..0011}.tar", "the address") == ["s-0008.tar", "s-0009.tar", "s-0010.tar", "s-0011.tar"]
    assert spread("{a,b}/{9..10}.tar", "the address") == ["a/9.tar", "a/10.tar", "b/9.tar", "b/10.tar"]
    assert spread("plain.tar", "the address") == ["plain.tar"]
    for words in ("s-{5..1}.tar", "s-{0..999999999}.tar", "{0..999}{0..999}{0..999}.tar"):
        with pytest.raises(DataError, match="stands for"):
            spread(words, "the address")


def test_shards_that_are_missing_are_named(tmp_path, photos, heard):
    shard(tmp_path / "s-0.tar", *samples(photos, ["brick"]))
    with pytest.raises(DataError, match=r"1 of the 2 shards.*s-1\.tar"):
        bring(address_of(str(tmp_path / "s-{0..1}.tar")), tmp_path / "cache", 1, heard, HASTE)


def test_no_photo_of_a_shard_takes_the_place_of_another(tmp_path, photos, heard):
    """Names may be alike in a shard, and shards may be called alike in several folders; a file may have no ending."""
    content = next(iter(samples(photos, ["brick"])))[1]
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
        shard(tmp_path / name / "s.tar", ("README", b"read me"), ("1.png", content), ("1.cls", b"wood"),
              ("wood/1.png", content), ("wood/1.cls", b"wood"))
    root = bring(address_of(str(tmp_path / "{x,y,z}" / "s.tar")), tmp_path / "cache", 1, heard, HASTE)
    assert len([path for path in root.rglob("*.png") if path.is_file()]) == 6
    before = len(heard.lines)
    bring(address_of(str(tmp_path / "{x,y,z}" / "s.tar")), tmp_path / "cache", 1, heard, HASTE)
    assert any("0 brought now" in line for line in heard.lines[before:]), "nothing is missing, so nothing comes again"


def test_what_opens_shards_is_in_no_message():
    address = address_of("https://user:SECRET@server/x-{9..0}.tar?sig=TOKEN")
    with pytest.raises(DataError) as refused:
        spread(address.opening, str(address))
    assert "SECRET" not in str(refused.value) and "TOKEN" not in str(refused.value)
    assert "https://server/x-" in str(refused.value)
