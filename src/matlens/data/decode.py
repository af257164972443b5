"""Turn the bytes of one photo into RGB pixels: simplejpeg where it can, Pillow for all the rest.

Both ways give the same picture: upright (EXIF orientation applied), three channels, eight bits.
"""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""Larger photos are refused before they are decoded: Pillow's own limit against decompression bombs."""

_JPEG_MAGIC = b"\xff\xd8\xff"
_PLAIN_JPEG = ("YCbCr", "Gray", "RGB")
_truncated_lock = threading.Lock()


class UnreadableImageError(ValueError):
    """The bytes are no photo, or not a whole one; the message says what is wrong."""


def decode(data: bytes, *, min_size: tuple[int, int] | None = None, keep_truncated: bool = False) -> Pixels:
    """Decode a whole photo.

    Args:
        data: the file's content, in any format that Pillow reads; of an animation, the first frame.
        min_size: (height, width); a far larger JPEG may be decoded at a half, a quarter or an eighth of
            its size, never below twice this one.
        keep_truncated: take a photo whose end is missing, the missing part grey or black.

    Returns:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        UnreadableImageError: empty, not a photo, truncated, damaged, or larger than MAX_PIXELS.
    """
    if not data:
        raise UnreadableImageError("empty file")
    if data.startswith(_JPEG_MAGIC) and b"Exif\x00\x00" not in data[:65_536]:
        pixels = _decode_plain_jpeg(data, min_size)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(data, keep_truncated)


def _decode_plain_jpeg(data: bytes, min_size: tuple[int, int] | None) -> Pixels | None:
    """(H, W, 3) uint8, or None where simplejpeg refuses: Pillow then says what is wrong."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        if colorspace not in _PLAIN_JPEG or height * width > MAX_PIXELS:
            return None
        smallest = {}
        if min_size is not None and height >= 4 * min_size[0] and width >= 4 * min_size[1]:
            smallest = {"min_height": 2 * min_size[0], "min_width": 2 * min_size[1]}
        pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", **smallest)
        return pixels
    except ValueError:
        return None


def _decode_with_pillow(data: bytes, keep_truncated: bool) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a palette with transparency: harmless to RGB pixels
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImageError(f"{image.width} x {image.height} pixels are too many")
                _load(image, keep_truncated)
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, AttributeError, KeyError,
            OverflowError, NotImplementedError, MemoryError, ArithmeticError, RuntimeError,
            Image.DecompressionBombError) as error:  # Pillow's plugins raise all of these on damaged files
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _load(image: Image.Image, keep_truncated: bool) -> None:
    if not keep_truncated:
        image.load()
        return
    with _truncated_lock:  # Pillow has one switch for the whole process
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled_grey(np.asarray(image, dtype=np.float64), image.mode)
    return np.asarray(image.convert("RGB"))


def _scaled_grey(values: npt.NDArray[np.float64], mode: str) -> Pixels:
    """16-bit and float greys as eight bits; Pillow's own conversion would clip them at 255."""
    peak = float(values.max(initial=0.0))
    top = 65_535.0 if mode != "F" and peak > 255 else 255.0 if peak > 1 or mode != "F" else 1.0
    grey = np.clip(np.nan_to_num(values) / top * 255.0, 0, 255).round().astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to `size` = (height, width), the aspect ratio given up as the guide's pipeline does.

    Bilinear with half-pixel centres (TensorFlow's `bilinear`); areas are averaged where a side shrinks to
    less than half, since bilinear then skips pixels.
    """
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    shrinks = height > 2 * size[0] or width > 2 * size[1]
    resized = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def read_photo(path: Path, size: tuple[int, int] | None = None, *, keep_truncated: bool = False) -> Pixels:
    """Read one photo from disk, resized to `size` = (height, width) if given.

    Returns (H, W, 3) uint8 RGB. Raises UnreadableImageError, also where the file itself cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    pixels = decode(data, min_size=size, keep_truncated=keep_truncated)
    return pixels if size is None else resize(pixels, size)
