"""Collect the facts of photos without keeping their pixels: content hash, format, size, and how they look."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import math
import os
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from matlens.data.pixels.decode import DAMAGE, FORMATS, Metered, decode, resize
from matlens.data.pixels.files import content_of, digest_of, opened
from matlens.data.pixels.problems import HEAD, Problem, UnreadableImageError, other_format, problem_of
from matlens.data.source.minc import FILL_COLOUR
from matlens.data.source.sources import Listed
from matlens.data.split.signatures import signature_of
from matlens.types import Array, Floats, Pixels, Progress, unheard

_SIDE = 256
_UNREAD_PHOTOS = ("AVIF", "HEIC", "JPEG 2000", "JPEG XL")
_FLAT = 4  # grey levels on each channel by which JPEG changes one colour
_FILLED = 8  # the same beside a sharp edge
_BAND = 0.97  # share of a line's pixels
_BURNT = 250  # grey level
_SHARE = 32  # photos that a worker takes at a time
_MANY = 1000  # photos from which on processes pay for the second that they take to start
_SMALLEST_JUDGED = 16  # px: an edge and its surroundings


@dataclass(frozen=True, slots=True)
class Looks:
    """How a photo looks. It is measured on a grey copy of at most 256 px a side and a coloured copy of half that size,
    so that resolution does not matter.

    flat: the share of pixels within 4 levels of the median colour, on each channel.
    low, high: the grey levels (0 to 255) below which 5 and 95 % of the pixels lie.
    burnt: the share of pixels at grey level 250 or more.
    chroma: the difference of a pixel's largest and smallest channel that 99 % of the pixels do not exceed.
    edges: the 99.5th percentile of the Laplacian's magnitude, in grey levels. Unlike its variance it does not depend on
        how much there is to see. Infinite below 16 px.
    sharpness: how many times stronger the edges are than after a slight blur (Gaussian, 1.5 px): a soft photo loses
        little by that, whatever its contrast. Infinite below 16 px.
    filled: the share of the photo in bands of MINC's fill colour along its edges.
    signature: `signatures.signature_of`.
    """

    flat: float
    low: int
    high: int
    burnt: float
    chroma: int
    edges: float
    sharpness: float
    filled: float
    signature: bytes


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """The facts of one photo file.

    bytes, sha256: of the file's content; 0 and "" if the file cannot be read.
    problem: why the file is not a whole photo; the fields below it then have no meaning.
    format, mode: Pillow's names. The mode of a 16-bit PNG ends in ";16".
    width, height: in px as stored, before the EXIF orientation is applied.
    animated: whether it holds more than one picture (a phone's JPEG with a preview, MPO, does not count).
    """

    path: str
    class_name: str
    bytes: int = 0
    sha256: str = ""
    problem: Problem | None = None
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    animated: bool = False
    looks: Looks = Looks(0, 0, 0, 0, 0, 0, 0, 0, b"")


def read_facts(root: Path, photos: Sequence[Listed], on_progress: Progress = unheard) -> list[PhotoFacts]:
    """Read and decode each photo once, on all processors, without keeping pixels.

    Many photos are read in processes: in threads the short steps of one photo wait for those of another.
    """
    from joblib import Parallel, delayed

    shares = (photos[start:start + _SHARE] for start in range(0, len(photos), _SHARE))
    backend, work = ("loky", _facts_in_a_process) if len(photos) >= _MANY else ("threading", _facts_of_all)
    workers = Parallel(n_jobs=-1, backend=backend, return_as="generator", pre_dispatch="4 * n_jobs")
    facts: list[PhotoFacts] = []
    for share in workers(delayed(work)(root, share) for share in shares):
        facts += share
        on_progress(len(facts), len(photos))
    return facts


def _facts_of_all(root: Path, photos: Sequence[Listed]) -> list[PhotoFacts]:
    return [facts_of(root, photo) for photo in photos]


def _facts_in_a_process(root: Path, photos: Sequence[Listed]) -> list[PhotoFacts]:
    cv2.setNumThreads(1)  # each processor already has a photo of its own
    _end_with(os.getppid())
    return _facts_of_all(root, photos)


@functools.cache
def _end_with(parent: int) -> None:
    """End this process soon after its parent: joblib's processes outlive a killed parent by minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def facts_of(root: Path, photo: Listed) -> PhotoFacts:
    """Return the facts of one file below `root`. It raises nothing, whatever is in the file."""
    path = root / photo.path
    try:  # not by a PhotoReader: the bytes are needed for the hash and the header, too
        data = content_of(path)
        pixels = decode(data, min_size=(_SIDE, _SIDE))
        kind, mode, (width, height), animated = _header(data, pixels)
        return PhotoFacts(photo.path, photo.class_name, len(data), hashlib.sha256(data).hexdigest(), None, kind, mode,
                          width, height, animated, looks_of(pixels))
    except UnreadableImageError as error:
        problem = error.problem
    except (MemoryError, cv2.error):
        problem = problem_of(MemoryError())
    digest, size = "", 0
    if problem.is_of_the_photo:
        with contextlib.suppress(UnreadableImageError):  # a pipe, or too large
            digest, size = digest_of(path)
    return PhotoFacts(photo.path, photo.class_name, size, digest, problem)


def _header(data: bytes, pixels: Pixels) -> tuple[str, str, tuple[int, int], bool]:
    """Return format, mode, (width, height) and whether there are more pictures, of a file that was decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                deep = image.format == "PNG" and data[24] == 16 and "16" not in image.mode  # IHDR: bit depth
                return (image.format or "", image.mode + ";16" * deep, image.size,
                        image.format != "MPO" and getattr(image, "is_animated", False))
    except (OSError, ValueError, SyntaxError, EOFError):  # a JPEG that simplejpeg reads and Pillow does not
        return "JPEG", "RGB", (pixels.shape[1], pixels.shape[0]), False


def looks_of(pixels: Pixels) -> Looks:
    """Measure (H, W, 3) uint8 pixels."""
    height, width = (min(side, _SIDE) for side in pixels.shape[:2])
    # Averaging areas of 1.4 px costs more than all other steps, and only the edges need it.
    grey = np.asarray(cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (width, height),
                                 interpolation=cv2.INTER_AREA), dtype=np.uint8)
    small = resize(pixels, (height, width))
    small = cv2.resize(small, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    channels = cv2.split(small)
    median = np.array([_level(_shares(channel), 0.5) for channel in channels])
    shares = _shares(grey)
    edges, sharpness = _edges(grey)
    spread = cv2.subtract(cv2.max(cv2.max(*channels[:2]), channels[2]), cv2.min(cv2.min(*channels[:2]), channels[2]))
    return Looks(flat=float(_near(small, median, _FLAT).mean() / 255), low=_level(shares, 0.05),
                 high=_level(shares, 0.95), burnt=float(1 - shares[_BURNT - 1]), chroma=_level(_shares(spread), 0.99),
                 edges=edges, sharpness=sharpness, filled=_filled(_near(small, np.array(FILL_COLOUR), _FILLED)),
                 signature=signature_of(small))


def _shares(values: Pixels) -> Floats:
    """Return the shares of values that are at most 0, 1, ... 255."""
    return np.cumsum(cv2.calcHist([values], [0], None, [256], [0, 256]).ravel(), dtype=np.float64) / values.size


def _level(shares: Floats, share: float) -> int:
    return int(np.searchsorted(shares, share))


def _near(small: Pixels, colour: npt.NDArray[np.int_], reach: int) -> Pixels:
    """Return (H, W): 255 where all three channels lie within `reach` of a colour, else 0."""
    within = cv2.inRange(small, np.clip(colour - reach, 0, 255), np.clip(colour + reach, 0, 255))
    return np.asarray(within, dtype=np.uint8)


def _edges(grey: Pixels) -> tuple[float, float]:
    """Return `edges` and `sharpness` of Looks."""
    if min(grey.shape) < _SMALLEST_JUDGED:
        return float("inf"), float("inf")
    plain = grey.astype(np.float32)
    edges, soft = map(_strongest_edges, (plain, cv2.GaussianBlur(plain, (0, 0), 1.5)))
    return edges, edges / max(soft, 0.1)


def _strongest_edges(grey: Array) -> float:
    """Return the 99.5th percentile of the Laplacian's magnitude."""
    strength = np.abs(cv2.Laplacian(grey, cv2.CV_32F)[2:-2, 2:-2]).ravel()
    place = math.ceil(0.995 * strength.size) - 1
    return float(np.partition(strength, place)[place])


def _filled(mask: Pixels) -> float:
    """Return the share of the area in bands at the edges whose lines lie nearly wholly in the mask."""
    inner = 1.0
    for axis in (1, 0):
        whole = mask.mean(axis=axis) >= 255 * _BAND
        if whole.all():
            return 1.0
        first, last = int(np.argmin(whole)), int(np.argmin(whole[::-1]))
        inner *= 1 - (first + last) / len(whole)
    return 1 - inner


def other_photos(root: Path, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give (path, format) of the files that are photos by their content, whatever their names are."""
    def format_of_file(path: str) -> str | None:
        try:
            with opened(root / path) as file:
                other = other_format(file.read(HEAD))
            if other is not None:
                return other if other in _UNREAD_PHOTOS else None
            with Image.open(Metered(content_of(root / path)), formats=FORMATS) as image:
                return image.format
        except (UnreadableImageError, *DAMAGE, Image.DecompressionBombError):
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        formats_by_content = pool.map(format_of_file, paths)
        yield from ((path, kind) for path, kind in zip(paths, formats_by_content, strict=True) if kind is not None)
