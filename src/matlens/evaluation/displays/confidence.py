"""Pictures of a model's confidence: reliability diagram, and what abstaining buys.

As in `displays.curves`: `from_...` takes what the results hold, the frozen dataclass holds, `draw` draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from matlens.evaluation.intervals import wilson
from matlens.evaluation.metrics.calibration import in_words, title_of
from matlens.evaluation.metrics.coverage import supported
from matlens.system.figures import COLORS, INK, MUTED, new_figure, style_axes
from matlens.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Reliability:
    """Bins with photos, from low to high confidence: confidence, accuracy and its interval, photos; all (M,)."""

    confidence: Floats
    accuracy: Floats
    low: Floats
    high: Floats
    n: Floats
    ece: float

    @classmethod
    def of(cls, bins: Any, ece: float) -> Reliability:
        """Take bins as `Calibration.to_json` gives them."""
        filled = [photos for photos in bins if photos["n"]]
        intervals = [wilson(photos["accuracy"] * photos["n"], photos["n"]) for photos in filled]
        columns = [[photos[key] for photos in filled] for key in ("confidence", "accuracy", "n")]
        confidence, accuracy, n = (np.array(column, dtype=np.float64) for column in columns)
        return cls(confidence, accuracy, np.array([interval.low for interval in intervals if interval]),
                   np.array([interval.high for interval in intervals if interval]), n, ece)


@dataclass(frozen=True)
class ReliabilityDiagram:
    """`plain`: as trained; `calibrated`: by the calibration that was chosen, if any. choice: that choice in words."""

    plain: Reliability
    calibrated: Reliability | None
    title: str
    choice: str = ""
    model_name: str = ""

    @classmethod
    def from_calibration(cls, calibration: Mapping[str, Any], model_name: str = "") -> ReliabilityDiagram:
        """Take `calibration` of a results file."""
        after = calibration.get("ece_after")
        return cls(Reliability.of(calibration["bins"], calibration["ece"]),
                   None if after is None else Reliability.of(calibration["bins_after"], after),
                   title_of(calibration), in_words(calibration), model_name)

    def draw(self) -> Figure:
        """Draw accuracy against confidence, with 95 % intervals; below it how photos spread over the confidence."""
        from matplotlib.ticker import PercentFormatter

        figure = new_figure(6.8, 6.2, "Reliability", self.model_name)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        style_axes(above, "on the dotted line a model is right as often as it says", "", "Photos that are right")
        style_axes(below, "", "Confidence (the largest probability)", "Photos")
        above.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1.2)
        self._draw_curve(above, self.plain, COLORS[0], "-", "o", f"as trained: ECE {100 * self.plain.ece:.1f} %")
        if self.calibrated:
            self._draw_curve(above, self.calibrated, COLORS[1], "--", "s",
                           f"{self.title}: ECE {100 * self.calibrated.ece:.1f} %")
        if self.choice:
            figure.supxlabel("\n".join(wrap(self.choice, 96)), fontsize=8, color=MUTED, parse_math=False)
        above.legend(fontsize=9, loc="upper left", framealpha=0.9, edgecolor="none")
        below.set_axisbelow(True)
        width = 0.011
        for curve, color, shift in ((self.plain, COLORS[0], -width), (self.calibrated, COLORS[1], width)):
            if curve:
                below.bar(curve.confidence + shift, curve.n, 2 * width, color=color)
        for axis in (above.xaxis, above.yaxis, below.xaxis):
            axis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
        above.set(xlim=(0, 1.03), ylim=(0, 1.02))
        return figure

    @staticmethod
    def _draw_curve(axes: Axes, curve: Reliability, color: str, line: str, marker: str, label: str) -> None:
        axes.errorbar(curve.confidence, curve.accuracy, yerr=[curve.accuracy - curve.low, curve.high - curve.accuracy],
                      fmt=marker, linestyle=line, color=color, linewidth=1.6, elinewidth=1, capsize=2.5, markersize=5,
                      markerfacecolor=color if marker == "o" else "white", label=label)


@dataclass(frozen=True)
class CoverageCurve:
    """coverage, accuracy: (M,) from the surest photos to all. targets: accuracy asked for, and the largest coverage."""

    coverage: Floats
    accuracy: Floats
    targets: tuple[tuple[float, float | None], ...]
    aurc: float
    model_name: str = ""

    @classmethod
    def from_coverage(cls, coverage: Mapping[str, Any], n: int, model_name: str = "") -> CoverageCurve:
        """Take `coverage` of a results file, which is of n photos."""
        points = [[point[key] for point in coverage["curve"]] for key in ("coverage", "accuracy")]
        return cls(np.array(points[0]), np.array(points[1]), tuple(supported(coverage["coverage_at"], n).items()),
                   coverage["aurc"], model_name)

    def draw(self) -> Figure:
        """Draw the accuracy on the photos answered against their share; marks show the share at each target."""
        from matplotlib.ticker import PercentFormatter

        figure = new_figure(6.8, 4.6, "Coverage and accuracy", self.model_name)
        axes = figure.subplots()
        style_axes(axes, f"answering only where the model is surest; area above the curve (AURC) {self.aurc:.4f}",
                   "Photos answered", "Answers that are right")
        axes.step(self.coverage, self.accuracy, where="post", color=COLORS[0], linewidth=1.8)
        axes.plot(self.coverage[-1:], self.accuracy[-1:], "o", color=INK, markersize=6, clip_on=False, zorder=4,
                  label=f"all answered: {100 * self.accuracy[-1]:.1f} % right")
        for (target, share), marker, color in zip(self.targets, "sD^", COLORS[1:4], strict=False):
            if share is not None and share < 1:
                axes.plot(share, target, marker, color=color, markersize=7, clip_on=False, zorder=3,
                          label=f"{100 * target:.0f} % right: {100 * share:.1f} % answered")
        floor = min(float(self.accuracy.min()), *(target for target, _ in self.targets)) if self.targets else float(
            self.accuracy.min())
        axes.set(xlim=(0, 1), ylim=(max(floor - 0.05, 0) if floor > 0.05 else 0, 1.01))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
        axes.legend(fontsize=9, framealpha=0.9, edgecolor="none")
        return figure
