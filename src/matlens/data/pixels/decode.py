"""Turn the bytes of one photo into RGB pixels: by simplejpeg where it can, by Pillow otherwise.

Both give the same picture: upright (EXIF orientation applied), three channels, eight bits.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import struct
import threading
import warnings
import zlib

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError, _imaging

from matlens.data.pixels.colours import to_rgb
from matlens.data.pixels.jpeg import EXIF_MAGIC, exif_of_jpeg, frame_not_read, orientation_of
from matlens.data.pixels.problems import (
    HEAD,
    Problem,
    UnreadableImageError,
    format_of,
    problem_of,
    says_not_read,
)
from matlens.types import Pixels

MAX_PIXELS, MAX_SIDE = 128_000_000, 65_535
"""Larger photos are refused before they are decoded: cameras reach some 100 million pixels, formats far more."""

MAX_SCANNED = 32 * MAX_PIXELS
"""Most pixels times scans of a JPEG: each scan costs a pass, and a small file may hold thousands."""

BYTES_A_PIXEL = 20
"""What decoding takes at most (WebP; other formats mostly 3 to 10)."""

_ONE_AT_A_TIME = 32_000_000
"""Photos of more pixels are decoded one at a time, so that memory does not grow with the number of threads."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""No photo needs any other of Pillow's formats, and some of them start programs (EPS runs Ghostscript)."""

_JPEG_MAGIC = b"\xff\xd8\xff"
_PLAIN_JPEG = ("YCbCr", "Gray", "RGB")
_MIRRORS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # by orientation, OpenCV's: 0 upside down, 1 left to right, -1 both
DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, AttributeError, KeyError, OverflowError,
           NotImplementedError, MemoryError, ArithmeticError, RuntimeError, struct.error, zlib.error, Warning)
"""What Pillow's plug-ins raise on damaged files, far more than `untrusted.UNREADABLE` holds; warnings are among them if
the user turned them into errors. `problem_of` says which kind of problem one is."""

_SPARE_BYTES = 64_000_000
"""What decoding may take besides."""

_truncated_lock = threading.Lock()
_large_lock = threading.RLock()
_libtiff = threading.local()


def _note_error(place: bytes | None, text: bytes | None, values: int | None) -> None:
    _libtiff.error = tuple((words or b"").decode(errors="replace") for words in (place, text))


_ERROR_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_note_error)

# An error says what is wrong with a file. Pillow would also warn (of a palette with transparency, for instance, which
# does not matter to RGB pixels), log, and let libtiff print. This is set once, since warnings.catch_warnings is not
# thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(OSError, AttributeError):  # a Pillow without libtiff, or with a hidden one
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(_ERROR_HANDLER)


def decode(data: bytes, *, min_size: tuple[int, int] | None = None, keep_truncated: bool = False,
           most_pixels: int | None = None) -> Pixels:
    """Decode a whole photo.

    Args:
        data: the content of a JPEG, PNG, WebP, GIF, TIFF or BMP file. Of several frames or pages the first is taken.
        min_size: (height, width). A far larger JPEG may be decoded at a half, a quarter or an eighth of its size, but
            never below twice this size.
        keep_truncated: accept a photo whose end is missing, the missing part grey or black.
        most_pixels: larger photos are refused before they are decoded; by default, and at most, MAX_PIXELS.

    Returns:
        (H, W, 3) uint8 RGB, upright, transparent pixels over white, greys of more than 8 bits and floating-point ones
        scaled (`colours`). Decoding takes up to BYTES_A_PIXEL of memory a pixel.

    Raises:
        UnreadableImageError: the data is damaged (empty, truncated, not a photo), it is of a format or a size that
            matlens does not read, or there is not enough memory now; `problem.kind` says which.
    """
    most_pixels = MAX_PIXELS if most_pixels is None else min(most_pixels, MAX_PIXELS)
    kind = format_of(data[:HEAD], (data[HEAD:] for _ in range(1)))  # a copy, where it is asked for
    try:
        if kind == "JPEG":
            pixels = _decode_plain_jpeg(data, min_size, most_pixels)
            if pixels is not None:
                return pixels
        return _decode_with_pillow(data, kind, keep_truncated, most_pixels)
    except (MemoryError, cv2.error) as error:  # OpenCV has an error of its own for want of memory
        raise UnreadableImageError(problem_of(MemoryError())) from error


def _decode_plain_jpeg(data: bytes, min_size: tuple[int, int] | None, most_pixels: int) -> Pixels | None:
    """Decode a JPEG by simplejpeg. Returns None where simplejpeg refuses it: Pillow then says what is wrong."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    if colorspace not in _PLAIN_JPEG:
        return None
    _refuse_bomb(data, height, width, most_pixels)
    orientation = orientation_of(exif_of_jpeg(data))
    least = {}
    if min_size is not None:
        rows, columns = min_size if orientation < 5 else min_size[::-1]
        if height >= 4 * rows and width >= 4 * columns:
            least = {"min_height": 2 * rows, "min_width": 2 * columns}
    try:
        with _turn(height * width):
            pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", **least)
    except (ValueError, MemoryError):
        return None
    return _upright(pixels, orientation)


def _decode_with_pillow(data: bytes, kind: str, keep_truncated: bool, most_pixels: int) -> Pixels:
    """Decode by Pillow, and where that fails once more, alone: decoders report want of memory as broken data."""
    exif = b""
    if kind == "JPEG":
        exif = exif_of_jpeg(data)
        data = data.replace(EXIF_MAGIC, b"Gone\x00\x00")  # damaged EXIF data does not make a photo unreadable
    try:
        return _attempt(data, kind, exif, keep_truncated, most_pixels)
    except UnreadableImageError as error:
        if error.problem.kind == "unsupported":
            raise
    with _large_lock:
        if not _has_room(data):
            raise UnreadableImageError(problem_of(MemoryError()))
        return _attempt(data, kind, exif, keep_truncated, most_pixels)


def _attempt(data: bytes, kind: str, exif: bytes, keep_truncated: bool, most_pixels: int) -> Pixels:
    try:
        with Image.open(Metered(data), formats=FORMATS) as image:
            width, height = image.size
            tags = getattr(image, "tag_v2", {})
            # libtiff decodes whole tiles, however little of a tile is in the picture.
            _refuse_bomb(data, max(height, tags.get(323, 0)), max(width, tags.get(322, 0)), most_pixels)
            with _turn(height * width):
                _load(image, keep_truncated)
                return _upright(to_rgb(image, tags, data), orientation_of(exif or image.info.get("exif", b"")))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(_why_unidentified(data, kind)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"too many pixels, at most {most_pixels:,} are read", "unsupported") from error
    except DAMAGE as error:
        raise UnreadableImageError(_problem(error, data, kind)) from error


def _problem(error: BaseException, data: bytes, kind: str) -> Problem:
    """Say what an error of Pillow's means for a file of a format that it reads."""
    not_read = frame_not_read(data) if kind == "JPEG" else None
    if kind == "TIFF" and isinstance(error, KeyError):  # of Pillow's table of compressions
        not_read = f"a TIFF of compression {error}"
    if kind == "TIFF" and isinstance(error.__cause__, KeyError):  # of its table of colours, bits and kinds of numbers
        not_read = "a TIFF whose colours are floating-point or of an uncommon number, or whose numbers have other bits"
    return problem_of(NotImplementedError(not_read) if not_read else error)


def _why_unidentified(data: bytes, kind: str) -> Problem:
    """Return what Pillow's plug-in says of a file whose first bytes are those of its format."""
    try:
        Image.OPEN[kind][0](Metered(data), "")
    except DAMAGE as error:
        return _problem(error, data, kind)
    return Problem("not an image")


def _has_room(data: bytes) -> bool:
    """Return whether there is memory now for decoding a photo of this size."""
    pixels = 0
    with (contextlib.suppress(*DAMAGE, Image.DecompressionBombError),
          Image.open(Metered(data), formats=FORMATS) as image):
        pixels = min(image.width * image.height, MAX_PIXELS)
    try:
        np.empty(BYTES_A_PIXEL * pixels + _SPARE_BYTES, np.uint8)
    except MemoryError:
        return False
    return True


class Metered(io.BytesIO):
    """A file that may be read a few times over and no more: thousands of tags of a TIFF may claim the same megabyte."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = 8 * len(data) + 1_000_000

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as BytesIO does. Raises OSError when more was read than a photo needs."""
        content = super().read(size)
        self._left -= len(content)
        if self._left < 0:
            raise OSError("its parts claim far more bytes than it has")
        return content


def _turn(pixels: int) -> contextlib.AbstractContextManager[object]:
    return _large_lock if pixels > _ONE_AT_A_TIME else contextlib.nullcontext()


def _refuse_bomb(data: bytes, height: int, width: int, most_pixels: int) -> None:
    if height * width > most_pixels or max(height, width) > MAX_SIDE:
        raise UnreadableImageError(f"{width} x {height} pixels are too many, at most {most_pixels:,} and at most "
                                   f"{MAX_SIDE:,} a side are read", "unsupported")
    if data.startswith(_JPEG_MAGIC) and height * width * (scans := data.count(b"\xff\xda")) > MAX_SCANNED:
        raise UnreadableImageError(f"{scans} scans of {width} x {height} pixels are too many", "unsupported")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation: 2 to 4 are mirrored or turned, 5 to 8 the same with rows and columns exchanged."""
    if orientation >= 5:
        pixels = cv2.transpose(pixels)
    mirror = _MIRRORS.get(orientation)
    return pixels if mirror is None else cv2.flip(pixels, mirror)


def _load(image: Image.Image, keep_truncated: bool) -> None:
    if not keep_truncated:
        _libtiff.error = None
        image.load()
        if _libtiff.error is not None:  # libtiff reports some damage and goes on with uninitialised memory
            place, words = _libtiff.error
            if says_not_read(words):
                raise NotImplementedError(f"a TIFF of a kind that libtiff does not decode ({place})")
            raise OSError(f"damaged TIFF ({place})")
        return
    with _truncated_lock:  # Pillow has one switch for the whole process
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to `size` = (height, width), without keeping the aspect ratio, as the guide's pipeline does.

    The interpolation is bilinear with half-pixel centres (TensorFlow's `bilinear`). Where a side shrinks to less than
    half, areas are averaged, since bilinear interpolation then skips pixels.
    """
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    shrinks = height > 2 * size[0] or width > 2 * size[1]
    resized = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)

