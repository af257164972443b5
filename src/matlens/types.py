"""The types that all of matlens shares, each defined once. Shapes are said where they are used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

Array = npt.NDArray[np.float32]
"""Numbers of networks: photos in [0, 1], feature maps, probabilities, heat maps."""

Floats = npt.NDArray[np.float64]
"""Numbers of statistics."""

Pixels = npt.NDArray[np.uint8]
"""Photos: one (H, W, 3) or several (N, H, W, 3), RGB."""

Labels = npt.NDArray[np.int64]
"""Class numbers (N,)."""


@dataclass(frozen=True)
class BytePhotos:
    """Photos as bytes, with the variation that the device computes of them.

    pixels: (B, H, W, 3) uint8.
    warps: (B, 2, 3) float64; each maps a position (x, y) in the result to one in the photo, in pixels, as OpenCV's
        WARP_INVERSE_MAP has it; what lies outside is the mirrored photo (BORDER_REFLECT). None: photos as they are.
    contrasts: (B,) float32, factors about each channel's mean of the warped photo; the result is clipped to [0, 1].
    """

    pixels: Pixels
    warps: Floats | None = None
    contrasts: Array | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, part: slice) -> BytePhotos:
        return BytePhotos(self.pixels[part], None if self.warps is None else self.warps[part],
                          None if self.contrasts is None else self.contrasts[part])


Batch = tuple[Array, Array]
"""(images (B, H, W, 3) in [0, 1], labels (B, C) one-hot)."""

Count = Annotated[int, Field(ge=0, le=10**18)]
"""A number of things in a file that may be a stranger's: a larger one is refused where the file is read."""

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""


def unheard(done: int, total: int) -> None:
    """Ignore progress: a `Progress` for callers that show none."""


@dataclass(frozen=True)
class Scores:
    """Mean loss (regularisation included) and accuracy (a share) over photos."""

    loss: float
    accuracy: float


OnStep = Callable[[int, Callable[[], Scores]], None]
"""Called after a training step with (steps done, how to read the epoch's scores so far: that waits for the device)."""
