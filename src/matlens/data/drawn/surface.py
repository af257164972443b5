"""The tools of all drawn materials: a palette, a surface seen by a camera, noise, relief."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# All fields are float32, which NumPy's stubs cannot follow: they widen most operations to float64.
Field = NDArray[Any]
RGB = tuple[float, float, float]

RED, RUST, BROWN, OAK = (0.60, 0.28, 0.21), (0.62, 0.40, 0.26), (0.42, 0.31, 0.23), (0.70, 0.53, 0.35)
BUFF, CREAM, WHITE = (0.77, 0.66, 0.47), (0.84, 0.79, 0.69), (0.86, 0.86, 0.85)
SILVER, GREY, SLATE, CHARCOAL = (0.68, 0.69, 0.71), (0.53, 0.52, 0.50), (0.38, 0.42, 0.47), (0.24, 0.24, 0.26)
BLUE, AZURE, NAVY, TEAL = (0.27, 0.47, 0.72), (0.45, 0.65, 0.86), (0.16, 0.24, 0.42), (0.22, 0.47, 0.50)
GREEN, OLIVE, STRAW = (0.30, 0.50, 0.21), (0.45, 0.47, 0.25), (0.74, 0.64, 0.36)

TYPICAL = 0.75
"""How often an object has its material's typical colour, which an untrained network learns first."""


@dataclass(frozen=True)
class View:
    """The places that a material is photographed from.

    span: the least and the greatest width of the picture, in units of the material (a brick, a tile, ...).
    turn: the greatest rotation in the plane, in radians.
    tilt: the greatest relative change of scale from one edge to the opposite edge, in either direction.
    lean: a constant relative change of scale from the bottom (near) to the top (far).
    """

    span: tuple[float, float]
    turn: float = np.pi
    tilt: float = 0.35
    lean: float = 0.0


@dataclass(frozen=True, eq=False)
class Surface:
    """The place on the material that each pixel shows: (n, n) float32, in the material's units."""

    u: Field
    v: Field
    rng: np.random.Generator

    @classmethod
    def seen(cls, view: View, n: int, rng: np.random.Generator) -> Surface:
        """Return what an n x n px camera sees that is placed at random within `view`."""
        axis = (np.arange(n, dtype=np.float32) + 0.5) / n - 0.5
        x, y = axis[None, :], axis[:, None]
        tilt_x, tilt_y = rng.uniform(-view.tilt, view.tilt, 2).tolist()
        depth = 1 + tilt_x * x + (view.lean + tilt_y) * y
        span, angle = np.exp(rng.uniform(*np.log(view.span))), rng.uniform(-view.turn, view.turn)
        c, s = float(span * np.cos(angle)), float(span * np.sin(angle))
        u0, v0 = rng.uniform(0, 16, 2).tolist()
        return cls((c * x - s * y) / depth + u0, (s * x + c * y) / depth + v0, rng)

    def noise(self, fu: float, fv: float | None = None, octaves: int = 3) -> Field:
        """Make smooth fractal noise, (n, n), of mean 0 and deviation 1. fu, fv: cells per unit along u and v."""
        lattice = np.pad(self.rng.standard_normal((32, 32), np.float32), 2, mode="wrap")
        texture = cv2.resize(lattice, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)[16:-16, 16:-16]
        total, weight = np.zeros_like(self.u), 1.0
        for octave in range(octaves):
            step = 8.0 * 2**octave
            maps = [self.u * (fu * step) + 71 * octave, self.v * ((fv or fu) * step) + 37 * octave]
            # Coordinates are wrapped here because cv2.remap holds them in 16 bits.
            maps = [m - 256 * np.floor(m / 256) for m in maps]
            total += weight * cv2.remap(
                texture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
            )
            weight *= 0.55
        total -= total.mean()
        total /= total.std() + 1e-6
        return total

    def bent(self, by: float, fu: float) -> Surface:
        """Displace the surface by noise of deviation `by` (units)."""
        return replace(self, u=self.u + by * self.noise(fu), v=self.v + by * self.noise(fu))

    def colour(self, *palette: RGB) -> Field:
        """Draw one colour of the palette, slightly varied, (3, 1, 1). The first is the typical colour."""
        typical = self.rng.random() < TYPICAL
        base = np.array(palette[0 if typical else self.rng.integers(len(palette))])
        off = base * self.rng.normal(1, 0.14) + self.rng.normal(0, 0.018, 3)
        return np.clip(off, 0.04, 0.92).astype(np.float32)[:, None, None]

    def per_cell(self, i: Field, j: Field) -> Field:
        """Return a normal deviate for each cell of whole numbers (i, j), in their shape."""
        table = self.rng.standard_normal(4096, np.float32)
        return table.take(((i.astype(np.int32) & 63) << 6) + (j.astype(np.int32) & 63))

    def lit(self, height: Field, strength: float) -> Field:
        """Return the shade, around 1, of a relief lit from somewhere above."""
        angle = self.rng.uniform(0.15, 0.85) * np.pi
        kx, ky = float(np.cos(angle)), float(np.sin(angle))
        slope = kx * cv2.Sobel(height, -1, 1, 0) + ky * cv2.Sobel(height, -1, 0, 1)
        shade: Field = 1 + 0.6 * np.tanh(slope * (strength * len(height) / 192))
        return shade


def step(low: float, high: float, x: Field) -> Field:
    t = np.clip((x - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Field, b: Field, t: Field) -> Field:
    mixed: Field = a + (b - a) * t
    return mixed


def frac(x: Field) -> tuple[Field, Field]:
    whole = np.floor(x)
    return whole, x - whole


def to_edge(fraction: Field) -> Field:
    return 0.5 - np.abs(fraction - 0.5)


def soft(height: Field, width: float) -> Field:
    """Blur by `width`, a fraction of the picture."""
    return np.asarray(cv2.GaussianBlur(height, (0, 0), width * len(height)), np.float32)
