"""Ways to spoil a photo, by name, each with five strengths, the weakest first.

A perturbation is a pure function (photo (H, W, 3) uint8, strength, generator) to a photo of the same shape. Lengths are
in pixels of a photo whose shorter side is 224 px, and scale with it. The generator is made from the photo's content, so
every model, and every strength, meets the same noise, directions and permutations.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matlens.system.registry import LAST, Registry
from matlens.types import Pixels

Spoil = Callable[[Pixels, float, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Perturbation:
    """A function with its five strengths, the weakest first.

    name: the key of its curve in `<name>_robustness.json`.
    title: for a picture. unit: of the strengths, as on an axis.
    rank: where its panel stands.
    """

    name: str
    title: str
    unit: str
    strengths: tuple[float, ...]
    function: Spoil
    rank: int = LAST

    def __post_init__(self) -> None:
        if not self.title or not self.strengths:
            raise ValueError(f"the perturbation '{self.name}' has no {'title' if not self.title else 'strengths'}")

    def applied(self, photo: Pixels, strength: float, sha256: str) -> Pixels:
        """Spoil a photo.

        Args:
            sha256: hexadecimal, of the photo's file; what is drawn by chance follows from it and from the name.
        """
        rng = np.random.default_rng([int(sha256[:16], 16), zlib.crc32(self.name.encode())])
        return self.function(photo, strength, rng)


PERTURBATIONS: Registry[Perturbation] = Registry("perturbation", "matlens.robustness.perturbations")
"""Each file of `robustness/perturbations/` registers those that it declares."""

register = PERTURBATIONS.register
