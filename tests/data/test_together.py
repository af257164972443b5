"""What belongs together, by the user's word or because it is one photo twice."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from matlens.data.split.together import joined, look_alikes, named_groups
from matlens.errors import DataError, SettingsError
from matlens.notebook.prepared import create_split

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
    ("(zzz)", DataError, "found in none of the paths, such as wood/s1_a.jpg")])
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
