"""Whether a copy of MINC-2500 is whole: published figures are about the same photos in the same parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from matlens.data.source import minc
from matlens.data.source.sources import Listed, Source

NAMES = ["brick", "carpet", "ceramic", "fabric", "foliage", "food", "glass", "hair", "leather", "metal", "mirror",
         "other", "painted", "paper", "plastic", "polishedstone", "skin", "sky",
         "stone", "tile", "wallpaper", "water", "wood"]


def copy_of_minc(root: Path, train: int, validate: int, test: int) -> Source:
    """Lists of so many photos of each class, the same in all five splits; the photos are only names."""
    photos = [[f"images/{name}/{name}_{number:06d}.jpg" for number in range(train + validate + test)] for name in NAMES]
    (root / "labels").mkdir(parents=True)
    begins = {"train": (0, train), "validate": (train, train + validate), "test": (train + validate, None)}
    for listing, (begin, end) in begins.items():
        text = "".join(f"{path}\n" for paths in photos for path in paths[begin:end])
        for number in range(1, 6):
            (root / "labels" / f"{listing}{number}.txt").write_text(text)
    return Source(root, "minc", tuple(NAMES), tuple(Listed(path, path.split("/")[1]) for paths in photos for path in
                                                    paths), (1, 2, 3, 4, 5))


def without(source: Source, *paths: str, **changed: object) -> Source:
    fields = {"root": source.root, "layout": source.layout, "class_names": source.class_names,
              "photos": tuple(photo for photo in source.photos if photo.path not in paths),
              "split_numbers": source.split_numbers} | changed
    return Source(**fields)  # type: ignore[arg-type]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A whole copy of a MINC with six photos of each class: four, one and one."""
    monkeypatch.setattr(minc, "PHOTOS_PER_CLASS", 6)
    monkeypatch.setattr(minc, "PART_SIZES", {"train": 4, "val": 1, "test": 1})
    return copy_of_minc(tmp_path, 4, 1, 1)


@pytest.mark.slow
def test_the_published_sizes_are_whole(tmp_path):
    """23 classes of 2,500; 2,125 + 125 + 250, as the README of the archive and the paper have it."""
    assert minc.deviations(copy_of_minc(tmp_path, 2125, 125, 250)) == []


def test_a_whole_copy_has_no_deviation(small):
    """And every deviation below comes from the one thing that is changed."""
    assert minc.deviations(small) == []


def test_lacking_and_foreign_classes(small):
    """A renamed class folder moves all its photos."""
    photos = tuple(Listed(photo.path.replace("wood", "timber"), photo.class_name.replace("wood", "timber"))
                   for photo in small.photos)
    found = minc.deviations(without(small, class_names=(*NAMES[:-1], "timber"), photos=photos))
    assert found[:3] == ["There is no class wood.", "MINC-2500 has no class timber.",
                         "Of each class there should be 6 photos: wood has 0."]
    assert len(found) == 3 + 5
    assert "the line 'images/wood/wood_000000.jpg' does not name a photo" in found[3]


def test_a_missing_photo(small):
    """It is counted, and named in each split that lists it."""
    lost = "images/sky/sky_000002.jpg"
    assert minc.deviations(without(small, lost)) == [
        "Of each class there should be 6 photos: sky has 5.",
        *(f"Official split {number} lists photos that are not there: {lost}." for number in range(1, 6))]


def test_a_photo_too_many(small):
    """No official figure knows it."""
    more = Listed("images/sky/sky_999999.jpg", "sky")
    assert minc.deviations(without(small, photos=(*small.photos, more))) == [
        "Of each class there should be 6 photos: sky has 7.",
        *(f"Official split {number} leaves photos out: {more.path}." for number in range(1, 6))]


def test_a_split_that_is_not_whole_and_one_that_is_unknown(small):
    """Five splits are averaged; four would be another figure."""
    assert minc.deviations(without(small, split_numbers=(1, 2, 4, 5, 7))) == [
        "MINC-2500 has no official split 7.",
        "Of official split 3 not all lists are there: labels/train3.txt, validate3.txt, test3.txt."]


def test_a_photo_in_two_parts(small):
    """What is trained on must not be tested on."""
    labels = small.root / "labels"
    with (labels / "test4.txt").open("a") as file:
        file.write("images/sky/sky_000000.jpg\n")
    found = minc.deviations(small)
    assert len(found) == 1
    assert "images/sky/sky_000000.jpg is listed twice in split 4 (also as train)" in found[0]


def test_photos_that_changed_their_part(small):
    """The classes would not be balanced any more."""
    labels = small.root / "labels"
    lines = (labels / "train2.txt").read_text().splitlines()
    moved = [line for line in lines if line.endswith("_000003.jpg")][:4]
    (labels / "train2.txt").write_text("\n".join(line for line in lines if line not in moved))
    (labels / "validate2.txt").write_text("\n".join([*(labels / "validate2.txt").read_text().splitlines(), *moved]))
    assert minc.deviations(small) == [
        "In train of official split 2 there should be 4 photos of each class: brick has 3, carpet has 3, ceramic has 3 "
        "and 1 more.",
        "In val of official split 2 there should be 1 photos of each class: brick has 2, carpet has 2, ceramic has 2 "
        "and 1 more."]


def test_an_unlisted_photo(small):
    """A list that was cut short."""
    labels = small.root / "labels"
    (labels / "train5.txt").write_text((labels / "train5.txt").read_text().replace("images/wood/wood_000001.jpg\n", ""))
    assert minc.deviations(small) == [
        "In train of official split 5 there should be 4 photos of each class: wood has 3.",
        "Official split 5 leaves photos out: images/wood/wood_000001.jpg."]


def test_it_is_known_by_its_class_names(small):
    """A copy with fewer photos, or as class folders, is still MINC-2500; a choice of its classes is not."""
    few = without(small, photos=small.photos[::3], layout="folders", split_numbers=())
    assert minc.is_minc_2500(small)
    assert minc.is_minc_2500(few)
    assert not minc.is_minc_2500(without(small, class_names=tuple(NAMES[:22])))
    assert minc.deviations(few) == [
        "It is not laid out as MINC-2500 is, with images/<class>/ and labels/train1.txt and so on."]
