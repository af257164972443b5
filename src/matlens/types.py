"""The types that all of matlens shares, each defined once. Shapes are said where they are used."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

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


class Rows(Protocol):
    """Features (N, ...) by row: an array, or what reads rows from the disk when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, ...)."""

    def __getitem__(self, rows: Labels) -> Array:
        """Copy rows, by their numbers."""


@dataclass(frozen=True, eq=False)
class BytePhotos:
    """Photos as bytes, with the variation that the device computes of them.

    The photos in [0, 1] are the bytes / 255, after the warp and then the contrast.

    pixels: (B, H, W, 3) uint8, contiguous.
    warps: (B, 2, 3) float64. Each maps a position (x, y, 1) in the result to the position (x, y) in the photo that it
        shows, with bilinear interpolation; beyond the edge lies the mirrored photo, its edge repeated (OpenCV's
        WARP_INVERSE_MAP and BORDER_REFLECT). None: no variation.
    contrasts: (B,) float32, the factor about the mean of each channel of the warped photo; the result is clipped to
        [0, 1]. None: no variation.
    """

    pixels: Pixels
    warps: Floats | None = None
    contrasts: Array | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, part: slice) -> BytePhotos:
        """Return a part of the photos, with their variations."""
        return BytePhotos(self.pixels[part], None if self.warps is None else self.warps[part],
                          None if self.contrasts is None else self.contrasts[part])


Batch = tuple[Array | BytePhotos, Array]
"""(images (B, H, W, 3) in [0, 1] or as bytes, labels (B, C)). What follows a cut is given activations, or features, in
place of images.

A photo's labels are one-hot, or a distribution over classes, times the photo's weight in the training loss, which is 1
unless a run weights classes: a row sums to the weight. Cross-entropy is linear in the labels, so each way of training
that computes it of such rows, however it mixes or smooths them, weights photos without knowing of weights."""

Count = Annotated[int, Field(ge=0, le=10**18)]
"""A number of things in a file that may be a stranger's: a larger one is refused where the file is read."""

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""


def unheard(done: int, total: int) -> None:
    """Ignore progress: a `Progress` for callers that show none."""


@dataclass(frozen=True)
class Scores:
    """Mean loss (regularisation included) and accuracy (a share) over photos.

    macro_f1: mean over all classes of F1; None where nobody asked for it.
    """

    loss: float
    accuracy: float
    macro_f1: float | None = None


class ClassCounts:
    """Counts by class what is asked, answered, and answered rightly."""

    def __init__(self, num_classes: int) -> None:
        self._asked, self._answered, self._right = (np.zeros(num_classes, np.int64) for _ in range(3))

    def add(self, answers: Labels, truth: Labels) -> None:
        """Take the class numbers (B,) of some photos: answered, and true."""
        classes = len(self._asked)
        self._asked += np.bincount(truth, minlength=classes)
        self._answered += np.bincount(answers, minlength=classes)
        self._right += np.bincount(truth[answers == truth], minlength=classes)

    def macro_f1(self) -> float:
        """Return the mean over all classes of 2 right / (asked + answered), which is F1; 0 of a class with neither."""
        return float(np.mean(2 * self._right / np.maximum(self._asked + self._answered, 1)))


OnStep = Callable[[int, Callable[[], Scores]], None]
"""Called after a training step with (steps done, how to read the epoch's scores so far: that waits for the device)."""


class Pace:
    """Limits how often a step is reported: the first time, then at most five times a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Return whether a report is due now."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + 0.2
        return True
