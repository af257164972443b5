"""Copies: what was made of a photo is found, whatever the order of the files, and nothing else, in bounded work."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from matlens.data.drawn.synthetic import draw_material
from matlens.data.pixels.decode import decode, resize
from matlens.data.pixels.reader import PhotoReader
from matlens.data.source.sources import open_source
from matlens.data.split.candidates import MOST_CANDIDATES, candidates
from matlens.data.split.duplicates import Copies, find_copies
from matlens.data.split.signatures import oriented, signature_of
from scale import rounds

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def photo(name: str, seed: int, size: int = 96) -> np.ndarray:
    return draw_material(name, size, np.random.default_rng(seed))


def encoded(pixels: np.ndarray, quality: int = 90) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return decode(file.getvalue())


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(side * factor) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def cut(pixels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A part of `share` of each side, anywhere."""
    sides = [round(side * share) for side in pixels.shape[:2]]
    top, left = (rng.integers(0, whole - side + 1) for whole, side in zip(pixels.shape[:2], sides, strict=True))
    return encoded(pixels[top:top + sides[0], left:left + sides[1]])


CHANGES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "quality 40": (lambda pixels, rng: encoded(pixels, 40), ()),
    "half the size": (lambda pixels, rng: encoded(resized(pixels, 0.5)), ()),
    "1.5 times the size": (lambda pixels, rng: resized(pixels, 1.5), ()),
    "a fifth brighter": (lambda pixels, rng: encoded(np.clip(pixels * 1.2, 0, 255).astype(np.uint8)), ()),
    "cut to 95 %": (lambda pixels, rng: cut(pixels, 0.95, rng), ("cut",)),
    "mirrored": (lambda pixels, rng: encoded(np.ascontiguousarray(pixels[:, ::-1])), ("mirrored",)),
    "a quarter turn": (lambda pixels, rng: encoded(np.ascontiguousarray(np.rot90(pixels))), ("turned",)),
    "upside down": (lambda pixels, rng: encoded(np.ascontiguousarray(pixels[::-1, ::-1])), ("turned",)),
    "a quarter turn of the mirrored": (lambda pixels, rng: np.ascontiguousarray(np.rot90(pixels[::-1])),
                                       ("mirrored",)),
}


def found(photos: list[np.ndarray]) -> list[Copies]:
    return find_copies([signature_of(pixels) for pixels in photos], lambda index: photos[index])


def groups_of(photos: list[np.ndarray]) -> list[tuple[int, ...]]:
    return [copies.indices for copies in found(photos)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_and_its_change_told(name):
    """Each of these leaves the photo the same: in two parts it makes the test score too good."""
    change, told = CHANGES[name]
    photos = [photo("wood", 1), photo("brick", 2), photo("wood", 3)]
    assert found([*photos, change(photos[1], np.random.default_rng(0))]) == [Copies((1, 3), told)]


@pytest.mark.parametrize("orientation", range(8))
def test_a_signature_is_found_in_each_orientation(orientation):
    """The transform's coefficients change places and signs as the photo is turned, and the pair says how."""
    pixels = [photo("brick", 2), oriented(photo("brick", 2), orientation)]
    pair = candidates([signature_of(one) for one in pixels])
    assert pair.pairs.tolist() == [[0, 1]]
    np.testing.assert_array_equal(oriented(pixels[1], int(pair.orientation[0])), pixels[0])


def test_drawn_photos_of_one_material_are_different():
    """They share colours and texture, and nothing else."""
    assert groups_of([photo("sky", seed, 48) for seed in range(12)]) == []


def test_neither_colour_nor_detail_may_differ():
    """A green lid is not the golden one, and two even walls prove nothing."""
    red = photo("brick", 1)
    even = np.full((96, 96, 3), 200, dtype=np.uint8)
    assert groups_of([red, red[..., ::-1].copy(), even, even.copy()]) == []


def grains(seed: int) -> np.ndarray:
    """A texture of one class: nothing but grain, of one size and strength, in each photo another."""
    grey = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (96, 96)), (0, 0), 1.5)
    return np.clip(120 + grey[..., None] * (25 / grey.std()) * (1, 0.95, 0.9), 0, 255).astype(np.uint8)


def test_textures_of_one_class_are_different():
    """A class of sandpaper is 2,000 photos that look alike, and none is the copy of another."""
    assert groups_of([grains(seed) for seed in range(rounds(200, 2_000))]) == []


def texture(seed: int, strength: float, size: int = 256, grain: float = 3) -> np.ndarray:
    grey = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (size, size)), (0, 0), grain)
    grey = 128 + strength * grey / grey.std()
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def written(pixels: np.ndarray, text: str, place: tuple[int, int], size: float, grey: int = 255) -> np.ndarray:
    cv2.putText(pixels, text, place, 0, size, (grey,) * 3, 1)
    return pixels


def with_banner(seed: int, strength: float) -> np.ndarray:
    """A micrograph: white letters on a black banner below the surface."""
    pixels = texture(seed, strength)
    pixels[-36:] = 0
    return written(pixels, "15.0kV x500 SE 50um", (6, 248), 0.6)


OVERLAID: dict[str, Callable[[int], np.ndarray]] = {
    **{f"a banner on grain of {strength}": lambda seed, strength=strength: with_banner(seed, strength)
       for strength in (2, 4, 8)},
    "a scale bar": lambda seed: written(texture(seed, 2), "500 um", (30, 205), 0.9),
    "a time": lambda seed: written(texture(seed, 2, 128, 1), "CAM 1 2024-05-17", (14, 110), 0.33),
    "a label": lambda seed: written(np.full((128, 128, 3), 240, np.uint8), f"SAMPLE 00{seed - 2}", (5, 70), 0.6, 20),
}


@pytest.mark.parametrize("name", OVERLAID)
def test_what_is_written_on_all_photos_makes_no_copies_of_them(name):
    """A microscope writes one banner on each: all photos of three classes were one group, and the audit took them out.

    Their copies are found all the same.
    """
    photos = [OVERLAID[name](seed) for seed in range(3, 9)]
    assert groups_of(photos) == []
    assert groups_of([*photos, encoded(photos[4], 60)]) == [(4, 6)]


def fixed_camera(n: int) -> Iterator[np.ndarray]:
    """One scene, one light, and another grain in each photo."""
    rows, columns = np.mgrid[:96, :96] / 96
    light = 110 + 25 * np.cos(5 * columns + 2 * rows) + 20 * np.cos(7 * rows - 3 * columns)
    light += cv2.resize(np.random.default_rng(7).normal(0, 45, (8, 8)), (96, 96), interpolation=cv2.INTER_CUBIC)
    for seed in range(n):
        grain = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (96, 96)), (0, 0), 1.2)
        yield np.clip((light + 12 / grain.std() * grain)[..., None] * (1, 0.95, 0.9), 0, 255).astype(np.uint8)


def test_photos_of_a_fixed_camera_cost_a_few_comparisons_each_and_their_copies_are_found():
    """All pairs of 2,000 would be two million, an hour; progress goes from the start to the end."""
    n = rounds(40, 2_000)
    photos = list(fixed_camera(n))
    photos[5], photos[7] = encoded(photos[6], 40), np.ascontiguousarray(photos[8][:, ::-1])
    reads: Counter[int] = Counter()
    told: list[tuple[int, int]] = []

    def read(index: int) -> np.ndarray:
        reads[index] += 1
        return photos[index]

    groups = find_copies([signature_of(pixels) for pixels in photos], read, lambda *counts: told.append(counts))
    assert groups == [Copies((5, 6)), Copies((7, 8), ("mirrored",))]
    assert sum(reads.values()) <= 2 * 2 * MOST_CANDIDATES * n
    assert told[-1] == (n, n) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_many_copies_of_a_photo_are_one_group():
    """Four encodings, and six files of each that differ in their metadata: the four likest of each are the same."""
    photos = [photo(name, seed) for seed in range(rounds(1, 30)) for name in ("wood", "brick", "stone")]
    copies = [encoded(pixels, quality) for pixels in photos for quality in (40, 60, 80, 95) * 6]
    assert groups_of(copies) == [tuple(range(24 * number, 24 * number + 24)) for number in range(len(photos))]


def test_candidates_grow_with_the_photos_and_not_with_their_pairs():
    """Thousands of tiny pictures that are nearly all alike: a few candidates each."""
    rng = np.random.default_rng(0)
    tiny = [resize(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8), (16, 16)) for _ in range(rounds(300, 20_000))]
    assert len(candidates([signature_of(pixels) for pixels in tiny]).pairs) <= 2 * MOST_CANDIDATES * len(tiny)


def test_groups_do_not_depend_on_the_order_and_a_photo_that_is_gone_is_in_none():
    """Two file systems list the same folder in two orders."""
    photos = [photo(name, seed) for seed, name in enumerate(("wood", "brick", "stone"))]
    photos += [encoded(pixels, quality) for pixels in photos for quality in (50, 70)]
    expected = {frozenset((0, 3, 4)), frozenset((1, 5, 6)), frozenset((2, 7, 8))}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(photos))
        groups = groups_of([photos[index] for index in order])
        assert {frozenset(int(order[index]) for index in group) for group in groups} == expected
    same = [signature_of(photos[0])] * 2
    assert find_copies(same, lambda index: None) == []
    assert find_copies([], lambda index: None) == find_copies(same[:1], lambda index: photos[0]) == []


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["trashnet-2527", "kth-tips2a-part/photos"])
def test_copies_of_real_photos_are_found(dataset: str, shared: Path):
    """40 copies of each kind among objects on paper, and among cloths and breads that fill the photo: 36 at least."""
    source = open_source(shared / "data" / dataset)
    reader = PhotoReader((256, 256))
    photos = [reader.read(source.root / listed.path) for listed in source.photos[::2]]
    rng = np.random.default_rng(5)
    alone = found(photos)
    for name in ("quality 40", "half the size", "a fifth brighter", "cut to 95 %", "mirrored", "a quarter turn"):
        originals = rng.choice(len(photos), 40, replace=False).tolist()
        copies = [resize(CHANGES[name][0](PhotoReader().read(source.root / source.photos[2 * index].path), rng),
                         (256, 256)) for index in originals]
        groups = found([*photos, *copies])
        pairs = {(index, len(photos) + number) for number, index in enumerate(originals)}
        hits = sum(any(index in group.indices and copy in group.indices for group in groups) for index, copy in pairs)
        assert hits >= 36, name
        of_copies = {index for pair in pairs for index in pair}
        assert {group.indices for group in groups if not of_copies & set(group.indices)} <= {
            group.indices for group in alone}
