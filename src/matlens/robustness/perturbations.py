"""Ways to spoil a photo, each with five strengths, the weakest first.

A perturbation is a pure function (photo (H, W, 3) uint8, strength, generator) to a photo of the same shape. Lengths are
in pixels of a photo whose shorter side is 224 px, and scale with it. The generator is made from the photo's content, so
every model, and every strength, meets the same noise, directions and permutations.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from matlens.data.source.minc import FILL_COLOUR
from matlens.types import Pixels

Function = Callable[[Pixels, float, np.random.Generator], Pixels]

_REFERENCE_SIDE = 224


@dataclass(frozen=True)
class Perturbation:
    """A function with its five strengths, the weakest first.

    title: for a picture; unit: of the strengths, as on an axis.
    """

    title: str
    unit: str
    strengths: tuple[float, ...]
    function: Function


def exposed(photo: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """Light times 2^stops, clipped. In linear light (sRGB, IEC 61966-2-1)."""
    return _in_linear_light(photo, np.array([2.0**stops] * 3))


def tinted(photo: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """White balance off: red light times 2^stops, blue light divided by it; below 0 the photo is colder. Clipped."""
    return _in_linear_light(photo, np.array([2.0**stops, 1.0, 2.0**-stops]))


def blurred(photo: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Out of focus: a Gaussian of that deviation (px at 224)."""
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma * min(photo.shape[:2]) / _REFERENCE_SIDE), np.uint8)


def compressed(photo: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    """Through JPEG of that quality (libjpeg's, 1 to 100), colours at half the resolution."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(photo), quality=int(quality), colorsubsampling="420")
    return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"), np.uint8)


def coarse(photo: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """As from a photo of so many times less pixels a side: areas averaged, then enlarged bilinearly."""
    height, width = photo.shape[:2]
    small = max(round(width / factor), 1), max(round(height / factor), 1)
    return np.asarray(cv2.resize(cv2.resize(photo, small, interpolation=cv2.INTER_AREA), (width, height),
                                 interpolation=cv2.INTER_LINEAR), np.uint8)


def noisy(photo: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Gaussian noise of that deviation (1: the range from black to white) on each value, clipped."""
    noise = rng.standard_normal(photo.shape, dtype=np.float32)
    return _to_bytes(photo + np.float32(255 * sigma) * noise)


def turned(photo: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    """Turned about the middle, one way or the other; corners are filled by reflection."""
    height, width = photo.shape[:2]
    angle = degrees if rng.random() < 0.5 else -degrees
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    return np.asarray(cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_LINEAR,
                                     borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def shuffled(photo: Pixels, parts: float, rng: np.random.Generator) -> Pixels:
    """Cut into parts x parts equal patches, each of which goes elsewhere: texture stays, the scene goes.

    Pixels that do not divide evenly stay where they are, at the bottom and at the right.
    """
    n = int(parts)
    height, width = photo.shape[0] // n, photo.shape[1] // n
    whole = photo.copy()
    patches = whole[: n * height, : n * width].reshape(n, height, n, width, 3).swapaxes(1, 2).reshape(
        n * n, height, width, 3)
    cycle = rng.permutation(n * n)
    taken_from = np.empty_like(cycle)
    taken_from[cycle] = np.roll(cycle, 1)  # one ring through all of them, so that none stays
    mixed = patches[taken_from].reshape(n, n, height, width, 3).swapaxes(1, 2)
    whole[: n * height, : n * width] = mixed.reshape(n * height, n * width, 3)
    return whole


def centre_only(photo: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """The middle, that share of the area, on ImageNet's mean colour: the material without its surroundings."""
    return np.where(_middle(photo, share)[..., None], photo, np.array(FILL_COLOUR, np.uint8))


def surround_only(photo: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """The middle, that share of the area, covered by ImageNet's mean colour: what is left is context."""
    return np.where(_middle(photo, share)[..., None], np.array(FILL_COLOUR, np.uint8), photo)


def greyed(photo: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """So far on the way to grey (luma of ITU-R BT.601)."""
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.float32)[..., None]
    return _to_bytes(np.float32(1 - share) * photo + np.float32(share) * grey)


PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType({
    "darker": Perturbation("Darker", "stops", (-0.5, -1, -1.5, -2, -3), exposed),
    "brighter": Perturbation("Brighter", "stops", (0.5, 1, 1.5, 2, 3), exposed),
    "warmer": Perturbation("Warmer light", "stops of red over green", (0.2, 0.4, 0.6, 0.8, 1), tinted),
    "colder": Perturbation("Colder light", "stops of red over green", (-0.2, -0.4, -0.6, -0.8, -1), tinted),
    "blur": Perturbation("Blur", "px at 224 px", (0.5, 1, 2, 3, 5), blurred),
    "jpeg": Perturbation("JPEG", "quality", (70, 50, 30, 15, 5), compressed),
    "resolution": Perturbation("Resolution", "times less a side", (1.5, 2, 3, 4, 8), coarse),
    "noise": Perturbation("Noise", "of the range", (0.02, 0.05, 0.1, 0.15, 0.25), noisy),
    "rotation": Perturbation("Rotation", "degrees", (10, 20, 30, 45, 90), turned),
    "patch_shuffle": Perturbation("Patches shuffled", "patches a side", (2, 3, 4, 6, 8), shuffled),
    "centre_only": Perturbation("Centre only", "share kept", (0.8, 0.6, 0.4, 0.2, 0.1), centre_only),
    "surround_only": Perturbation("Surround only", "share covered", (0.1, 0.2, 0.4, 0.6, 0.8), surround_only),
    "greyscale": Perturbation("Greyscale", "of the colour gone", (0.2, 0.4, 0.6, 0.8, 1), greyed),
})


def perturbed(photo: Pixels, name: str, strength: float, sha256: str) -> Pixels:
    """A photo as a perturbation leaves it.

    Args:
        sha256: hexadecimal, of the photo's file: what is drawn by chance follows from it and from `name`.
    """
    rng = np.random.default_rng([int(sha256[:16], 16), zlib.crc32(name.encode())])
    return PERTURBATIONS[name].function(photo, strength, rng)


def _in_linear_light(photo: Pixels, gains: npt.NDArray[np.float64]) -> Pixels:
    encoded = np.arange(256) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lit = np.clip(linear[:, None] * gains, 0, 1)
    back = np.where(lit <= 0.0031308, 12.92 * lit, 1.055 * lit ** (1 / 2.4) - 0.055)
    table = (255 * back).round().astype(np.uint8)  # (256, 3): a byte becomes a byte, in each channel
    return np.stack([table[photo[..., channel], channel] for channel in range(3)], axis=-1)


def _middle(photo: Pixels, share: float) -> npt.NDArray[np.bool_]:
    """(H, W): the rectangle in the middle, of the photo's shape, that has this share of its area."""
    mask = np.zeros(photo.shape[:2], dtype=np.bool_)
    height, width = (round(side * share**0.5) for side in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    mask[top:top + height, left:left + width] = True
    return mask


def _to_bytes(values: npt.NDArray[np.float32]) -> Pixels:
    return np.clip(values.round(), 0, 255).astype(np.uint8)
