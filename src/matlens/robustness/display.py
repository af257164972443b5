"""Draw accuracy under perturbations, of one model or of several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matlens.robustness.curves import Robustness
from matlens.system.figures import COLORS, FAINT, MUTED, elided, new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 4
_MARKERS = "os^DvP*X"


def plot_robustness(by_title: Mapping[str, Robustness], save_path: Path | None = None) -> Figure:
    """Draw a panel for each perturbation that all models met, the weakest strength at the left, a line for each model.

    Dotted: the accuracy on photos as they are, and shaded: 95 % intervals (of one model); dashed: chance, 1 / classes.

    Args:
        by_title: what was measured of each model, by the models' titles.

    Raises:
        ValueError: there is nothing to draw.
    """
    from matplotlib.ticker import PercentFormatter

    if not by_title:
        raise ValueError("no model to draw")
    first = next(iter(by_title.values()))
    curves = {name: curve for name, curve in first.curves.items()
              if all(name in other.curves for other in by_title.values())}
    alone = len(by_title) == 1
    rows = -(-len(curves) // _COLUMNS)
    counts = sorted({measured.n_photos for measured in by_title.values()})
    photos = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    figure = new_figure(3.1 * _COLUMNS, 2.5 * rows + 0.7, f"Accuracy on degraded photos ({photos} test photos)",
                        next(iter(by_title)) if alone else "")
    grid = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(curves):]:
        axes.set_axis_off()
    for position, (axes, (name, curve)) in enumerate(zip(grid.ravel(), curves.items(), strict=False)):
        style_axes(axes, curve["title"], curve["unit"], "Accuracy" if position % _COLUMNS == 0 else "")
        x = np.arange(len(curve["strengths"]) + 1)
        for (title, measured), color, marker in zip(by_title.items(), COLORS, _MARKERS, strict=False):
            axes.plot(x, [measured.accuracy, *measured.curves[name]["accuracy"]], "-", marker=marker, markersize=4,
                      color=color, label=elided(title), linewidth=1.6)
        if alone and all(curve.get("interval") or [None]):
            ends = curve["interval"]
            axes.fill_between(x[1:], [each["low"] for each in ends], [each["high"] for each in ends], color=COLORS[0],
                              alpha=0.2, linewidth=0)
        if alone:
            axes.axhline(first.accuracy, color=MUTED, linestyle=":", linewidth=1)
        axes.axhline(1 / len(first.per_class), color=FAINT, linestyle="--", linewidth=1)
        axes.set_xticks(x, ["as is", *(f"{strength:g}" for strength in curve["strengths"])], fontsize=8)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    if not alone:
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return save_figure(figure, save_path)
