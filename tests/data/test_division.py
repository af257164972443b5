"""Division into parts: photos that belong together must never be apart, and the shares must still come out."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matlens.data.source.sources import Listed
from matlens.data.split.division import divide
from matlens.errors import DataError

SHARES = (0.7, 0.15, 0.15)


def content(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()


def parts_of(photos: list[Listed], together: dict[str, str], seed: int = 0, shares=SHARES) -> dict[str, int]:
    names = sorted({photo.class_name for photo in photos})
    parts = divide(photos, names, {photo.path: content(photo.path) for photo in photos}, shares, seed, together)
    listed = [photo.path for part in parts for photo in part]
    assert sorted(listed) == sorted(photo.path for photo in photos)  # complete and disjoint
    return {photo.path: number for number, part in enumerate(parts) for photo in part}


@st.composite
def grouped_folders(draw, across_classes: bool):
    """Classes of 12 to 60 photos, some of them in groups of 2 to 9; a group within a class, or over classes."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    photos, together = [], {}
    for name in draw(st.lists(st.text("abcé", min_size=1, max_size=3), min_size=2, max_size=4, unique=True)):
        photos += [Listed(f"{name}/{i}.jpg", name) for i in range(draw(st.integers(12, 60)))]
    loose = photos.copy()
    rng.shuffle(loose)
    if not across_classes:
        loose.sort(key=lambda photo: photo.class_name)
    for number in range(draw(st.integers(0, 9))):
        size = draw(st.integers(2, 9))
        members = [loose.pop() for _ in range(min(size, len(loose)))]
        if not across_classes:
            members = [photo for photo in members if photo.class_name == members[0].class_name]
        together |= {photo.path: f"g{number}" for photo in members}
    return photos, together


def largest_group(photos, together, name):
    sizes = Counter(together[photo.path] for photo in photos if photo.path in together and photo.class_name == name)
    return max(sizes.values(), default=1)


@settings(max_examples=150, deadline=None)
@given(grouped_folders(across_classes=False), st.integers(0, 9),
       st.sampled_from([SHARES, (0.2,) * 5, (0.5, 0.25, 0.25)]))
def test_groups_stay_together_and_each_class_is_divided_within_its_largest_group(folder, seed, shares):
    """Two photos of one scene in train and test make a model look better than it is."""
    photos, together = folder
    try:
        part = parts_of(photos, together, seed, shares)
    except DataError:  # too few groups to divide: checked in its own test
        return
    members = defaultdict(set)
    for path, group in together.items():
        members[group].add(part[path])
    assert all(len(found) == 1 for found in members.values())
    for name in {photo.class_name for photo in photos}:
        mine = [photo for photo in photos if photo.class_name == name]
        counts = Counter(part[photo.path] for photo in mine)
        assert all(counts[number] for number in range(len(shares)))
        singles = sum(photo.path not in together for photo in mine)
        if singles >= len(shares):  # else parts may need a group each to have any photo of the class
            bound = max(1, largest_group(photos, together, name))
            assert all(abs(counts[number] - share * len(mine)) < bound + 1 for number, share in enumerate(shares))


@settings(max_examples=80, deadline=None)
@given(grouped_folders(across_classes=True), st.integers(0, 9))
def test_groups_over_several_classes_stay_together_in_any_order_of_the_files(folder, seed):
    """The same wall photographed for brick and for painted is one scene."""
    photos, together = folder
    try:
        part = parts_of(photos, together, seed)
    except DataError:
        return
    assert all(len({part[path] for path in together if together[path] == group}) == 1 for group in together.values())
    shuffled = random.Random(seed).sample(photos, len(photos))
    assert parts_of(shuffled, together, seed) == part
    counts = Counter((photo.class_name, part[photo.path]) for photo in photos)
    for name in {photo.class_name for photo in photos}:
        n = sum(photo.class_name == name for photo in photos)
        assert all(counts[name, number] for number in range(3))
        singles = sum(photo.path not in together and photo.class_name == name for photo in photos)
        if singles >= 9:  # enough to make good what groups leave uneven
            assert all(abs(counts[name, number] - share * n) < largest_group(photos, together, name) + 1
                       for number, share in enumerate(SHARES))


def test_a_class_with_too_few_groups_is_named():
    """Nine photos of two scenes cannot be in three parts."""
    photos = [Listed(f"{name}/{i}.jpg", name) for name in "ab" for i in range(9)]
    together = {f"a/{i}.jpg": f"scene {i // 5}" for i in range(9)}
    with pytest.raises(DataError, match="'a' has 9 readable photos in 2 groups that must stay together"):
        parts_of(photos, together)


def test_a_part_gets_a_photo_of_each_class_even_where_groups_are_large():
    """Three scenes of five photos: one each, though train is due eleven of fifteen."""
    photos = [Listed(f"{name}/{i}.jpg", name) for name in "ab" for i in range(15)]
    part = parts_of(photos, {f"a/{i}.jpg": f"scene {i // 5}" for i in range(15)})
    assert Counter(part[f"a/{i}.jpg"] for i in range(15)) == {0: 5, 1: 5, 2: 5}


def test_groups_of_one_class_leave_the_others_as_they_were():
    """A copy that is added to one class must not reshuffle the rest."""
    photos = [Listed(f"{name}/{i}.jpg", name) for name in "ab" for i in range(20)]
    before, after = parts_of(photos, {}), parts_of(photos, {"a/3.jpg": "x", "a/4.jpg": "x"})
    assert {path: part for path, part in before.items() if path[0] == "b"} == {
        path: part for path, part in after.items() if path[0] == "b"}


def test_groups_are_drawn_into_all_parts():
    """If all copies went to train, test photos would be easier to tell from them than they are."""
    photos = [Listed(f"a/{i}.jpg", "a") for i in range(400)] + [Listed(f"b/{i}.jpg", "b") for i in range(9)]
    part = parts_of(photos, {f"a/{i}.jpg": str(i // 2) for i in range(400)})
    assert Counter(part[f"a/{i}.jpg"] for i in range(400)) == {0: 280, 1: 60, 2: 60}
