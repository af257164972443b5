"""Draw the pictures of docs/evaluation.md from simulated test parts: python benchmarks/draw_statistics.py"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from simulate_intervals import evidence, group_numbers, winners_are_corrected

from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.intervals import Interval, mean_interval
from matlens.system.figures import COLORS, MUTED, new_figure, save_figure, style_axes

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"


def draw_groups() -> None:
    """Twenty test parts of 430 photos in groups of ten: intervals that ignore groups, and that go by them."""
    rng, groups = np.random.default_rng(5), group_numbers(430, 10)
    right = [evidence(rng, groups, 1)[:, 0] < 0.9 for _ in range(20)]
    true = 0.816
    figure = new_figure(7.5, 3.4, "Groups", "")
    for axes, heading, together in zip(figure.subplots(1, 2, sharey=True), (
            "as if photos were independent", "by groups"), (None, Groups.of(groups)), strict=True):
        style_axes(axes, heading, "Accuracy in 20 test parts, 95 % intervals")
        for row, part in enumerate(right):
            interval = mean_interval(part.astype(float), together)
            assert interval is not None
            holds = interval.low <= true <= interval.high
            axes.hlines(row, interval.low, interval.high, color=COLORS[0] if holds else COLORS[1], linewidth=2)
        axes.axvline(true, color=MUTED, linestyle=":")
        axes.set(yticks=[], xlim=(0.66, 0.96))
    save_figure(figure, FOLDER / "groups.svg")


def draw_choosing() -> None:
    """By how much the best of equal models is too high, and what is left after the correction."""
    numbers = (2, 3, 5, 7, 10)
    found = [winners_are_corrected(431, 1, models, 1, 300) for models in numbers]
    figure = new_figure(5.5, 3.2, "Choosing", "")
    axes = figure.subplots()
    style_axes(axes, "equally good models, 431 test photos", "Models to choose from", "Points too high")
    axes.axhline(0, color=MUTED, linewidth=1)
    for key, color, label in (("before", COLORS[1], "the best, as measured"), ("after", COLORS[0], "corrected")):
        axes.plot(numbers, [100 * each[key] for each in found], "o-", color=color, label=label)
    axes.legend(frameon=False, fontsize=9)
    save_figure(figure, FOLDER / "choosing.svg")


def draw_differences() -> None:
    """What an interval of a difference says with a margin of two points."""
    cases = (("better", Interval(0.006, 0.052, "tango")), ("better, and equivalent", Interval(0.002, 0.016, "tango")),
             ("equivalent", Interval(-0.013, 0.009, "tango")), ("undecided", Interval(-0.021, 0.047, "tango")))
    figure = new_figure(6.5, 2.6, "Differences", "")
    axes = figure.subplots()
    style_axes(axes, "--margin 2", "Difference of accuracy, percentage points")
    axes.axvspan(-2, 2, color=COLORS[2], alpha=0.15, linewidth=0)
    axes.axvline(0, color=MUTED, linestyle=":")
    for row, (_, interval) in enumerate(cases):
        axes.hlines(row, 100 * interval.low, 100 * interval.high, color=COLORS[0], linewidth=3)
        axes.plot(50 * (interval.low + interval.high), row, "o", color=COLORS[0])
    axes.set_yticks(range(len(cases)), [name for name, _ in cases])
    axes.set_ylim(len(cases) - 0.5, -0.5)
    save_figure(figure, FOLDER / "differences.svg")


def main() -> None:
    """Draw all of them."""
    matplotlib.rcParams["svg.fonttype"] = "none"  # letters as letters: a sixth of the size
    FOLDER.mkdir(exist_ok=True)
    draw_groups()
    draw_choosing()
    draw_differences()


if __name__ == "__main__":
    main()
