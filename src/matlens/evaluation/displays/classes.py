"""Pictures of single classes: their scores with intervals, and which of them are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matlens.system.figures import COLORS, INK, MUTED, class_labels, elided, new_figure, style_axes, text_width
from matlens.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAIRS_SHOWN = 15


@dataclass(frozen=True)
class ClassScores:
    """Classes, the best F1 first: `scores[name]` is (C, 3), a score and its interval; NaN where it is unknown."""

    labels: tuple[str, ...]
    scores: dict[str, Floats]
    model_name: str = ""

    @classmethod
    def from_results(cls, per_class: Mapping[str, Mapping[str, Any]], intervals: Mapping[str, Any],
                     model_name: str = "") -> ClassScores:
        """Take `per_class` and `intervals["per_class"]` of a results file. Classes without a photo come last."""
        names = sorted(per_class, key=lambda name: (not per_class[name]["support"], -per_class[name]["f1"]))
        labels = dict(zip(per_class, class_labels(list(per_class)), strict=True))

        def row(name: str, score: str) -> list[float]:
            ends = (intervals.get(name) or {}).get(score) or {}
            known = per_class[name]["support"] or ends
            return [per_class[name][score] if known else np.nan, ends.get("low", np.nan), ends.get("high", np.nan)]

        return cls(tuple(f"{labels[name]} (n={per_class[name]['support']:,})" for name in names),
                   {score: np.array([row(name, score) for name in names]) for score in ("recall", "precision", "f1")},
                   model_name)

    def draw(self) -> Figure:
        """Draw a line for each class: recall and precision as marks with their 95 % intervals, F1 as a stroke."""
        from matplotlib.ticker import PercentFormatter

        n = len(self.labels)
        pitch = 0.36 if n <= 30 else 0.26  # inches a class
        font = 9 if n <= 30 else 8
        label_width = max(text_width(label, font) for label in self.labels)
        figure = new_figure(5.2 + label_width, 1.7 + pitch * n, "Classes", self.model_name)
        axes = figure.subplots()
        style_axes(axes, "the best F1 first; lines are 95 % intervals", "Score")
        places = np.arange(n)
        for score, color, marker, shift in (("recall", COLORS[0], "o", -0.17), ("precision", COLORS[1], "D", 0.17)):
            value, low, high = self.scores[score].T
            axes.hlines(places + shift, low, high, color=color, linewidth=1.4, alpha=0.8)
            axes.plot(value, places + shift, marker, color=color, markersize=5, linestyle="none", clip_on=False,
                      label={"recall": "recall: of its photos, those found",
                             "precision": "precision: of its answers, those right"}[score])
        axes.plot(self.scores["f1"][:, 0], places, "|", color=INK, markersize=9, markeredgewidth=1.6, linestyle="none",
                  clip_on=False, label="F1")
        axes.set_yticks(places, self.labels, fontsize=font, parse_math=False)
        axes.set(ylim=(n - 0.4, -0.6), xlim=(0, 1))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9, frameon=False)
        return figure


@dataclass(frozen=True)
class ConfusedPairs:
    """Mistakes by kind, the most frequent first: labels, photos of the true class so answered, share and interval."""

    labels: tuple[str, ...]
    texts: tuple[str, ...]
    shares: Floats
    model_name: str = ""

    @classmethod
    def from_results(cls, pairs: Sequence[Mapping[str, Any]], model_name: str = "", most: int = _PAIRS_SHOWN,
                     ) -> ConfusedPairs:
        """Take `confused_pairs` of a results file. shares: (M, 3), the share of the true class and its interval."""
        shown = pairs[:most]
        support = [round(pair["photos"] / pair["share"]) for pair in shown]
        return cls(tuple(f"{elided(pair['true'])} \u2192 {elided(pair['predicted'])}" for pair in shown),
                   tuple(f"{pair['photos']:,} of {n:,}" for pair, n in zip(shown, support, strict=True)),
                   np.array([[pair["share"], pair["interval"]["low"], pair["interval"]["high"]] for pair in shown]
                            ).reshape(-1, 3), model_name)

    def draw(self) -> Figure:
        """Draw a bar for each kind of mistake, true class to answer."""
        from matplotlib.ticker import PercentFormatter

        n = len(self.labels)
        label_width = max((text_width(label, 9) for label in self.labels), default=0)
        figure = new_figure(4.6 + label_width, 1.5 + 0.32 * max(n, 1), "Most confused pairs", self.model_name)
        if not n:
            figure.text(0.012, 0.5, "there is no mistake", color=MUTED)
            return figure
        axes = figure.subplots()
        style_axes(axes, "true class \u2192 answer; lines are 95 % intervals", "Share of the true class")
        places, (share, low, high) = np.arange(n), self.shares.T
        axes.barh(places, share, 0.62, color=COLORS[0])
        axes.hlines(places, low, high, color=INK, linewidth=1.2)
        for place, end, text in zip(places, high, self.texts, strict=True):
            axes.annotate(text, (end, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5,
                          color=MUTED)
        axes.set_yticks(places, self.labels, fontsize=9, parse_math=False)
        axes.set(ylim=(n - 0.4, -0.6), xlim=(0, float(high.max()) * 1.22))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %", decimals=0))
        return figure
