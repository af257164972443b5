"""What the page shows of all models together: intervals on one scale, and pictures of the comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from matlens.comparison.compared import ComparedModels
from matlens.comparison.displays import PICTURE_NAME
from matlens.explanation.side_by_side import SIDE_BY_SIDE
from matlens.report.downloads import link_to
from matlens.report.sections.pictures import Picture, read_picture
from matlens.report.verdict import accuracy_interval
from matlens.report.words import Ends

SIDE_BY_SIDE_SHOWN = 4

_STEP = 0.05


@dataclass(frozen=True)
class IntervalPlot:
    """The scale on which the accuracies of all models are drawn, from `low` to `high`; `ends` by model."""

    low: float
    high: float
    ends: dict[str, Ends | None]

    @classmethod
    def of(cls, comparison: ComparedModels) -> IntervalPlot:
        """Choose a scale that holds all intervals, its ends at multiples of 5 %."""
        ends = {row.model: accuracy_interval(row) for row in comparison.rows}
        values = [value for row in comparison.rows for value in (row.accuracy, *(ends[row.model] or ()))]
        low = max(math.floor(min(values) / _STEP + 1e-9) * _STEP, 0.0)
        high = min(math.ceil(max(values) / _STEP - 1e-9) * _STEP, 1.0)
        return cls(low, high, ends) if high > low else cls(max(high - _STEP, 0.0), max(high, _STEP), ends)

    def at(self, share: float) -> str:
        """Say where a share lies, 0 to 100 from the left."""
        return f"{100 * (share - self.low) / (self.high - self.low):.2f}"


def comparison_pictures(run_dir: Path, comparison: ComparedModels) -> tuple[Picture, ...]:
    """Read the pictures of several models: differences, the same photos side by side, accuracy on degraded photos."""
    reports = run_dir / "reports"
    wanted = []
    if comparison.pairs and comparison.pairs.tests:
        wanted.append((PICTURE_NAME, "model_comparison", "Differences between models",
                       "Of accuracy, on the same photos, with simultaneous 95 % intervals; filled marks are "
                       "significant differences.",
                       "Differences of accuracy between models: the figures are in the table of pairs."))
    wanted += [(path.name, SIDE_BY_SIDE, "Side by side",
                "Heat maps of all models over the same photos, on one colour scale.",
                "Heat maps of all models over the same photos, side by side.")
               for path in sorted(reports.glob(f"{SIDE_BY_SIDE}_*.png"))[:SIDE_BY_SIDE_SHOWN]]
    wanted.append(("robustness.png", "robustness", "Accuracy on degraded photos",
                   "One line for each model; dashed: chance.",
                   "Accuracy of all models under perturbations: the figures are in the models' tables."))
    pictures = (read_picture(reports / name, kind, title, caption, alt, link_to(f"reports/{name}"))
             for name, kind, title, caption, alt in wanted)
    return tuple(picture for picture in pictures if picture)
