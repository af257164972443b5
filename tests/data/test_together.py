"""What belongs together, by the user's word or because it is one photo twice."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matlens.data.prepare import prepare
from matlens.data.split import patterns
from matlens.data.split.copies import look_alikes
from matlens.data.split.splits import Split
from matlens.data.split.together import joined, named_groups
from matlens.errors import DataError, SettingsError
from matlens.notebook.prepared import create_split
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

PATHS = ["wood/s1_a.jpg", "wood/s1_b.jpg", "wood/s2_a.jpg", "brick/s1_c.jpg", "brick/x.jpg"]


def test_a_pattern_groups_by_what_it_captures():
    """Over classes too, unless the class is captured as well; what it is not found in stands alone."""
    assert named_groups(PATHS, r"(s\d)_") == [("brick/s1_c.jpg", "wood/s1_a.jpg", "wood/s1_b.jpg")]
    assert named_groups(PATHS, r"^(\w+)/(s\d)_") == [("wood/s1_a.jpg", "wood/s1_b.jpg")]


@pytest.mark.parametrize(("name", "text"), [
    ("groups.csv", "path,group\nwood/s2_a.jpg,scene 1\nbrick/x.jpg,scene 1\ngone.jpg,scene 1\n"),
    ("groups.csv", 'wood/s2_a.jpg,"scene, 1"\n\nbrick/x.jpg,"scene, 1"\nwood/s1_a.jpg,other'),
    ("groups.tsv", "\ufeffpath\tgroup\nwood/s2_a.jpg\tscene 1\nbrick/x.jpg\tscene 1\n")])
def test_a_file_names_the_group_of_each_photo(tmp_path, name, text):
    """As a spreadsheet writes it: with or without a head, a byte order mark, quotes, empty lines."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert named_groups(PATHS, str(tmp_path / name)) == [("brick/x.jpg", "wood/s2_a.jpg")]


@pytest.mark.parametrize(("groups", "error", "says"), [
    ("nofile.csv", SettingsError, "captures nothing"), ("(s", SettingsError, "no regular expression"),
    ("(zzz)", DataError, "such as wood/s1_a.jpg")])
def test_neither_a_file_nor_a_pattern_is_said(groups, error, says):
    """A mistyped file name must not silently divide at random."""
    with pytest.raises(error, match=says):
        named_groups(PATHS, groups)


@pytest.mark.parametrize(("content", "says"), [
    (b"a,b,c\n", r"entry 1 \(a,b,c\)"), (b"path,group\nx.jpg,\n", "entry 1"), (b"y.jpg,g\n", "names none")])
def test_a_wrong_line_is_named_with_its_file(tmp_path, content, says):
    """Half a grouping is worse than none."""
    file = tmp_path / "g.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"g\.csv.*{says}"):
        named_groups(PATHS, str(file))


def test_a_pattern_may_be_longer_than_a_file_name():
    """Alternatives of many scenes are."""
    pattern = "(" + "|".join(f"scene{number}" for number in range(100)) + "|s1)_"
    assert named_groups(PATHS, pattern) == [("brick/s1_c.jpg", "wood/s1_a.jpg", "wood/s1_b.jpg")]


@pytest.mark.parametrize(("name", "content"), [
    ("win.csv", b"wood\\s2_a.jpg,g\r\nbrick\\x.jpg,g\r\n"), ("dot.csv", b"./wood/s2_a.jpg,g\n.//brick/x.jpg,g\n"),
    ("semi.csv", b"path;group\nwood/s2_a.jpg;g\nbrick/x.jpg;g\n"), ("tabs.csv", b"wood/s2_a.jpg\tg\nbrick/x.jpg\tg\n"),
    ("utf16.csv", "wood/s2_a.jpg\tg\nbrick/x.jpg\tg\n".encode("utf-16")),
    ("root.csv", b"photos/wood/s2_a.jpg,g\nphotos/brick/x.jpg,g\n"), ("abs.csv", b"/d/photos/wood/s2_a.jpg,g\n"
                                                                      b"/d/photos/brick/x.jpg,g\n")])
def test_a_list_is_read_as_other_programs_write_it(tmp_path, name, content):
    """Windows and Excel are where lists of scenes are made."""
    (tmp_path / name).write_bytes(content)
    assert named_groups(PATHS, str(tmp_path / name), Path("/d/photos")) == [("brick/x.jpg", "wood/s2_a.jpg")]


@pytest.mark.parametrize("folder", ["link", "deep/../link", "real"])
@pytest.mark.parametrize("root", ["link", "real", "other"])
def test_a_list_may_name_the_folder_by_any_link_to_it(tmp_path, monkeypatch, folder, root):
    """The list was made where the disk has another name."""
    (tmp_path / "real").mkdir()
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "other").symlink_to(tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    for around in (f"{tmp_path}/", ""):
        (tmp_path / "g.csv").write_text("\n".join(f"{around}{folder}/{path},g" for path in PATHS[:2]) + "\nno\0,g")
        assert named_groups(PATHS, str(tmp_path / "g.csv"), tmp_path / root) == [tuple(PATHS[:2])]


def test_a_photo_for_which_a_pattern_captures_nothing_stands_alone():
    """Else all photos without a scene are one group, and in one part."""
    said: list[str] = []
    paths = ["wood/scene1_1.jpg", "wood/scene1_2.jpg", "wood/3.jpg", "brick/4.jpg"]
    assert named_groups(paths, r"/(?:(scene\d+)_)?\d+", None, said.append) == [tuple(paths[:2])]
    assert any("2 of 4 photos" in words and "wood/3.jpg" in words for words in said)
    with pytest.raises(DataError):
        named_groups(paths, r"(x?)\d")


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_list_that_is_no_regular_file_is_told_apart_from_a_wrong_name(tmp_path):
    """A shell's <(...) is a pipe."""
    os.mkfifo(tmp_path / "pipe")
    said = {}
    for name in ("pipe", "", "none.csv"):
        with pytest.raises(SettingsError) as caught:
            named_groups(PATHS, str(tmp_path / name))
        said[name] = str(caught.value)
    assert ("pipe" in said["pipe"].replace(str(tmp_path), "").replace("/pipe", "") and "folder" in said[""]
            and "no such file" in said["none.csv"])
    assert "no such file" not in said["pipe"] + said[""]


def test_what_does_not_fit_a_list_is_said(tmp_path):
    """A photo in two groups joins them; lines and photos without a partner are counted and named."""
    said: list[str] = []
    lines = [*(f"{path},{number // 2}" for number, path in enumerate(PATHS[:4])), "wood/s1_a.jpg,1", "gone.jpg,7"]
    (tmp_path / "g.csv").write_text("\n".join(lines))
    assert named_groups(PATHS, str(tmp_path / "g.csv"), None, said.append) == [tuple(sorted(PATHS[:4]))]
    assert any("1 of 6 lines" in words and "gone.jpg" in words for words in said)
    assert any("wood/s1_a.jpg" in words and "0, 1" in words for words in said)
    assert any("4 of 5 photos" in words and "brick/x.jpg" in words for words in said)
    (tmp_path / "g.csv").write_text("\n".join(line.replace("jpg", "png") for line in lines[1:5]) + f"\n{lines[0]}")
    with pytest.raises(DataError, match=r"1 of the 5 photos.*4 of its 5 lines.*wood/s1_b\.png"):
        named_groups(PATHS, str(tmp_path / "g.csv"))


def test_a_pattern_that_fits_few_photos_is_said():
    """It looks as if groups were kept, and most are torn apart."""
    said: list[str] = []
    assert named_groups(PATHS, "(s2)_", None, said.append) == []
    assert any("1 of 5 photos" in words and "(s2)_" in words for words in said)


def test_a_pattern_that_would_be_searched_for_ever_is_stopped_and_named(monkeypatch):
    """(a+)+$ takes 2 ** 40 steps on forty letters."""
    monkeypatch.setattr(patterns, "SECONDS", 1)
    with pytest.raises(SettingsError) as caught:
        named_groups([f"wood/{'a' * 40}!.jpg"], "(a+)+$")
    assert "(a+)+$" in str(caught.value)


@pytest.mark.parametrize("pattern", ["(" * 5000, "(a{1,65535}){1,65535}{2}{3}", "(?P<x>", "(\\"])
def test_a_pattern_that_cannot_be_read_is_refused_by_name(pattern):
    """A recursion error would look like a defect."""
    with pytest.raises(SettingsError) as caught:
        named_groups(PATHS, pattern)
    assert pattern in str(caught.value)


def test_groups_that_share_a_photo_become_one():
    """a with b and b with c: all three."""
    assert joined([("a", "b"), ("c", "d"), ("b", "e"), ("x", "y"), ("e", "c")]) == [
        ("a", "b", "c", "d", "e"), ("x", "y")]


def test_copies_are_found_by_bytes_and_by_look():
    """Two with the same bytes; a third, brighter by one level, looks the same; an unreadable one is passed over."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 200, (8, 8, 3)).astype(np.uint8).repeat(12, axis=0).repeat(12, axis=1)
    pixels = {"1": photo, "2": photo + np.uint8(1), "3": rng.permutation(photo), "4": None}
    done = []
    groups = look_alikes({"a.jpg": "1", "b.jpg": "1", "c.jpg": "2", "d.jpg": "3", "e.jpg": "4"}, pixels.get,
                         lambda *counts: done.append(counts))
    assert groups == [("a.jpg", "b.jpg", "c.jpg")]
    assert done[-1] == (4, 4)


def test_a_photo_and_its_copies_end_in_one_part(drawn, tmp_path):
    """A copy in the test part would be answered by heart."""
    photos = shutil.copytree(drawn, tmp_path / "photos")
    originals = sorted(photos.rglob("*.jpg"))[::5]
    for number, original in enumerate(originals):
        (original.parent / f"copy{number}_{original.name}").write_bytes(original.read_bytes() + b"\0" * (number % 2))
    split = create_split(photos, tmp_path / "out")
    part = {photo.path: photo.part for photo in split.photos}
    for number, original in enumerate(originals):
        path = original.relative_to(photos).as_posix()
        copy = f"{path.split('/')[0]}/copy{number}_{original.name}"
        assert part[path] == part[copy]
        assert any({path, copy} <= set(group) for group in split.together)
    assert len({part[original.relative_to(photos).as_posix()] for original in originals}) > 1


@pytest.mark.parametrize("trailing", [b"", b"\0"])
def test_copies_under_different_classes_are_told(drawn, tmp_path, capsys, trailing):
    """The same photo cannot be right in both: byte for byte, or the same pixels in another file."""
    photos = shutil.copytree(drawn, tmp_path / "photos")
    settings = Settings.load(options={"data_dir": photos, "img_size": (32, 32), "cache_dir": tmp_path / "cache"})
    assert not any("different classes" in remark for remark in prepare(settings, Reporter(quiet=True)).split.remarks)
    original, other = min((photos / "brick").iterdir()), max(photos.iterdir())
    (other / "again.jpg").write_bytes(original.read_bytes() + trailing)
    capsys.readouterr()
    remarks = prepare(settings, Reporter(quiet=True)).split.remarks
    (remark,) = [remark for remark in remarks if "different classes" in remark]
    assert remark.startswith("2 photos") and f"brick/{original.name}" in remark and f"{other.name}/again.jpg" in remark
    assert "data audit" in capsys.readouterr().err


@pytest.mark.parametrize("groups", [r"^(\w+)/", None])
def test_what_keeps_a_class_in_too_few_groups_is_named(drawn, tmp_path, groups):
    """More photos do not help where --groups makes one group of each class, or where all photos are one photo."""
    photos = shutil.copytree(drawn, tmp_path / "my photos")
    for photo in (sorted((photos / "brick").iterdir())[1:] if groups is None else ()):
        shutil.copyfile(min((photos / "brick").iterdir()), photo)
    with pytest.raises(DataError) as caught:
        prepare(Settings.load(options={"data_dir": photos, "img_size": (32, 32), "cache_dir": tmp_path / "cache",
                                       "groups": groups}), Reporter(quiet=True))
    said = str(caught.value)
    assert "'brick'" in said and "brick/" in said and "in 1 group" in said
    assert ("--groups" in said) == (groups is not None)
    words = shlex.split(said[said.index("matlens data audit"):])
    assert words[:4] == ["matlens", "data", "audit", str(photos)] and "near_duplicate" in words


def test_photos_that_cannot_be_read_are_named_where_a_class_is_too_small(drawn, tmp_path):
    """To add photos is no way out where the files are pointers of a version control."""
    photos = shutil.copytree(drawn, tmp_path / "photos")
    for photo in (photos / "brick").iterdir():
        photo.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"'brick' has 0 .* such as brick/"):
        create_split(photos, tmp_path / "out")


@pytest.mark.parametrize("layout", ["minc", "prepared"])
def test_groups_that_an_official_split_divides_are_recorded_and_said(drawn, tmp_path, layout):
    """The photos stay where they are; whoever computes an interval must know which are not independent."""
    photos = tmp_path / "photos"
    lists: dict[str, list[str]] = {"train": [], "validate": [], "test": []}
    for folder in (drawn / "brick", drawn / "wood"):
        for number, photo in enumerate(sorted(folder.iterdir())[:10]):
            part = "train" if number < 5 else "validate" if number < 7 else "test"
            path = f"images/{folder.name}/{photo.name}" if layout == "minc" else f"{part}/{folder.name}/{photo.name}"
            lists[part].append(path)
            (photos / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo, photos / path)
    if layout == "minc":
        (photos / "labels").mkdir()
        for part, paths in lists.items():
            (photos / "labels" / f"{part}1.txt").write_text("\n".join(paths))
        lists["train"].append("images/wood/unlisted.jpg")
        shutil.copyfile(photos / lists["test"][-1], photos / lists["train"][-1])
    pixels = np.asarray(Image.open(photos / lists["train"][0])).astype(int)
    Image.fromarray(np.clip(pixels + 1, 0, 255).astype(np.uint8)).save(photos / lists["test"][0], "PNG")
    (tmp_path / "groups.csv").write_text(f"{lists['train'][1]},scene\n{lists['validate'][1]},scene\n")
    split = prepare(Settings.load(options={
        "data_dir": photos, "img_size": (32, 32), "cache_dir": tmp_path / "cache", "protocol": f"{layout}:1".replace(
            "prepared:1", "prepared"), "groups": str(tmp_path / "groups.csv")}), Reporter(quiet=True)).split
    part_of = {photo.path: photo.part for photo in split.photos}
    assert part_of == {path: {"validate": "val"}.get(part, part) for part, paths in lists.items() for path in paths
                       if "unlisted" not in path}
    assert set(split.together) == {tuple(sorted((lists["train"][0], lists["test"][0]))),
                                   tuple(sorted((lists["train"][1], lists["validate"][1])))}
    assert len(set(split.groups_of(split.photos).tolist())) == 18
    assert any(lists["test"][0] in remark and "1 of 6" in remark for remark in split.remarks)
    assert any("1 of 1" in remark and lists["validate"][1] in remark for remark in split.remarks)
    assert any("unlisted" in remark for remark in split.remarks) == (layout == "minc")
    assert Split.read(split.write(tmp_path / "split.json")) == split
