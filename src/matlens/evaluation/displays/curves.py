"""Pictures of one judged model: training curves, confusion matrix, ROC curves.

Computing, holding and drawing are separate, as in scikit-learn's displays: `from_...` computes, the frozen
dataclass holds, `draw` makes a matplotlib Figure. pyplot and rcParams are left alone, so nothing leaks and
threads do not meet. The guide's `plot_...` functions draw, write the file if asked (whole or not at all; its
suffix chooses the format, without one PNG) and return the Figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.names_and_columns import checked_names
from matlens.system.figures import (
    CHARACTER,
    COLORS,
    FAINT,
    INK,
    MUTED,
    TITLE_WIDTH,
    class_labels,
    new_figure,
    save_figure,
    style_axes,
)
from matlens.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = ("#e3f1ec", "#62b3a4", "#2a6f8e", "#1b2a49")  # steadily darker, so told apart without colours too
DARK = 0.53  # the share from which white letters have more contrast than black ones
MANY_CLASSES, NAMED_CLASSES = 10, 5  # the ROC legend names every class, or of many only the worst
SMALLEST_NUMBER = 6.0  # points
_AXES = {"loss": "Loss (cross-entropy)", "accuracy": "Photos that are right", "learning_rate": "Learning rate"}
_TRIED = {"strength": "Strength of the penalty", "neighbours": "Neighbours that vote"}
"""What a model without epochs may have tried, with the words below an axis."""


@dataclass(frozen=True)
class TrainingCurves:
    """`series`: values by epoch of `loss`, `val_loss`, `accuracy`, `val_accuracy`, `learning_rate`, as known.

    `best_epoch` is the epoch that was kept, counted from 1; where nobody says, that of the lowest validation loss; None
    where that loss is unknown.
    With `strength` in `series`, each value is that of a head fitted with such a strength of the penalty, and not of an
    epoch; with `neighbours`, of a head in which so many photos vote.
    """

    series: dict[str, Floats]
    best_epoch: int | None
    model_name: str = ""

    @classmethod
    def from_history(cls, history: Any, model_name: str = "", best_epoch: int | None = None) -> TrainingCurves:
        """Take a mapping of lists or a Keras History; None and NaN (a diverged loss) leave a gap."""
        given: Mapping[str, Any] = getattr(history, "history", history)
        series = {key: np.asarray(given[key], dtype=np.float64)
                  for key in ("loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", *_TRIED)
                  if given.get(key) is not None and len(given[key])}
        losses = series.get("val_loss", np.empty(0))
        if best_epoch is None and np.isfinite(losses).any():
            best_epoch = int(np.nanargmin(losses)) + 1
        return cls(series, best_epoch, model_name)

    def draw(self) -> Figure:
        """Draw a panel each for loss, accuracy and learning rate, as far as they are known."""
        panels = [key for key in ("loss", "accuracy", "learning_rate")
                  if key in self.series or f"val_{key}" in self.series]
        figure = new_figure(1.2 + 4.1 * max(len(panels), 1), 3.9, "Training curves", self.model_name)
        if not panels:
            figure.text(0.012, 0.8, "no epoch was recorded", color=MUTED)
            return figure
        for key, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
            self._draw_panel(axes, key)
        return figure

    def _places(self, count: int) -> Floats:
        """Return where the first so many values stand on the horizontal axis."""
        tried = self._tried
        return np.arange(1, count + 1, dtype=np.float64) if tried is None else self.series[tried][:count]

    @property
    def _tried(self) -> str | None:
        """What was tried in place of epochs, if anything was."""
        return next((name for name in _TRIED if name in self.series), None)

    @property
    def _best_place(self) -> float:
        return float(self._places(self.best_epoch or 1)[-1])

    def _draw_panel(self, axes: Axes, key: str) -> None:
        from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

        tried = self._tried
        across = "Epoch" if tried is None else _TRIED[tried]
        style_axes(axes, "", across, _AXES[key])
        blue, orange, green = COLORS[:3]
        first = (key, green, "-", "") if key == "learning_rate" else (key, blue, "--", "training")
        longest = 0
        for name, color, line, label in (first, (f"val_{key}", orange, "-", "validation")):
            if (values := self.series.get(name)) is None:
                continue
            longest = max(longest, len(values))
            axes.plot(self._places(len(values)), values, line, color=color, label=label, linewidth=1.8,
                      marker="o" if len(values) <= 30 else "", markersize=5,
                      drawstyle="default" if label else "steps-mid")
            if name.startswith("val_") and self.best_epoch and self.best_epoch <= len(values):
                best = values[self.best_epoch - 1]
                shown = f"{100 * best:.1f} %" if key == "accuracy" else f"{best:.3g}"
                kept = f"best epoch ({self.best_epoch})" if tried is None else f"chosen ({self._best_place:g})"
                axes.plot(self._best_place, best, "*", color=INK, markersize=12, zorder=3, label=f"{kept}: {shown}")
        if self.best_epoch:
            axes.axvline(self._best_place, color=MUTED, linestyle=":", linewidth=1.2, zorder=1)
        if tried is None:
            axes.set_xlim(0.5, max(longest, self.best_epoch or 1) + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        else:
            axes.set_xscale("log")
            if tried == "strength":
                axes.invert_xaxis()  # the order in which they were tried
        if key == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
        if key == "learning_rate":
            rates = np.unique(self.series[key])
            if rates[0] > 0 and len(rates) <= 5:  # plateaus: name each; a long schedule has ticks of its own
                if len(rates) > 1:  # a logarithmic scale of one very small rate has no width
                    axes.set_yscale("log")
                axes.set_yticks(rates, [f"{rate:.3g}" for rate in rates])
                axes.yaxis.set_minor_locator(NullLocator())
        axes.margins(y=0.12)
        if key != "learning_rate":
            axes.legend(fontsize=9, framealpha=0.9, edgecolor="none")


@dataclass(frozen=True)
class ConfusionMatrix:
    """`cells` (C, C), rows = truth: photos, or (`normalized`) shares of the true class, 0 in an empty row.

    `support` (C,): photos of each true class; None where only shares were given.
    """

    cells: Floats
    support: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    normalized: bool = False
    model_name: str = ""

    @classmethod
    def from_matrix(cls, cm: npt.ArrayLike, class_names: Sequence[str] | None = None, model_name: str = "",
                    normalize: bool = False) -> ConfusionMatrix:
        """Take counts, or fractions normalised before. Raises ValueError unless (C, C) for C names, and LabelsError."""
        given = np.asarray(cm)
        names = tuple(map(str, range(len(given))))
        if class_names is not None and names:
            names = checked_names(class_names)
        if not names or given.shape != (len(names), len(names)):
            raise ValueError(f"a confusion matrix of {len(names)} classes cannot have shape {given.shape}")
        cells = np.nan_to_num(given.astype(np.float64))
        if given.dtype.kind == "f" and cells.max() <= 1:
            return cls(cells, None, names, True, model_name)
        support = cells.sum(axis=1)
        shares = cells / np.maximum(support, 1)[:, None]
        return cls(shares if normalize else cells, support.astype(np.int64), names, normalize, model_name)

    def _heading(self) -> str:
        kind = "share of each row" if self.normalized else "numbers: photos; colours: share of the row"
        if self.support is None or not self.support.any():
            return kind
        right = float(np.diag(self.cells) @ (self.support if self.normalized else np.ones(len(self.support))))
        return f"{self.support.sum():,} photos, {100 * (right / self.support.sum()):.1f} % right; {kind}"

    @property
    def shares(self) -> Floats:
        """(C, C) of the photos of each true class, those that got an answer; 0 in an empty row."""
        return self.cells if self.normalized else self.cells / np.maximum(self.cells.sum(axis=1), 1)[:, None]

    def draw(self) -> Figure:
        """Draw the matrix, coloured by the share of the true class, so that classes of any size compare.

        Each cell holds its number as long as one can read it; beyond that there is a colour bar.
        """
        from matplotlib.colors import LinearSegmentedColormap

        n, labels = len(self.class_names), class_labels(self.class_names)
        rows = labels if self.support is None else [
            f"{text} (n={count:,})" for text, count in zip(labels, self.support, strict=True)]
        texts = np.array([[f"{v:.2f}" if self.normalized else f"{v:.0f}" for v in row] for row in self.cells])
        side = min(max(0.42 * n, 3.6), 17.0)  # inches
        cell = 72 * side / n  # points, as all lengths of text
        font = min(10.0, max(6.5, CHARACTER * cell))
        number = min(11.0, 0.85 * cell / (CHARACTER * max(3, *map(len, texts.flat))))
        readable = number >= SMALLEST_NUMBER
        across, down = (CHARACTER * font * max(map(len, words)) for words in (rows, labels))
        turn = 0 if down < 0.95 * cell else 45 if n <= 12 else 90
        width = side + across / 72 + (0.6 if readable else 1.6)
        height = side + {0: font, 45: 0.72 * down, 90: down}[turn] / 72 + 1.3
        figure = new_figure(width, height, "Confusion matrix", self.model_name)
        axes = figure.subplots()
        shades = LinearSegmentedColormap.from_list("shares", SHADES).with_extremes(under="#f7f7f7")  # 0 steps back
        mesh = axes.pcolormesh(self.shares, vmin=1e-9, vmax=1, cmap=shades, edgecolors="white",
                               linewidth=1.0 if readable else 0.2)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        style_axes(axes, self._heading(), "Predicted class", "True class", grid=False)
        axes.spines[:].set_visible(False)
        if not readable:
            bar = figure.colorbar(mesh, ax=axes, label="share of the true class", shrink=0.5, pad=0.02)
            bar.outline.set_visible(False)
        for (row, column), text in np.ndenumerate(texts) if readable else ():
            color = MUTED if not self.cells[row, column] else "w" if self.shares[row, column] > DARK else ".15"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=number, color=color)
        axes.tick_params(length=0)
        ha, va = ("right", "center") if turn else ("center", "top")
        axes.set_xticks(np.arange(n) + 0.5, labels, rotation=turn, fontsize=font, parse_math=False,
                        ha=ha, va=va, rotation_mode="anchor")
        axes.set_yticks(np.arange(n) + 0.5, rows, rotation=0, fontsize=font, parse_math=False)
        return figure


@dataclass(frozen=True)
class RocCurves:
    """Label: (fpr (P,), tpr (P,), auc). `auc` is None where a class has no positive or no negative photo."""

    averages: dict[str, tuple[Floats, Floats, float | None]]
    classes: dict[str, tuple[Floats, Floats, float | None]]
    model_name: str = ""

    @classmethod
    def from_roc_data(cls, roc_data: Mapping[str, Any], model_name: str = "") -> RocCurves:
        """Take {'per_class': {name: curve}, 'micro': curve, 'macro': curve}; a curve: fpr, tpr, auc."""
        def curve(given: Mapping[str, Any] | None) -> tuple[Floats, Floats, float | None]:
            if not given or given.get("auc") is None or np.isnan(given["auc"]):
                return np.empty(0), np.empty(0), None
            return np.asarray(given["fpr"], float), np.asarray(given["tpr"], float), float(given["auc"])

        names = list(roc_data["per_class"])
        return cls({f"{name} average": curve(roc_data.get(name)) for name in ("micro", "macro")},
                   {label: curve(roc_data["per_class"][name])
                    for name, label in zip(names, class_labels(names), strict=True)}, model_name)

    def draw(self) -> Figure:
        """Draw every curve; the legend names each class, or of more than ten the five with the lowest AUC."""
        figure = new_figure(0, 4.9, "ROC curves", self.model_name)
        axes = figure.subplots()
        style_axes(axes, "one class against the rest", "False positive rate", "True positive rate")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
        handles: list[Any] = []
        for (label, (fpr, tpr, auc)), line in zip(self.averages.items(), ("-", "--"), strict=True):
            handles += axes.plot(fpr, tpr, line, color=INK, linewidth=2.4, zorder=4,
                                 label=f"{label}: {'undefined' if auc is None else f'{auc:.3f}'}")
        aucs = {label: auc for label, (_, _, auc) in self.classes.items() if auc is not None}
        many = len(self.classes) > MANY_CLASSES
        named = sorted(aucs, key=aucs.__getitem__)[:NAMED_CLASSES] if many else list(aucs)
        for label, color, line in zip(named, COLORS, ["-"] * 5 + ["-."] * 5, strict=False):
            handles += axes.plot(*self.classes[label][:2], line, color=color, linewidth=1.5, zorder=3,
                                 label=f"{label}: {aucs[label]:.3f}")
        rest = [axes.plot(*self.classes[label][:2], color=FAINT, linewidth=0.7, zorder=2,
                          label=f"{len(aucs) - len(named)} other classes: higher")[0]
                for label in aucs if label not in named]
        undefined = [label for label in self.classes if label not in aucs]
        if len(undefined) > MANY_CLASSES:
            undefined[NAMED_CLASSES:] = [f"{len(undefined) - NAMED_CLASSES} more classes"]
        handles += rest[:1] + [axes.plot([], [], " ", label=f"{c}: no test photos")[0] for c in undefined]
        legend = figure.legend(handles=handles, loc="outside right upper", title="Area under the curve",
                               fontsize=9, title_fontsize=9, alignment="left", frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
        width = 5.6 + CHARACTER * 9 / 72 * max(len(text.get_text()) for text in legend.get_texts())
        figure.set_figwidth(max(width, TITLE_WIDTH))
        return figure


def plot_training_curves(history: Any, model_name: str, save_path: Path | str | None = None) -> Figure:
    """Draw loss, accuracy and learning rate by epoch; `history` is a mapping of lists or a Keras History."""
    return save_figure(TrainingCurves.from_history(history, model_name).draw(), save_path)


def plot_confusion_matrix(cm: npt.ArrayLike, class_names: Sequence[str] | None = None, model_name: str = "",
                          normalize: bool = False, save_path: Path | str | None = None) -> Figure:
    """Draw `cm` (C, C), rows = truth; `normalize` divides each row by its sum. Raises ValueError."""
    return save_figure(ConfusionMatrix.from_matrix(cm, class_names, model_name, normalize).draw(), save_path)


def plot_roc_curves(roc_data: Mapping[str, Any], model_name: str = "",
                    save_path: Path | str | None = None) -> Figure:
    """Draw one-against-the-rest ROC curves; `roc_data` as `RocCurves.from_roc_data` takes it."""
    return save_figure(RocCurves.from_roc_data(roc_data, model_name).draw(), save_path)
