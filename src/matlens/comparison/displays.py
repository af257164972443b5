"""A picture of a comparison: by how much models differ, photo by photo, and which differences are real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matlens.comparison.paired_test import PairedTest
from matlens.comparison.pairwise import Pairwise
from matlens.comparison.series import SeriesComparison
from matlens.comparison.table import Comparison
from matlens.system.figures import COLORS, MUTED, elided, new_figure, save_figure, style_axes, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_NAME = "model_comparison.png"
_MANY = 21
"""Pairs (of seven models). Of more only those with the first model are drawn."""


@dataclass(frozen=True)
class Differences:
    """Pairs of models, in the order of the table."""

    tests: tuple[PairedTest, ...]
    left_out: int = 0

    @classmethod
    def from_pairs(cls, pairs: Pairwise) -> Differences:
        """Take all pairs, or of many those with the first model."""
        tests = pairs.tests
        if len(tests) > _MANY:
            tests = tuple(test for test in tests if test.first == tests[0].first)
        return cls(tests, len(pairs.tests) - len(tests))

    def draw(self) -> Figure:
        """Draw each difference of accuracy with its 95 % interval; filled marks are real differences at 5 %."""
        labels = [f"{elided(test.first)} minus {elided(test.second)}" for test in self.tests]
        n = len(labels)
        heading = ("same photos; lines are simultaneous 95 % intervals"
                   + f"; {self.left_out:,} more pairs" * bool(self.left_out))
        width = max(4.6, text_width(heading, 10)) + max((text_width(label, 9) for label in labels), default=0)
        figure = new_figure(width, 1.8 + 0.4 * max(n, 1), "Differences between models", "")
        if not n:
            figure.text(0.012, 0.5, "there is no pair of models on the same photos", color=MUTED)
            return figure
        axes = figure.subplots()
        style_axes(axes, heading, "Difference of accuracy, percentage points")
        axes.axvline(0, color=MUTED, linewidth=1.2, linestyle=":")
        for kind, color, face, label in ((True, COLORS[0], COLORS[0], "significant at 5 %, all pairs together"),
                                         (False, COLORS[3], "white", "not significant at 5 %")):
            chosen = [(place, test) for place, test in enumerate(self.tests) if test.is_real is kind]
            for place, test in chosen:
                if test.interval:
                    axes.hlines(place, 100 * test.interval.low, 100 * test.interval.high, color=color, linewidth=2)
            if chosen:
                axes.plot([100 * test.difference for _, test in chosen], [place for place, _ in chosen], "o",
                          color=color, markerfacecolor=face, markersize=7, linestyle="none", label=label)
        axes.set_yticks(np.arange(n), labels, fontsize=9, parse_math=False)
        axes.set(ylim=(n - 0.4, -0.6))
        axes.margins(x=0.08)
        axes.tick_params(axis="y", length=0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9, frameon=False)
        return figure


def draw_differences(comparison: Comparison | SeriesComparison, folder: Path, *, svg: bool = False) -> None:
    """Write model_comparison.png (and .svg) into a folder, where models were compared photo by photo."""
    picture = folder / PICTURE_NAME
    if isinstance(comparison, SeriesComparison) or not comparison.pairs or not comparison.pairs.tests:
        for old in (picture, picture.with_suffix(".svg")):  # of more models, before
            old.unlink(missing_ok=True)
        return
    figure = save_figure(Differences.from_pairs(comparison.pairs).draw(), picture)
    if svg:
        save_figure(figure, picture.with_suffix(".svg"))
