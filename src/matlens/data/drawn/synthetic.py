"""Draw a labelled photo collection of materials from a seed, for use without photos or a network connection.

    draw_dataset(Path("photos"), photos_per_class=40, size=96, seed=42)

writes photos/brick/brick_000001.jpg and so on, a folder for each of `MATERIALS`. The demonstration uses
the pictures, and they are a smoke test for training code. No figure measured on them says anything about real photos.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from matlens.data.drawn.mark import mark
from matlens.data.drawn.materials import DRAWERS
from matlens.data.drawn.sample import laid_down
from matlens.data.drawn.surface import Field, Surface
from matlens.errors import DataError
from matlens.system.files import whole_folder
from matlens.types import Pixels, Progress

MATERIALS: tuple[str, ...] = tuple(sorted(DRAWERS))

# Edges drawn by thresholds alias. Drawing at one and a half times the size and averaging hides that.
_SUPERSAMPLING = 1.5
_SMALLEST = 8


def draw_material(name: str, size: int, rng: np.random.Generator, *, as_sample: bool = False) -> Pixels:
    """Draw one photo of a material.

    Args:
        name: one of `MATERIALS`.
        size: height and width in px, at least 8.
        rng: the only source of randomness. Two generators in the same state draw the same picture.
        as_sample: draw a sample of the material that lies on a plain ground. Otherwise the material fills the photo.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        ValueError: there is no such material, or the size is too small.
    """
    _check([name], size)
    view, draw = DRAWERS[name]
    surface = Surface.seen(view, round(size * _SUPERSAMPLING), rng)
    scene = draw(surface)
    return _photographed(laid_down(scene, rng) if as_sample else scene, size, rng)


def draw_dataset(
    root: Path | str,
    *,
    photos_per_class: int = 40,
    size: int = 96,
    seed: int = 42,
    materials: Sequence[str] = MATERIALS,
    as_samples: bool = False,
    on_progress: Progress | None = None,
) -> Path:
    """Draw a folder of photos for each material, root/<material>/<material>_000001.jpg onwards.

    A photo depends on (seed, material, number, size, as_samples) alone, not on the other materials or the number of
    photos. Files are the same, byte for byte, for the same NumPy, OpenCV and Pillow on the same kind of CPU. Other
    vector instructions round differently, by one grey level in some 1e-5 of values. The folder appears whole or not at
    all, with a file that says that its photos are drawn; a run says it in its report.

    Args:
        root: a folder that is empty or does not exist yet. Missing parents are made.
        photos_per_class: at least 1.
        size: height and width in px.
        seed: not negative.
        materials: distinct names out of `MATERIALS`.
        as_samples: draw samples that lie on a plain ground. Otherwise the materials fill the photos.
        on_progress: called with (photos drawn, all photos) after each photo.

    Returns:
        `root` as a path.

    Raises:
        DataError: `root` is a file or is not empty.
        WriteError: the folder cannot be written.
        ValueError: an argument is out of its range.
    """
    _check(materials, size)
    if photos_per_class < 1 or not materials or len(set(materials)) < len(materials):
        raise ValueError("draw at least one photo of each of at least one material, and no material twice")
    root = Path(root)
    place = root.resolve()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise DataError(f"{root} exists and is not an empty folder. Drawn photos go only into a new one: name another.")
    with whole_folder(place) as drawn:
        mark(drawn)
        for done, material in enumerate(materials):
            (drawn / material).mkdir()
            for number in range(1, photos_per_class + 1):
                rng = np.random.default_rng([seed, zlib.crc32(material.encode()), number])
                photo = Image.fromarray(draw_material(material, size, rng, as_sample=as_samples))
                photo.save(drawn / material / f"{material}_{number:06d}.jpg", quality=90)
                if on_progress is not None:
                    on_progress(done * photos_per_class + number, len(materials) * photos_per_class)
    return root


def _check(materials: Sequence[str], size: int) -> None:
    for name in materials:
        if name not in DRAWERS:
            raise ValueError(f"unknown material {name!r}; known: {', '.join(MATERIALS)}")
    if size < _SMALLEST:
        raise ValueError(f"size must be at least {_SMALLEST} px, got {size}")


def _photographed(scene: Field, size: int, rng: np.random.Generator) -> Pixels:
    """Photograph a (3, n, n) scene under uneven light, through a lens, on a sensor: (size, size, 3) uint8."""
    axis = np.linspace(-1, 1, scene.shape[-1], dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    fall_x, fall_y, vignette = (rng.uniform(-1, 1, 3) * (0.25, 0.25, 0.1)).tolist()
    light = 1 + fall_x * x + fall_y * y - (0.1 + vignette) * (x**2 + y**2)
    exposure = np.exp(rng.normal(0, 0.16) + rng.normal(0, 0.03, 3)).astype(np.float32)
    lit = scene * light * exposure[:, None, None]
    photo = cv2.resize(cv2.merge(list(lit)), (size, size), interpolation=cv2.INTER_AREA)
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 0.9) * size / 96)
    # A shoulder instead of clipping, so that highlights keep their shape.
    photo = np.minimum(photo, 0.8 + 0.2 * np.tanh(5 * np.maximum(photo, 0.8) - 4))
    photo += rng.uniform(0.005, 0.025) * rng.standard_normal(photo.shape, np.float32)
    developed: Pixels = (np.clip(photo, 0, 1) * 255 + 0.5).astype(np.uint8)
    return developed
