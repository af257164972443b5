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
_INCHES, _TITLE = 1.75, 0.5  # inches: a photo's width, and the height of the title
_BETWEEN, _APART, _ABOVE, _BELOW = 0.04, 0.12, 0.26, 0.16  # photo widths: beside a photo, and between pairs
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
    wide, tall = (2 + _BETWEEN if is_map else 1), max(_tall(shown) for shown in explained)
    across, down = columns * wide + (columns - 1) * _APART, rows * (tall + _ABOVE + _BELOW)  # photo widths
    figure = new_figure(_INCHES * across + 0.2, _INCHES * down + _TITLE, heading, model_name, placed=True)
    full_width, full_height = figure.get_size_inches()
    for place, shown in enumerate(explained):
        row, column = divmod(place, columns)
        left, bottom = column * (wide + _APART), (rows - 1 - row) * (tall + _ABOVE + _BELOW) + _BELOW
        own = _tall(shown)
        axes = figure.add_axes(((_INCHES * left + 0.1) / full_width, _INCHES * bottom / full_height,
                                _INCHES * wide / full_width, _INCHES * own / full_height))
        axes.axis("off")
        axes.imshow(shown.photo, extent=(0, 1, 0, own), aspect="auto")
        if is_map:
            axes.imshow(shown.overlay, extent=(1 + _BETWEEN, wide, 0, own), aspect="auto")
        axes.set(xlim=(0, wide), ylim=(0, own))
        wrong = shown.truth is not None and shown.truth != shown.predicted
        axes.set_title(_said(shown, wrong), fontsize=9, pad=4, parse_math=False, color=_WRONG if wrong else INK)
        if shown.name:
            axes.text(wide / 2, -0.03, elided(shown.name, _NAME), fontsize=7.5, color=MUTED, parse_math=False,
                      ha="center", va="top")
    return save_figure(figure, save_path)


def _tall(shown: ExplainedPhoto) -> float:
    """Return a photo's height by its width."""
    height, width = shown.photo.shape[:2]
    return float(height / width)


def _said(shown: ExplainedPhoto, wrong: bool) -> str:
    """Write the answer and its probability, and below it the true class, where that is another."""
    answer = f"{elided(shown.predicted)}, {100 * shown.probability:.0f} %"
    return f"predicted {answer}\n(true: {elided(shown.truth)})" if wrong and shown.truth else answer
