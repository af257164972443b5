"""Draw explained photos as a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matlens.explanation.explained import ExplainedPhoto
from matlens.system.figures import INK, MUTED, elided, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PER_ROW = 4
_WRONG = "#b3261e"
_NAME = 26  # letters
_NOWHERE = "No heat maps (the photos are so small that the feature map has a single position)"


def plot_explained_grid(explained: Sequence[ExplainedPhoto], what: str, model_name: str = "",
                        save_path: Path | None = None) -> Figure:
    """Draw each photo beside its heat map, with the answer, its probability, the true class and the file's name.

    Where heat maps have a single position, there is nothing to show of them, and each photo is drawn alone.
    what: what the heat maps are, such as "Grad-CAM", for the title.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not explained:
        raise ValueError("no photos to draw")
    columns = min(_PER_ROW, len(explained))
    rows = -(-len(explained) // columns)
    height, width = explained[0].heat.shape
    is_map = height * width > 1
    heading = f"{what} ({height} x {width} grid)" if is_map else _NOWHERE
    figure = new_figure((3.6 if is_map else 2.2) * columns, 2.5 * rows + 0.5, heading, model_name)
    for axes in figure.subplots(rows, columns, squeeze=False).ravel():
        axes.axis("off")
    for axes, shown in zip(figure.axes, explained, strict=False):
        height, width = shown.photo.shape[:2]
        axes.imshow(shown.photo, extent=(0, width, height, 0))
        if is_map:
            axes.imshow(shown.overlay, extent=(width * 1.04, width * 2.04, height, 0))
            axes.set_xlim(0, width * 2.04)
        wrong = shown.truth is not None and shown.truth != shown.predicted
        axes.set_title(_said(shown, wrong), fontsize=9, parse_math=False, color=_WRONG if wrong else INK)
        if shown.name:
            axes.text(0.5, -0.02, elided(shown.name, _NAME), fontsize=7.5, color=MUTED, parse_math=False,
                      transform=axes.transAxes, ha="center", va="top")
    return save_figure(figure, save_path)


def _said(shown: ExplainedPhoto, wrong: bool) -> str:
    """Write the answer and its probability, and below it the true class, where that is another."""
    answer = f"{elided(shown.predicted)}, {100 * shown.probability:.0f} %"
    return f"predicted {answer}\n(true: {elided(shown.truth)})" if wrong and shown.truth else answer
