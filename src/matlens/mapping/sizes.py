"""How large a photo is when its map is made, and how large at each scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matlens.errors import SettingsError

SCALES = (1.0, 1.5)
"""Chosen on mosaics of validation photos: docs/map.md."""

MOST_PIXELS = 1_500_000
"""Of a photo whose map is made: a larger one is made smaller first. The trunk's places are some 30 pixels apart."""

MOST_SCALED = 2_250_000
"""Pixels that a trunk computes at once: MobileNetV2 takes 0.4 GB for as many."""

MOST_SCALES, SMALLEST_SCALE, LARGEST_SCALE = 8, 0.05, 8.0


@dataclass(frozen=True)
class Scaled:
    """A photo at one of the scales. factor: of its sides. size: (height, width), whole steps of the trunk."""

    factor: float
    size: tuple[int, int]


def scales_of(given: str) -> tuple[float, ...]:
    """Read scales such as "1,0.5". Raises SettingsError."""
    try:
        scales = tuple(dict.fromkeys(float(word) for word in given.split(",")))
    except ValueError:
        scales = ()
    if not 1 <= len(scales) <= MOST_SCALES or not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in scales):
        raise SettingsError(f"Scales are 1 to {MOST_SCALES} numbers from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}, such "
                            f"as 1,0.5, and not '{given[:80]}'.")
    return scales


def map_size(height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of a photo's map: its own size, or that of so many pixels as a map has at most."""
    shrunk = min(1.0, math.sqrt(MOST_PIXELS / (height * width)))
    return max(1, min(height, round(height * shrunk), MOST_PIXELS)), max(1, min(width, round(width * shrunk),
                                                                                MOST_PIXELS))


def scaled_sizes(size: tuple[int, int], scales: Sequence[float], trained: tuple[int, int], step: int) -> list[Scaled]:
    """Return the sizes that a trunk computes a photo at, each once, in the order of the scales.

    No shorter side is below half of that of the photos that the trunk was trained on, and none has more pixels than
    MOST_SCALED.

    Args:
        size: (height, width) of the photo.
        trained: (height, width) of the photos that the trunk was trained on.
        step: the distance of the trunk's places in pixels.
    """
    height, width = size
    least = max(trained) / 2 / min(size)
    most = math.sqrt(MOST_SCALED / (height * width))
    found: dict[tuple[int, int], Scaled] = {}
    for scale in scales:
        factor = min(max(scale, least), most)
        rows, columns = (max(1, round(length * factor / step)) * step for length in size)
        if rows * columns > 2 * MOST_SCALED:  # of a photo that is far longer than wide, a side has the least length
            rows, columns = min(rows, 2 * MOST_SCALED // step), min(columns, 2 * MOST_SCALED // step)
        found.setdefault((rows, columns), Scaled(factor, (rows, columns)))
    return list(found.values())
