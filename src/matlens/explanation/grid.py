"""Draw explained photos as a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matlens.explanation.explained import ExplainedPhoto
from matlens.system.figures import INK, elided, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PER_ROW = 4
_WRONG = "#b3261e"
_NOWHERE = "No heat maps (the photos are so small that the feature map has one place)"


def plot_explained_grid(explained: Sequence[ExplainedPhoto], what: str, model_name: str = "",
                        save_path: Path | None = None) -> Figure:
    """Draw each photo beside its heat map, with the answer, its probability and, where that is known, the truth.

    what: what the heat maps are, such as "Grad-CAM", for the title.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not explained:
        raise ValueError("no photos to draw")
    columns = min(_PER_ROW, len(explained))
    rows = -(-len(explained) // columns)
    height, width = explained[0].heat.shape
    heading = f"{what} on {height} x {width} places" if height * width > 1 else _NOWHERE
    figure = new_figure(3.6 * columns, 2.3 * rows + 0.5, heading, model_name)
    for axes in figure.subplots(rows, columns, squeeze=False).ravel():
        axes.axis("off")
    for axes, shown in zip(figure.axes, explained, strict=False):
        height, width = shown.photo.shape[:2]
        axes.imshow(shown.photo, extent=(0, width, height, 0))
        axes.imshow(shown.overlay, extent=(width * 1.04, width * 2.04, height, 0))
        axes.set_xlim(0, width * 2.04)
        said = f"{elided(shown.predicted)} {shown.probability:.0%}"
        wrong = shown.truth is not None and shown.truth != shown.predicted
        axes.set_title(f"{said}\nnot {elided(shown.truth)}" if wrong and shown.truth else said, fontsize=9,
                       parse_math=False, color=_WRONG if wrong else INK)
    return save_figure(figure, save_path)
