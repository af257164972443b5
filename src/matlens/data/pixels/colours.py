"""Turn what Pillow decoded into RGB of eight bits: transparency, deep and floating-point greys, other colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from matlens.data.pixels.problems import UnreadableImageError, problem_of
from matlens.types import Pixels

BACKGROUND = (255, 255, 255)
"""What lies behind transparent pixels, as in a browser: their own colours are whatever a program left there."""

_CONVERTED = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"})
"""Pillow's modes that it converts to RGB right."""

_WHITE = {"float": (1, 255, 65_535), "uint32": (255, 65_535, 2**32 - 1), "int32": (255, 65_535, 2**31 - 1),
          "int16": (255, 32_767), "uint16": (65_535,)}
"""The values that may stand for white, by type: it is the first that no value exceeds."""

_LEAST_SHARE = 16
"""A photo whose brightest value is a smaller share of white than one in so many may have been meant otherwise."""

_DEEP_COLOURS = frozenset({"RGB", "RGBA", "RGBa", "RGBX", "LA", "La"})
"""Modes whose values of 16 bits Pillow cuts down to their upper eight."""

_ONE_COLOUR = frozenset({"1", "L", "RGB", "I", "I;16", "I;16B"})
"""Modes of a PNG in which one colour may stand for transparency."""

_FORMAT_TAG, _INVERTED_TAG, _BITS_TAG = 339, 262, 258  # SampleFormat, PhotometricInterpretation, BitsPerSample
_SIGNED = 2
_PNG_DEPTH = 24  # the byte of a PNG that states its bits


def to_rgb(image: Image.Image, tags: Mapping[int, Any], data: bytes) -> Pixels:
    """Return the pixels of a picture that is loaded, (H, W, 3) uint8.

    Args:
        tags: of a TIFF.
        data: the file.

    Raises:
        UnreadableImageError: its colours are of a kind that matlens does not read, or its values cannot be scaled.
    """
    depth = data[_PNG_DEPTH] if image.format == "PNG" else max(tags.get(_BITS_TAG, (8,)))
    invisible = _of_the_invisible_colour(image, depth, data)
    pixels = _opaque(image, tags, depth)
    return pixels if invisible is None else np.where(invisible[:, :, None], np.array(BACKGROUND, np.uint8), pixels)


def _opaque(image: Image.Image, tags: Mapping[int, Any], depth: int) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled_grey(image, tags)
    if image.mode not in _CONVERTED:
        raise UnreadableImageError(problem_of(NotImplementedError(f"colours in {image.mode}")))
    if depth == 16 and image.mode in _DEEP_COLOURS:
        _refuse_nearly_black(image)
    if image.has_transparency_data and not _is_opaque(image):
        return _over_background(image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _of_the_invisible_colour(image: Image.Image, depth: int, data: bytes) -> npt.NDArray[np.bool_] | None:
    """Return where (H, W) a PNG has the one colour that stands for transparency; None if it names none.

    The file names it in its own number of bits, and Pillow compares it with the eight that it made of them.
    """
    if image.format != "PNG" or image.mode not in _ONE_COLOUR or "transparency" not in image.info:
        return None
    colour = image.info.pop("transparency")
    if image.mode == "RGB":
        values = _sixteen_bits_of(data) if depth == 16 else np.asarray(image)
        return np.asarray((values == colour).all(axis=2))
    values = np.asarray(image)
    return np.asarray((values // (255 // (2**depth - 1)) if depth in (2, 4) else values) == colour)


def _sixteen_bits_of(data: bytes) -> npt.NDArray[np.generic]:
    """Decode a PNG of 16 bits by OpenCV, (H, W, 3): Pillow drops the lower eight."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
                          | cv2.IMREAD_IGNORE_ORIENTATION)
    if values is None:
        raise UnreadableImageError(problem_of(NotImplementedError("a PNG of 16 bits in which one colour is invisible")))
    return np.asarray(values[:, :, ::-1])


def _refuse_nearly_black(image: Image.Image) -> None:
    """Refuse colours of 16 bits of which no more than a sixteenth is used: those of 12 bits, or of eight."""
    colours = 1 if image.mode.startswith("L") else 3  # what follows them is no colour
    if int(np.asarray(image)[:, :, :colours].max(initial=0)) * _LEAST_SHARE < 256:
        raise UnreadableImageError("colours of 16 bits, all of them below a sixteenth of white, of which matlens "
                                   "cannot tell which is white: save it with 8 bits", "unsupported")


def _is_opaque(image: Image.Image) -> bool:
    """Return whether no pixel is transparent; or all are in a BMP, where programs leave the fourth byte at 0."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        return False
    low, high = image.getchannel("A" if image.mode.isupper() else "a").getextrema()
    return low == 255 or (image.format == "BMP" and high == 0)


def _over_background(image: Image.Image) -> Pixels:
    canvas = Image.new("RGB", image.size, BACKGROUND)
    canvas.paste(image, mask=image)
    return np.asarray(canvas)


def _scaled_grey(image: Image.Image, tags: Mapping[int, Any]) -> Pixels:
    """Scale greys of 16 and 32 bits and floating-point ones to eight bits; Pillow's own conversion would clip them.

    A NaN is black, and so is minus infinity; infinity is white.
    """
    values = np.asarray(image)
    sample = _sample_of(image, tags)
    if sample == "uint32":
        values = values.view(np.uint32)
    white = _white_of(values, sample)
    grey = np.empty(values.shape, dtype=np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        for row, line in enumerate(values):  # line by line: as floats the photo would be four to eight times as large
            grey[row] = np.clip(np.nan_to_num(line.astype(np.float64)) / white * 255.0, 0, 255).round()
    if tags.get(_INVERTED_TAG) == 0:  # the TIFF says that 0 is white; Pillow inverts eight bits alone
        grey = 255 - grey
    return np.repeat(grey[:, :, None], 3, axis=2)


def _sample_of(image: Image.Image, tags: Mapping[int, Any]) -> str:
    """Name the type of a grey photo's values: float, uint16, int16, uint32 or int32."""
    if image.mode == "F":
        return "float"
    if image.mode.startswith("I;16"):
        return "uint16"
    kind = "int" if not tags or tags.get(_FORMAT_TAG, (1,))[0] == _SIGNED else "uint"
    return f"{kind}{tags.get(_BITS_TAG, (32,))[0]}"


def _white_of(values: npt.NDArray[np.generic], sample: str) -> float:
    """Return the value that stands for white, the first of `_WHITE` that is not exceeded.

    Raises:
        UnreadableImageError: the values are negative, or so far from each of these that it cannot be told.
    """
    finite = np.isfinite(values)
    low, high = float(np.min(values, initial=0, where=finite)), float(np.max(values, initial=0, where=finite))
    scales = _WHITE.get(sample, _WHITE["int32"])
    white = next((scale for scale in scales if high <= scale), None)
    if low < 0 or white is None or (white > min(scales[0], 255) and 0 < high * _LEAST_SHARE < white):
        raise UnreadableImageError(
            f"{sample} values from {low:g} to {high:g}, of which matlens cannot tell which is white (it reads 0 to "
            f"{', 0 to '.join(f'{scale:,}' for scale in scales)}): save it with 8 bits", "unsupported")
    return float(white)
