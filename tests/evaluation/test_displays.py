"""What a user would lose: a picture that can be read, tells the truth, and leaves no trace behind."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from figure_checks import NAMES, assert_nothing_cut_off, texts
from matlens.errors import LabelsError
from matlens.evaluation.displays.curves import (
    SHADES,
    ConfusionMatrix,
    TrainingCurves,
    plot_confusion_matrix,
    plot_roc_curves,
    plot_training_curves,
)
from matlens.system.figures import COLORS, class_labels, elided


def curve(auc: float | None) -> dict[str, Any]:
    return {"fpr": np.array([0.0, 0.5, 1.0]), "tpr": np.array([0.0, 0.8, 1.0]), "auc": auc}


def roc_data(aucs: dict[str, float | None]) -> dict[str, Any]:
    return {"per_class": {name: curve(auc) for name, auc in aucs.items()}, "micro": curve(0.95),
            "macro": curve(0.9)}


def history(epochs: int) -> dict[str, list[float]]:
    falling = [1.0 / (i + 1) for i in range(epochs)]
    rising = [1 - loss for loss in falling]
    return {"loss": falling, "val_loss": falling, "accuracy": rising, "val_accuracy": rising,
            "learning_rate": [1e-3] * epochs}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_no_label_of_a_confusion_matrix_is_cut_off_or_overlaps(names: list[str]) -> None:
    figure = plot_confusion_matrix(np.diag([1234] * len(names)) + 7, names, "m" * 80, len(names) == 6)
    assert_nothing_cut_off(figure)
    for axis, side in ((figure.axes[0].xaxis, "x0"), (figure.axes[0].yaxis, "y0")):
        starts = [getattr(label.get_window_extent(), side) for label in axis.get_ticklabels()]
        assert len(starts) == len(names)
        assert all(abs(b - a) > 6 for a, b in pairwise(starts))  # each name has a line of its own


def test_curves_of_a_head_without_epochs_stand_over_the_strengths_that_were_tried() -> None:
    """An axis of epochs would be made up: there are none."""
    curves = {"loss": [0.9, 0.4, 0.1], "val_loss": [1.0, 0.6, 0.7], "accuracy": [0.5, 0.8, 1.0],
              "val_accuracy": [0.5, 0.7, 0.7], "strength": [1.0, 0.1, 0.01]}
    figure = plot_training_curves(curves, "m")
    loss, accuracy = figure.axes
    assert [axes.get_xscale() for axes in (loss, accuracy)] == ["log", "log"]
    assert loss.get_xlim()[0] > loss.get_xlim()[1], "the strongest, which was tried first, at the left"
    stars = [line.get_xydata().tolist() for line in loss.lines if line.get_marker() == "*"]
    assert stars == [[[0.1, 0.6]]]
    assert not any("poch" in text for text in texts(figure))
    assert_nothing_cut_off(figure)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_no_label_of_the_roc_curves_is_cut_off(names: list[str]) -> None:
    aucs = {name: None if i % 3 == 0 else 0.5 + i / 300 for i, name in enumerate(names)}
    assert_nothing_cut_off(plot_roc_curves(roc_data(aucs), "m" * 80))


@pytest.mark.parametrize("epochs", [1, 4, 300])
def test_no_label_of_the_training_curves_is_cut_off(epochs: int) -> None:
    assert_nothing_cut_off(plot_training_curves(history(epochs), "m" * 80))


def test_names_by_number_stand_at_their_rows() -> None:
    """A dictionary's keys alone would put each name, or number, at the row of another class."""
    for names in ({1: "metal", 0: "glass"}, {"metal": 1, "glass": 0}):
        assert ConfusionMatrix.from_matrix([[5, 2], [0, 9]], names).class_names == ("glass", "metal")
    with pytest.raises(LabelsError, match="class_names"):
        plot_confusion_matrix([[5, 2], [0, 9]], {"glass", "metal"})


def test_rows_of_a_confusion_matrix_are_the_truth() -> None:
    figure = plot_confusion_matrix([[5, 2], [0, 9]], ["glass", "metal"])
    axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0.5, 0.5): "5", (1.5, 0.5): "2", (0.5, 1.5): "0", (1.5, 1.5): "9"}  # (column, row)
    assert axes.yaxis_inverted()
    shades = axes.collections[0].get_array()
    assert np.asarray(shades).reshape(2, 2) == pytest.approx(np.array([[5 / 7, 2 / 7], [0, 1]]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["glass (n=7)", "metal (n=9)"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("True class", "Predicted class")
    assert "16 photos, 87.5 % right" in axes.get_title(loc="left")  # 14 of 16


def test_a_class_without_photos_has_shares_of_zero_and_no_nan() -> None:
    figure = plot_confusion_matrix([[3, 1], [0, 0]], ["a", "b"], normalize=True)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.75", "0.25", "0.00", "0.00"]
    assert "75.0 % right" in figure.axes[0].get_title(loc="left")


def test_a_matrix_that_was_normalised_before_is_not_mistaken_for_counts() -> None:
    display = ConfusionMatrix.from_matrix(np.eye(2))
    assert display.normalized and display.support is None
    assert display.class_names == ("0", "1")


def test_numbers_too_small_to_read_give_way_to_a_colour_bar() -> None:
    figure = ConfusionMatrix.from_matrix(np.full((100, 100), 3), NAMES["100"]).draw()
    assert not figure.axes[0].texts
    assert figure.axes[1].get_ylabel() == "share of the true class"
    assert len(ConfusionMatrix.from_matrix(np.full((23, 23), 125)).draw().axes[0].texts) == 23 * 23


@pytest.mark.parametrize("cm, names", [([[1, 2]], ["a"]), ([[1]], ["a", "b"]), (np.zeros((0, 0), int), [])])
def test_a_matrix_that_does_not_fit_its_classes_is_refused(cm: Any, names: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot have shape"):
        plot_confusion_matrix(cm, names)


def test_the_best_epoch_is_that_of_the_lowest_validation_loss() -> None:
    known = {"val_loss": [0.9, 0.4, 0.6], "val_accuracy": [0.5, 0.7, 0.8]}
    assert TrainingCurves.from_history(known).best_epoch == 2
    assert "best epoch (2): 70.0 %" in texts(plot_training_curves(known, "m"))


def test_a_diverged_loss_does_not_hide_the_best_epoch() -> None:
    assert TrainingCurves.from_history({"val_loss": [float("nan"), 0.5, None]}).best_epoch == 2
    assert TrainingCurves.from_history({"val_loss": [float("nan")]}).best_epoch is None


def test_one_epoch_is_visible_without_a_line() -> None:
    for axes in plot_training_curves(history(1), "m").axes:
        drawn = [line for line in axes.lines if np.asarray(line.get_xdata()).tolist() == [1]]
        assert drawn and all(line.get_marker() not in ("", "None") for line in drawn)


def test_a_keras_history_and_its_mapping_give_the_same_curves() -> None:
    content = history(3)
    one = TrainingCurves.from_history(SimpleNamespace(history=content))
    other = TrainingCurves.from_history(content)
    assert one.best_epoch == other.best_epoch == 3
    assert all((one.series[key] == other.series[key]).all() for key in content)


def test_learning_rates_are_written_in_three_digits() -> None:
    """A cosine's last rate is 1.72586e-06: its six digits push the panel aside and tell nobody anything."""
    figure = plot_training_curves({"loss": [1.0, 0.5], "learning_rate": [1e-3, 1.72586e-6]}, "m")
    assert [label.get_text() for label in figure.axes[-1].get_yticklabels()] == ["1.73e-06", "0.001"]


@pytest.mark.parametrize("known, panels", [({}, 0), ({"loss": [1.0]}, 1), ({"val_accuracy": [0.5]}, 1),
                                           (history(2), 3)])
def test_what_was_not_recorded_has_no_panel(known: dict[str, list[float]], panels: int) -> None:
    assert len(plot_training_curves(known, "m").axes) == panels


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_roc_legend_names_each_of_few_classes() -> None:
    assert legend(plot_roc_curves(roc_data({"_a": 0.5, r"$\frac$": 0.75, "c": None}))) == [
        "micro average: 0.950", "macro average: 0.900", "_a: 0.500", r"$\frac$: 0.750", "c: no test photos"]


def test_the_roc_legend_names_the_five_worst_of_many_classes() -> None:
    aucs: dict[str, float | None] = {f"c{i}": 0.99 - i / 100 for i in range(20)}
    figure = plot_roc_curves(roc_data(aucs | {"empty": None}))
    assert legend(figure) == ["micro average: 0.950", "macro average: 0.900", "c19: 0.800", "c18: 0.810",
                              "c17: 0.820", "c16: 0.830", "c15: 0.840", "15 other classes: higher",
                              "empty: no test photos"]
    assert len(figure.axes[0].lines) == 1 + 2 + 20 + 1  # chance, averages, every class, the empty one


def test_a_hundred_classes_without_photos_do_not_flood_the_legend() -> None:
    assert legend(plot_roc_curves(roc_data(dict.fromkeys(NAMES["100"], None))))[-1] == (
        "95 more classes: no test photos")


@pytest.mark.parametrize("name, shown", [
    ("glass", "glass"), ("x" * 24, "x" * 24), ("abcdefghijklmnopqrstuvwxyz", "abcdefghijkl…pqrstuvwxyz"),
    ("Glaß", "Glaß"), ("two\nlines", "two?lines"), ("\udcff", "?"), ("e\u0301", "\u00e9")])
def test_long_and_unprintable_names_are_shown_short_and_whole(name: str, shown: str) -> None:
    assert elided(name) == shown
    assert len(shown) <= 24


def test_two_classes_never_share_a_label() -> None:
    first, second = "wood_from_the_northern_forest_plank", "wood_from_the_southern_forest_plank"
    assert class_labels([first, second, "tile"]) == [
        "wood_from_th…orest_plank #0", "wood_from_th…orest_plank #1", "tile"]


def test_shades_grow_darker_and_class_colours_differ_for_the_colour_blind() -> None:
    def luminance(color: str) -> float:  # ITU-R BT.709
        return float(np.dot(to_rgb(color), (0.2126, 0.7152, 0.0722)))

    shades = [luminance(color) for color in SHADES]
    assert shades == sorted(shades, reverse=True)
    assert len(set(COLORS)) == 10


def test_the_numbers_in_the_matrix_can_be_read_on_their_shades() -> None:
    """White on dark shades, black on light ones: never less than WCAG asks of large letters, 3 to 1."""
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.03928 else float(((value + 0.055) / 1.055) ** 2.4)

    def luminance(color: object) -> float:
        return float(np.dot([linear(value) for value in to_rgb(color)], (0.2126, 0.7152, 0.0722)))

    counts = np.array([[100 - share, share] for share in range(1, 51)])
    for row in counts:
        figure = plot_confusion_matrix(np.array([row, row[::-1]]), ["a", "b"])
        axes = figure.axes[0]
        shades = axes.collections[0].to_rgba(axes.collections[0].get_array()).reshape(-1, 4)
        for text, shade in zip(axes.texts, shades, strict=True):
            light, dark = sorted((luminance(text.get_color()), luminance(shade[:3])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3


@pytest.mark.parametrize("suffix, magic", [(".png", b"\x89PNG\r\n\x1a\n"), ("", b"\x89PNG\r\n\x1a\n"),
                                           (".pdf", b"%PDF")])
def test_the_file_is_what_its_name_says(tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = tmp_path / "new" / f"curves{suffix}"
    figure = plot_training_curves(history(2), "m", path)
    assert isinstance(figure, Figure)
    assert path.read_bytes().startswith(magic)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "roc.png"
    path.write_bytes(b"old")

    def fail(self: Figure, fname: Path, **_: Any) -> None:
        fname.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_roc_curves(roc_data({"a": 0.5, "b": 0.5}), save_path=str(path))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_notebooks_own_figures_and_style_stay_untouched() -> None:
    import matplotlib
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    plot_training_curves(history(2), "m")
    plot_confusion_matrix(np.eye(3, dtype=int))
    plot_roc_curves(roc_data({"a": 0.5}))
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_pictures_drawn_in_threads_are_those_drawn_alone(tmp_path: Path) -> None:
    def draw(name: str) -> bytes:
        plot_confusion_matrix([[4, 1], [2, 3]], ["a", "b"], save_path=tmp_path / name)
        return (tmp_path / name).read_bytes()

    alone = draw("alone.png")
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(draw, (f"{i}.png" for i in range(8)))) == {alone}


def test_importing_the_module_does_not_load_matplotlib() -> None:
    code = ("import sys, matlens.evaluation.displays.curves; "
            "sys.exit(bool({'matplotlib', 'seaborn', 'sklearn', 'pandas'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
