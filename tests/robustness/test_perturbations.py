"""Each perturbation on pixels known by hand, and what all of them have in common."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from matlens.robustness.registry import PERTURBATIONS, Perturbation, register

FILL = (124, 117, 104)
DIGEST = "0123456789abcdef" * 4


def under(name: str, strength: float, photo: np.ndarray) -> np.ndarray:
    return PERTURBATIONS[name].function(photo, strength, np.random.default_rng(1))


def plain(red: int, green: int, blue: int, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), (red, green, blue), np.uint8)


def noise(side: int = 56) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Not square, smooth and colourful, with an edge."""
    y, x = np.mgrid[:240, :336]
    made = np.stack([3 * x, 4 * y, 255 - 2 * x - y], axis=-1) % 256
    made[80:120, 120:240] = (200, 40, 90)
    return made.astype(np.uint8)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_perturbation_has_five_strengths_that_grow(name, photo):
    """The curve is drawn from left to right, and the photo itself must stay as it is."""
    each, before = PERTURBATIONS[name], photo.copy()
    assert len(each.strengths) == 5
    assert list(each.strengths) in (sorted(each.strengths), sorted(each.strengths, reverse=True))
    made = [PERTURBATIONS[name].applied(photo, strength, DIGEST) for strength in each.strengths]
    np.testing.assert_array_equal(photo, before)
    for one in made:
        assert (one.shape, one.dtype) == (photo.shape, np.uint8)
    off = [float(np.abs(one.astype(float) - photo).mean()) for one in made]
    assert min(off) > 0
    if name not in ("rotation", "patch_shuffle"):  # which go elsewhere, not further
        assert off == sorted(off)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_chance_follows_from_the_photo_and_the_perturbation(name, photo):
    """Every model must meet the same noise; another photo other noise."""
    strength = PERTURBATIONS[name].strengths[2]
    once = PERTURBATIONS[name].applied(photo, strength, DIGEST)
    np.testing.assert_array_equal(once, PERTURBATIONS[name].applied(photo, strength, DIGEST))
    if name in ("noise", "patch_shuffle"):
        assert (PERTURBATIONS[name].applied(photo, strength, "f" + DIGEST[1:]) != once).any()


@pytest.mark.parametrize("wrong", [
    lambda: Perturbation("fog", "", "", (1,), lambda photo, strength, rng: photo),
    lambda: Perturbation("fog", "Fog", "", (), lambda photo, strength, rng: photo),
    lambda: register(Perturbation("blur", "fog", "", (1,), lambda photo, strength, rng: photo))],
    ids=["no title", "no strengths", "a name that is taken"])
def test_an_incomplete_or_doubled_declaration_is_named(wrong):
    """When its file is imported, not in the middle of a measurement."""
    with pytest.raises(ValueError, match=r"'(fog|blur)'"):
        wrong()


@pytest.mark.parametrize(("stops", "byte"), [(-1, 92), (1, 176), (3, 255), (0, 128)])
def test_exposure_doubles_light_not_bytes(stops, byte):
    """sRGB 128 is 21.586 % of the light; half and twice of it are 92 and 176 (IEC 61966-2-1). Black stays black."""
    assert np.unique(under("darker", stops, plain(128, 128, 128))).tolist() == [byte]
    assert under("brighter", stops, plain(0, 0, 0)).max() == 0


def test_white_balance_moves_red_and_blue_against_each_other():
    """A stop: red as bright as twice the light, blue as half, green as it was."""
    assert under("warmer", 1, plain(128, 128, 128))[0, 0].tolist() == [176, 128, 92]
    assert under("colder", -1, plain(128, 128, 128))[0, 0].tolist() == [92, 128, 176]


def test_blur_spreads_a_point_as_a_gaussian_and_scales_with_the_photo():
    """In the middle of a white dot's blur lies 1 / (2 pi sigma^2) of it; 2 px at 224 px are 1 at 112."""
    dot = np.zeros((112, 112, 3), np.uint8)
    dot[56, 56] = 255
    assert under("blur", 2, dot)[56, 56, 0] == pytest.approx(255 / (2 * np.pi), abs=1.5)
    assert np.unique(under("blur", 5, plain(7, 8, 9)).reshape(-1, 3), axis=0).tolist() == [[7, 8, 9]]


@pytest.mark.parametrize("quality", [70, 5])
def test_jpeg_is_what_pillow_makes_of_it(quality):
    """Another encoder around libjpeg, at the same quality and colour resolution."""
    smooth = np.asarray(Image.fromarray(noise(8)).resize((64, 64), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    Image.fromarray(smooth).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    off = under("jpeg", quality, smooth).astype(float) - np.asarray(Image.open(file))
    assert np.abs(off).mean() < 1.5


def test_resolution_averages_areas():
    """Four times less: a block of 4 x 4 becomes its mean; in the middle of blocks of one colour that is the colour."""
    blocks = np.kron(np.arange(0, 160, 10, dtype=np.uint8).reshape(4, 4), np.ones((4, 4), np.uint8))
    found = under("resolution", 4, np.repeat(blocks[..., None], 3, axis=2))
    middle = found[1::4, 1::4, 0].astype(float) + found[2::4, 2::4, 0]
    np.testing.assert_allclose(middle[1:3, 1:3] / 2, blocks[::4, ::4][1:3, 1:3], atol=1)
    checks = plain(0, 0, 0, 32)
    checks[::2, ::2] = checks[1::2, 1::2] = 200
    assert np.unique(under("resolution", 2, checks)).tolist() == [100]


def test_noise_has_its_deviation():
    """A tenth of the range, 25.5 grey levels, on a middle grey that clips nothing."""
    found = under("noise", 0.1, plain(128, 128, 128, 128)).astype(float) - 128
    assert found.std() == pytest.approx(25.5, rel=0.02)
    assert abs(found.mean()) < 0.5


def test_a_quarter_turn_moves_every_pixel_to_its_place():
    """One way or the other, by the photo."""
    square = noise(16)
    ways = {PERTURBATIONS["rotation"].applied(square, 90, f"{index:016x}" + 48 * "0").tobytes() for index in range(20)}
    assert ways == {np.rot90(square, turns).tobytes() for turns in (1, -1)}


def test_rotation_brings_no_black_corners():
    """A corner of one colour would tell the network what was done."""
    assert np.unique(under("rotation", 45, plain(90, 90, 90))).tolist() == [90]


def test_shuffled_patches_are_all_there_and_what_does_not_divide_stays():
    """17 px in three parts: patches of 5, and two rows and columns that stay where they are."""
    photo = noise(17)
    found = under("patch_shuffle", 3, photo)
    np.testing.assert_array_equal(found[15:], photo[15:])
    np.testing.assert_array_equal(found[:, 15:], photo[:, 15:])

    def patches(of: np.ndarray) -> list[bytes]:
        return [of[top:top + 5, left:left + 5].tobytes() for top in (0, 5, 10) for left in (0, 5, 10)]

    assert sorted(patches(found)) == sorted(patches(photo))
    assert not any(new == old for new, old in zip(patches(found), patches(photo), strict=True))


def test_centre_and_surround_are_each_others_rest():
    """A quarter of the area of 20 x 40 is 10 x 20 in the middle."""
    photo = np.random.default_rng(3).integers(130, 256, (20, 40, 3), dtype=np.uint8)  # nowhere the fill colour
    middle = np.zeros((20, 40), bool)
    middle[5:15, 10:30] = True
    for name, kept in (("centre_only", middle), ("surround_only", ~middle)):
        found = under(name, 0.25, photo)
        np.testing.assert_array_equal(found[kept], photo[kept])
        np.testing.assert_array_equal(found[~kept], np.broadcast_to(FILL, ((~kept).sum(), 3)))


def test_grey_is_luma():
    """BT.601: pure red is 0.299 of white, 76; half way there it is (166, 38, 38)."""
    assert under("greyscale", 1, plain(255, 0, 0))[0, 0].tolist() == [76, 76, 76]
    np.testing.assert_allclose(under("greyscale", 0.5, plain(255, 0, 0))[0, 0], [165.5, 38, 38], atol=0.5)
