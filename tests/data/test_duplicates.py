"""Near-duplicates: what looks the same is found, whatever the order of the files, and nothing else."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from matlens.data.drawn.synthetic import draw_material
from matlens.data.pixels.decode import decode
from matlens.data.split.duplicates import near_duplicates, perceptual_hash


def photo(name: str, seed: int, size: int = 96) -> np.ndarray:
    return draw_material(name, size, np.random.default_rng(seed))


def encoded(pixels: np.ndarray, quality: int = 90) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return decode(file.getvalue())


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    side = round(len(pixels) * factor)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def groups_of(photos: list[np.ndarray]) -> list[tuple[int, ...]]:
    return near_duplicates([perceptual_hash(pixels) for pixels in photos], lambda index: photos[index])


def test_the_hash_is_imagehashs():
    """Who keeps hashes of photos by imagehash can compare them with ours; at 32 px nothing is resized before."""
    pixels = photo("brick", 1, 32)
    grey = pixels[..., :1].repeat(3, axis=2)
    assert perceptual_hash(grey) == int(str(imagehash.phash(Image.fromarray(grey[..., 0]))), 16)


@pytest.mark.parametrize("change", [
    pytest.param(lambda pixels: encoded(pixels, 30), id="quality 30"),
    pytest.param(lambda pixels: encoded(pixels, 95), id="quality 95"),
    pytest.param(lambda pixels: resized(pixels, 0.5), id="half the size"),
    pytest.param(lambda pixels: resized(pixels, 1.5), id="1.5 times the size"),
    pytest.param(lambda pixels: np.clip(pixels * 1.1, 0, 255).astype(np.uint8), id="a tenth brighter"),
    pytest.param(lambda pixels: encoded(pixels[1:-1, 1:-1]), id="2 % cut off"),
])
def test_a_changed_copy_is_found(change):
    """Each of these leaves the bytes different and the photo the same."""
    photos = [photo("wood", 1), photo("brick", 2), photo("wood", 3)]
    assert groups_of([*photos, change(photos[1])]) == [(1, 3)]


def test_drawn_photos_of_one_material_are_different():
    """They share colours and texture, and nothing else."""
    assert groups_of([photo("sky", seed, 48) for seed in range(12)]) == []


def test_neither_colour_nor_detail_may_differ():
    """A green lid is not the golden one, and two even walls prove nothing."""
    red = photo("brick", 1)
    even = np.full((96, 96, 3), 200, dtype=np.uint8)
    assert groups_of([red, red[..., ::-1].copy(), even, even.copy()]) == []


def test_candidates_differ_in_ten_bits_at_most_and_others_are_never_read():
    """Reading is what takes time: with equal pixels the hash alone decides."""
    pixels, asked = photo("brick", 1), set()

    def read(index: int) -> np.ndarray:
        asked.add(index)
        return pixels

    start = 0xF0F0_1234_8765_ABCD
    hashes = np.array([start, start ^ 0x3FF, start ^ (0xFFF << 40), 0], dtype=np.uint64)
    assert near_duplicates(hashes, read) == [(0, 1)]
    assert asked == {0, 1}


def test_groups_do_not_depend_on_the_order_and_a_photo_that_is_gone_is_in_none():
    """Two file systems list the same folder in two orders."""
    photos = [photo(name, seed) for seed, name in enumerate(("wood", "brick", "stone"))]
    photos += [encoded(pixels, quality) for pixels in photos for quality in (50, 70)]
    expected = {frozenset((0, 3, 4)), frozenset((1, 5, 6)), frozenset((2, 7, 8))}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(photos))
        found = groups_of([photos[index] for index in order])
        assert {frozenset(int(order[index]) for index in group) for group in found} == expected
    assert near_duplicates([7, 7], lambda index: None) == []
    assert near_duplicates([], lambda index: None) == []
