"""The same photos explained by several models, on one colour scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matlens.explanation.explained import ExplainedPhoto
from matlens.system.figures import INK, MUTED, elided, new_figure, save_figure
from matlens.types import Array, Pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE_BY_SIDE = "side_by_side"
"""In the names of the pictures that show the same photos as several models see them, in place of a model's name."""
_CELL = 2.3  # inches
_COLOURS = "inferno"
_SHARE = 0.6  # of the heat's colours in the picture


def density(heat: Array, size: tuple[int, int]) -> Array:
    """Express a heat map in multiples of an even spread, (H, W) float32 with mean 1; all 0 where there is no heat.

    Scores of different models have different units, and so do their gradients: only how the heat is spread compares.

    Args:
        heat: (h, w), 0 or more.
        size: (H, W), to which it is resized.
    """
    import cv2

    large = np.asarray(cv2.resize(heat, size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    mean = float(large.mean())
    return large / np.float32(mean) if mean > 0 else large


@dataclass(frozen=True)
class SideBySide:
    """The same photos, explained by several models.

    photos: (N, H, W, 3) uint8.
    said, densities: by model title, its answers (N,), and where it looked, (N, H, W) as `density` gives it.
    """

    photos: tuple[Pixels, ...]
    said: Mapping[str, tuple[str, ...]]
    densities: Mapping[str, Array]

    @classmethod
    def from_explained(cls, explained: Mapping[str, Sequence[ExplainedPhoto]]) -> SideBySide:
        """Take the photos that each model explained. Raises ValueError where there are none, or not the same ones."""
        rows = list(explained.values())
        if not rows or not rows[0] or any(
                len(row) != len(rows[0]) or not all(np.array_equal(a.photo, b.photo)
                                                    for a, b in zip(row, rows[0], strict=True)) for row in rows):
            raise ValueError("models to be shown side by side must have explained the same photos")
        return cls(tuple(first.photo for first in rows[0]),
                   {title: tuple(f"{elided(answer.predicted)} {100 * answer.probability:.0f} %" for answer in row)
                    for title, row in explained.items()},
                   {title: np.stack([density(answer.heat, answer.photo.shape[:2]) for answer in row])
                    for title, row in explained.items()})

    @property
    def tops(self) -> tuple[float, ...]:
        """The hottest value of all models for each photo, where its colour scale ends; 1 at least."""
        return tuple(max(1.0, *(float(maps[row].max()) for maps in self.densities.values()))
                     for row in range(len(self.photos)))

    def draw(self, what: str) -> Figure:
        """Draw a row for each photo: the photo, then each model's heat laid over it, on one colour scale.

        what: what the heat maps are, such as "Grad-CAM", for the title.
        """
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        rows, columns = len(self.photos), 1 + len(self.said)
        figure = new_figure(_CELL * columns + 0.9, _CELL * rows + 0.3 * rows + 0.7, f"{what}, side by side", "")
        grid = figure.subplots(rows, columns, squeeze=False)
        for row, (axes, photo, top) in enumerate(zip(grid, self.photos, self.tops, strict=True)):
            scale = ScalarMappable(Normalize(0, top), _COLOURS)
            axes[0].imshow(photo)
            axes[0].set_title("Photo" if row == 0 else "", fontsize=10, color=INK)
            for place, (title, answers) in zip(axes[1:], self.said.items(), strict=True):
                heat = self.densities[title][row]
                place.imshow((1 - _SHARE) * photo / 255 + _SHARE * scale.to_rgba(heat)[..., :3])
                answer = answers[row] if heat.any() else f"{answers[row]}\n(nothing speaks for it)"
                place.set_title(f"{title}\n{answer}" if row == 0 else answer, fontsize=10, color=INK, parse_math=False)
            for place in axes:
                place.set_axis_off()
            bar = figure.colorbar(scale, ax=axes.tolist(), shrink=0.9, pad=0.02, aspect=20)
            bar.set_label("times an even spread", fontsize=9, color=INK)
            bar.ax.tick_params(labelsize=9, colors=MUTED)
        return figure


def plot_side_by_side(explained: Mapping[str, Sequence[ExplainedPhoto]], what: str, save_path: Path | None = None,
                      ) -> Figure:
    """Draw the same photos as several models see them, by the models' titles; see `SideBySide`."""
    return save_figure(SideBySide.from_explained(explained).draw(what), save_path)
