"""Draw how faithful heat maps are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.registry import BASELINES, title_of
from matlens.system.figures import COLORS, MUTED, new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = (("deletion", "Deletion (lower is better)", "Hottest cells blanked"),
           ("insertion", "Insertion (higher is better)", "Hottest cells put back"),
           ("road", "ROAD (gap: wider is better)", "Cells imputed"))


def plot_faithfulness(faithfulness: Faithfulness, model_name: str = "", save_path: Path | None = None) -> Figure:
    """Draw the curves of the maps and of both baselines; the legends hold the scores."""
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(12.6, 5.0, f"Are heat maps faithful? {faithfulness.n_photos} test photos", model_name)
    labels = {faithfulness.method: title_of(faithfulness.method), "random": "random map", "centre": "centre"}
    for axes, (name, heading, x) in zip(figure.subplots(1, 3, sharey=True), _PANELS, strict=True):
        style_axes(axes, heading, x, "Probability of the explained class" if name == "deletion" else "")
        for kind, color, marker in zip((faithfulness.method, *BASELINES), COLORS, "os^", strict=False):
            curves, label = faithfulness.curves[kind], f"{labels[kind]}: {faithfulness.scores[kind][name]:.3f}"
            if name == "road":
                axes.plot(faithfulness.removed, curves["most_first"], "-", marker=marker, color=color, label=label)
                axes.plot(faithfulness.removed, curves["least_first"], "--", marker=marker, color=color)
            else:
                axes.plot(faithfulness.fractions, curves[name], "-", marker=marker, markersize=4, color=color,
                          label=label)
        if name == "road":
            axes.plot([], [], "-", color=MUTED, label="hottest first")
            axes.plot([], [], "--", color=MUTED, label="coldest first")
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(0, 1.02)
        axes.legend(fontsize=8.5, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2,
                    title={"deletion": "Area", "insertion": "Area", "road": "Half the gap"}[name], title_fontsize=8.5,
                    alignment="left")
    return save_figure(figure, save_path)
