"""What a user would lose: pictures of confidence, classes and mistakes that can be read and tell the truth."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from builders import drawn_predictions
from figure_checks import NAMES, assert_nothing_cut_off, texts
from matlens.evaluation.displays.classes import ClassScores, ConfusedPairs
from matlens.evaluation.displays.confidence import CoverageCurve, ReliabilityDiagram
from matlens.evaluation.metrics.scores import judge
from matlens.system.figures import save_figure


def judged(names, n: int = 400, strength: float = 1.5):
    """Scores of a model on so many photos, the last class without any, and a validation part."""
    def answers(seed):
        labels = np.random.default_rng(seed).integers(max(len(names) - 1, 1), size=n)
        return drawn_predictions(n, len(names), seed + 2, strength, labels)

    return judge(answers(0), tuple(names), validation=answers(1)).fields


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_no_label_is_cut_off_and_each_class_has_a_line_of_its_own(names):
    found = judged(names)
    for display in (ClassScores.from_results(found["per_class"], found["intervals"]["per_class"], "m" * 80),
                    ConfusedPairs.from_results(found["confused_pairs"], "m" * 80)):
        figure = save_figure(display.draw(), None)
        assert_nothing_cut_off(figure)
        labels = [label for label in figure.axes[0].get_yticklabels() if label.get_text()]
        assert len(labels) == len(display.labels)
        tops = [label.get_window_extent() for label in labels]
        assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(tops))


@pytest.mark.parametrize("strength", [-3, 0, 1.5, 9], ids=["inverted", "worthless", "good", "perfect"])
def test_no_label_of_confidence_is_cut_off(strength):
    found = judged(NAMES["6"], strength=strength)
    for display in (ReliabilityDiagram.from_calibration(found["calibration"], "m" * 80),
                    CoverageCurve.from_coverage(found["coverage"], 400, "m" * 80),
                    ConfusedPairs.from_results(found["confused_pairs"])):
        assert_nothing_cut_off(save_figure(display.draw(), None))


def test_the_reliability_diagram_shows_what_is_in_the_bins():
    """Bins by hand: 30 photos said 0.9, 27 right; 10 said 0.5, 2 right. At the temperature one bin."""
    def each(low, n, confidence, accuracy):
        return {"low": low, "high": low + 0.1, "n": n, "confidence": confidence, "accuracy": accuracy}

    figure = ReliabilityDiagram.from_calibration({
        "bins": [each(0.4, 10, 0.5, 0.2), each(0.6, 0, None, None), each(0.8, 30, 0.9, 0.9)], "ece": 0.075,
        "bins_after": [each(0.7, 40, 0.73, 0.725)], "ece_after": 0.005, "temperature": 1.5}).draw()
    points = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in figure.axes[0].lines
              if line.get_marker() in ("o", "s")]
    assert points == [([0.5, 0.9], [0.2, 0.9]), ([0.73], [0.725])]
    assert [bar.get_height() for bar in figure.axes[1].patches] == [10, 30, 40]
    assert {"as trained: ECE 7.5 %", "temperature 1.50: ECE 0.5 %"} <= set(texts(figure))


def test_the_coverage_curve_marks_what_can_be_answered():
    figure = CoverageCurve.from_coverage({
        "curve": [{"coverage": 0.5, "accuracy": 1.0, "threshold": 0.9}, {"coverage": 1.0, "accuracy": 0.8,
                                                                        "threshold": 0.4}],
        "coverage_at": {"0.9": 0.5, "0.95": 0.5, "0.99": None}, "aurc": 0.1}, 100).draw()
    assert {"90 % right: 50.0 % answered", "95 % right: 50.0 % answered",
            "all answered: 80.0 % right"} <= set(texts(figure))
    assert not [text for text in texts(figure) if text.startswith("99 % right")]


def test_classes_stand_by_their_f1_with_their_intervals():
    per_class = {"a": {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4},
                 "b": {"precision": 1.0, "recall": 0.8, "f1": 0.89, "support": 10},
                 "never": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}}
    display = ClassScores.from_results(per_class, {"a": {"recall": {"low": 0.1, "high": 0.6}}})
    assert display.labels == ("b (n=10)", "a (n=4)", "never (n=0)")
    np.testing.assert_array_equal(display.scores["recall"], [[0.8, np.nan, np.nan], [0.25, 0.1, 0.6], [np.nan] * 3])
    drawn = next(line for line in display.draw().axes[0].lines if str(line.get_label()).startswith("precision"))
    np.testing.assert_array_equal(drawn.get_xdata(), [1.0, 0.5, np.nan])


def test_mistakes_stand_by_their_number():
    pairs = [{"true": "tile", "predicted": "stone", "photos": 9, "share": 0.45, "interval": {"low": 0.3, "high": 0.6}},
             {"true": "a", "predicted": "b", "photos": 1, "share": 0.1, "interval": {"low": 0.0, "high": 0.4}}]
    figure = ConfusedPairs.from_results(pairs).draw()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["tile \u2192 stone", "a \u2192 b"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.45, 0.1]
    assert {"9 of 20", "1 of 10"} <= set(texts(figure))
    assert "there is no mistake" in texts(ConfusedPairs.from_results([]).draw())
    assert len(ConfusedPairs.from_results(pairs * 20).labels) == 15


@pytest.mark.parametrize("suffix, magic", [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_png_and_svg(tmp_path, suffix, magic):
    found = judged(NAMES["2"])
    path = tmp_path / f"reliability{suffix}"
    save_figure(ReliabilityDiagram.from_calibration(found["calibration"]).draw(), path)
    assert path.read_bytes().startswith(magic)


def test_importing_the_modules_and_asking_for_the_metrics_loads_nothing_heavy():
    code = ("import sys, matlens.evaluation.displays.classes, matlens.evaluation.displays.confidence, "
            "matlens.comparison.displays, matlens.evaluation.metrics.scores; "
            "list(matlens.evaluation.metrics.scores.METRICS); "
            "sys.exit(bool({'matplotlib', 'seaborn', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_of_a_model_without_mistakes_the_picture_of_confused_pairs_is_written_without_a_warning(tmp_path, recwarn):
    """Words alone have no axes that a layout could place, which matplotlib says on the terminal."""
    save_figure(ConfusedPairs.from_results([]).draw(), tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").stat().st_size > 0
    assert not [str(warning.message) for warning in recwarn if "matplotlib" in str(warning.filename) or "grid" in str(
        warning.message)]
