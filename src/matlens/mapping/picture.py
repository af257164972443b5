"""Show a map: colours over the photo, a legend with shares of the area, and class numbers as a picture."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from matlens.mapping.material_map import UNKNOWN, MaterialMap
from matlens.system.figures import COLORS, elided
from matlens.types import Pixels

OPACITY = 0.55
UNKNOWN_COLOUR = "#5c5c5c"
_STRIPE = 8
"""Pixels of a stripe of unknown areas, which show the photo between stripes."""
_LARGEST_NUMBER = 254
"""The largest class number of a picture of 8 bits, which holds 255 where a place is unknown."""
_LEAST_AREA = 0.01
"""The least share of the picture that an area has which shows its number."""
_LIGHTER = (0.0, 0.35, -0.3, 0.6)
"""How the ten colours are varied where there are more than ten classes."""


def colour_of(number: int) -> str:
    """Return the colour of a class as #rrggbb: ten that colour-blind people tell apart, then lighter and darker ones.
    """
    if number == UNKNOWN:
        return UNKNOWN_COLOUR
    colour, shift = COLORS[number % len(COLORS)], _LIGHTER[number // len(COLORS) % len(_LIGHTER)]
    red, green, blue = (int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5))
    hue, light, strength = colorsys.rgb_to_hls(red, green, blue)
    light = light + (1 - light) * shift if shift > 0 else light * (1 + shift)
    return "#" + "".join(f"{round(value * 255):02x}" for value in colorsys.hls_to_rgb(hue, light, strength))


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def overlay_of(made: MaterialMap) -> Pixels:
    """Lay the map's colours over its photo: (H, W, 3) uint8, with edges and class numbers, unknown areas striped."""
    numbers = made.numbers
    height, width = numbers.shape
    colours = np.array([_rgb(colour_of(number)) for number in [*range(len(made.class_names)), UNKNOWN]], np.float32)
    mixed = made.photo * np.float32(1 - OPACITY) + colours[numbers] * np.float32(OPACITY)
    rows, columns = np.ogrid[:height, :width]
    between = (numbers == UNKNOWN) & ((rows + columns) // _STRIPE % 2 == 0)
    mixed[between] = made.photo[between]
    picture = mixed.round().astype(np.uint8)
    edges = np.zeros((height, width), np.uint8)
    edges[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    edges[1:] |= numbers[1:] != numbers[:-1]
    picture[cv2.dilate(edges, np.ones((2, 2), np.uint8)) > 0] = 255
    return _numbered(picture, numbers)


def _numbered(picture: Pixels, numbers: npt.NDArray[np.int64]) -> Pixels:
    """Write the number of its class into the middle of each large area."""
    image = Image.fromarray(picture)
    draw, size = ImageDraw.Draw(image), max(12, round(min(numbers.shape) / 28))
    for number in np.unique(numbers[numbers != UNKNOWN]).tolist():
        areas, labels, about, _ = cv2.connectedComponentsWithStats((numbers == number).astype(np.uint8), connectivity=4)
        for area in range(1, areas):
            left, top, width, height, pixels = about[area].tolist()
            if pixels < _LEAST_AREA * numbers.size:
                continue
            inside = np.pad((labels[top:top + height, left:left + width] == area).astype(np.uint8), 1)
            depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
            y, x = (int(at) for at in np.unravel_index(depth.argmax(), depth.shape))
            draw.text((left + x - 1, top + y - 1), str(number), "white", ImageFont.load_default(size), anchor="mm",
                      stroke_width=max(2, size // 8), stroke_fill="black")
    return np.asarray(image, dtype=np.uint8)


def legend_of(made: MaterialMap) -> list[dict[str, Any]]:
    """Return what the legend says, the largest share first: class, number, colour, share and confidence."""
    return [{"class": "unknown" if number == UNKNOWN else made.class_names[number],
             "number": None if number == UNKNOWN else number, "colour": colour_of(number), "share": round(share, 6),
             "confidence": None if number == UNKNOWN else round(made.confidence_of(number), 6)}
            for number, share in made.shares.items()]


def with_legend(picture: Pixels, made: MaterialMap) -> Image.Image:
    """Put a legend below a picture of the map, in as many columns as there is room for."""
    size = max(14, round(max(picture.shape[:2]) / 50))
    lines = [(_rgb(entry["colour"]), entry["number"], f"{elided(entry['class'])}  {100 * entry['share']:.1f} %")
             for entry in legend_of(made)]
    wide = max(picture.shape[1], max(round(_font(size).getlength(f"000 {text}")) for *_, text in lines) + 4 * size)
    column = max(round(_font(size).getlength(f"000 {text}")) for *_, text in lines) + 3 * size
    columns = max(1, (wide - size) // column)
    rows = -(-len(lines) // columns)
    whole = Image.new("RGB", (wide, picture.shape[0] + round((rows * 1.6 + 1) * size)), "white")
    whole.paste(Image.fromarray(picture), ((wide - picture.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(whole)
    for index, (colour, number, text) in enumerate(lines):
        x, y = size + index // rows * column, picture.shape[0] + round((index % rows * 1.6 + 0.7) * size)
        draw.rectangle((x, y, x + size, y + size), fill=colour, outline="#222222")
        draw.text((x + 1.5 * size, y + size / 2), text if number is None else f"{number} {text}", "#222222",
                  _font(size), anchor="lm")
    return whole


def numbers_picture(made: MaterialMap) -> Image.Image:
    """Return the class numbers as a picture with a palette, 255 where a place is unknown.

    With more than 255 classes: 16 bits of grey, 65,535 where a place is unknown.
    """
    numbers = made.numbers
    if len(made.class_names) - 1 > _LARGEST_NUMBER:
        return Image.fromarray(np.where(numbers == UNKNOWN, 65_535, numbers).astype(np.uint16))
    picture = Image.fromarray(np.where(numbers == UNKNOWN, 255, numbers).astype(np.uint8)).convert("P")
    palette = [value for number in range(256) for value in _rgb(colour_of(UNKNOWN if number == 255 else number))]
    picture.putpalette(palette)
    return picture


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return a font for names of classes; Pillow's own, which the server has, knows few letters beside digits."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
