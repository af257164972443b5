"""Reading single photos: every format the same way, every broken one named."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from matlens.data import decode as module
from matlens.data.decode import UnreadableImageError, decode, resize


def encoded(image: Image.Image, fmt: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


@pytest.fixture
def picture() -> Image.Image:
    """A smooth 40 x 30 gradient, red to the right, green downwards."""
    y, x = np.mgrid[0:30, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 8, 0 * x + 90], -1).astype(np.uint8))


def test_jpeg_is_what_pillow_decodes(picture):
    """Two decoders must not make two datasets."""
    data = encoded(picture, "JPEG", quality=90)
    by_pillow = np.asarray(Image.open(io.BytesIO(data)), dtype=int)
    assert np.abs(decode(data).astype(int) - by_pillow).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(picture, orientation):
    """A phone's photo must not be learnt lying on its side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(picture, "JPEG", exif=exif.tobytes(), quality=95)).astype(int)
    upright = np.asarray(picture, dtype=int)
    expected = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
                5: upright.transpose(1, 0, 2), 6: np.rot90(upright, -1), 7: np.rot90(upright, 2).transpose(1, 0, 2),
                8: np.rot90(upright, 1)}[orientation]
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 4


@pytest.mark.parametrize(("mode", "fmt"), [
    ("P", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"),
    ("L", "JPEG"), ("P", "GIF"), ("RGB", "WEBP"), ("RGB", "BMP")])
def test_every_mode_becomes_rgb(picture, mode, fmt):
    """Photos come as they come; a network takes three channels."""
    pixels = decode(encoded(picture.convert(mode), fmt))
    assert pixels.shape == (30, 40, 3)
    assert pixels.dtype == np.uint8
    allowed = {"RGB": 12, "RGBA": 1, "CMYK": 12, "P": 40}.get(mode)  # a palette is coarse
    if allowed is not None:
        assert np.abs(pixels.astype(int) - np.asarray(picture, int)).mean() < allowed


def test_sixteen_bit_greys_are_scaled_not_clipped():
    """Pillow's own conversion would turn a microscope's photo white."""
    grey = Image.fromarray(np.array([[0, 257 * 100, 65_535]], dtype=np.uint16))
    assert decode(encoded(grey, "PNG"))[0, :, 0].tolist() == [0, 100, 255]


def test_the_first_frame_of_an_animation_is_read(picture):
    """An animated GIF in a class folder is a photo like any other."""
    data = encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(180)])
    assert np.abs(decode(data).astype(int) - np.asarray(picture, int)).mean() < 12


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_truncated_files_are_refused(picture, fmt):
    """Half a photo must not slip into training."""
    data = encoded(picture.resize((200, 150)), fmt)
    with pytest.raises(UnreadableImageError):
        decode(data[: len(data) // 2])


def test_truncated_jpeg_is_kept_on_request(picture):
    """The guide's LOAD_TRUNCATED_IMAGES."""
    data = encoded(picture.resize((200, 150)), "JPEG")
    assert decode(data[: len(data) // 2], keep_truncated=True).shape == (150, 200, 3)


@pytest.mark.parametrize(("data", "message"), [(b"", "empty"), (b"not a photo", "not an image"),
                                               (b"\xff\xd8\xff\xe0 text", "")])
def test_what_is_no_photo_is_refused(data, message):
    """Zero bytes and text under a photo's name."""
    with pytest.raises(UnreadableImageError, match=message):
        decode(data)


def test_too_many_pixels_are_refused_before_decoding(picture, monkeypatch):
    """A decompression bomb must not eat the memory."""
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    for fmt in ("JPEG", "PNG"):
        with pytest.raises(UnreadableImageError, match="too many"):
            decode(encoded(picture, fmt))


def test_resize_is_bilinear_with_half_pixel_centres():
    """TensorFlow's definition, by hand: 4 values to 3 are read at places 0.167, 1.5 and 2.833."""
    row = np.array([0, 60, 120, 180], np.uint8)
    pixels = np.repeat(np.tile(row, (4, 1))[:, :, None], 3, 2)
    assert resize(pixels, (4, 3))[0, :, 0].tolist() == [10, 90, 170]


def test_a_strong_reduction_averages():
    """Plain bilinear would skip pixels: a fine checkerboard is grey from afar, not black or white."""
    board = (np.indices((80, 80)).sum(0) % 2 * 255).astype(np.uint8)
    small = resize(np.repeat(board[:, :, None], 3, 2), (10, 10))
    assert np.abs(small.astype(int) - 127.5).max() <= 1
