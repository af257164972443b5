"""Curves of faithfulness for networks whose answers are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.evaluation.inference.groups import Groups
from matlens.explanation.faithfulness.curves import MapCurves, closeness_to_centre, measure
from matlens.explanation.faithfulness.display import plot_faithfulness
from matlens.explanation.faithfulness.imputation import GRID
from matlens.explanation.faithfulness.judge import judge_heat_maps
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.runs.run import Run

BLANK = 124 / 255
"""The red of what is blanked."""


def reads_the_left(images: np.ndarray) -> np.ndarray:
    """Probability of class 0: the mean red of the left half."""
    red = images[:, :, : images.shape[2] // 2, 0].mean(axis=(1, 2))
    return np.stack([red, 1 - red], axis=1)


@pytest.fixture(scope="module")
def white() -> np.ndarray:
    return np.full((1, 64, 64, 3), 255, np.uint8)


LEFT = np.repeat(np.array([[[1, 1, 0, 0]]], np.float32), 4, axis=1)


def test_a_perfect_and_an_inverted_map_have_the_areas_of_two_straight_lines(white):
    """White falls to b = 124/255 in the first half of the way, or in the second: (1 + 3b)/4 against (3 + b)/4."""
    for heat, expected in ((LEFT, (1 + 3 * BLANK) / 4), (1 - LEFT, (3 + BLANK) / 4)):
        found = measure(white, heat, np.array([0]), reads_the_left, [1])["gradcam"]
        assert found.scores["deletion"][0] == pytest.approx(expected, abs=0.004)
        assert found.curves["deletion"][0, [0, -1]].tolist() == pytest.approx([1, BLANK])


def test_insertion_brings_the_photo_back(white):
    """A white left half on black: blurred, some of it has run over the edge; hottest first, all is back at half."""
    photo = np.zeros_like(white)
    photo[:, :, :32] = 255
    found = measure(photo, LEFT, np.array([0]), reads_the_left, [1])
    curve = found["gradcam"].curves["insertion"][0]
    assert curve[0] < 0.99
    assert curve[[6, 10]].tolist() == pytest.approx([1, 1])  # beyond half nothing is missing
    inverted = measure(photo, 1 - LEFT, np.array([0]), reads_the_left, [1])["gradcam"]
    assert inverted.scores["insertion"][0] < found["gradcam"].scores["insertion"][0]


def test_road_is_half_the_mean_gap_between_coldest_and_hottest_first():
    """By hand: gaps 0.4, 0.4, 0.2, 0.2."""
    flat = np.zeros((1, 11), np.float32)
    measured = MapCurves({"deletion": flat, "insertion": flat,
                         "most_first": np.array([[0.5, 0.4, 0.4, 0.2]], np.float32),
                         "least_first": np.array([[0.9, 0.8, 0.6, 0.4]], np.float32)})
    assert measured.scores["road"][0] == pytest.approx(0.15)


def test_areas_are_trapezia():
    """A line from 1 to 0 has half, a step at the first tenth 0.95 of what follows it."""
    line = np.linspace(1, 0, 11, dtype=np.float32)[None]
    step = np.array([[1] + [0] * 10], np.float32)
    some = np.zeros((1, 4), np.float32)
    found = MapCurves({"deletion": line, "insertion": step, "most_first": some, "least_first": some}).scores
    assert found["deletion"][0] == pytest.approx(0.5)
    assert found["insertion"][0] == pytest.approx(0.05)


def test_road_sees_what_blanking_cannot_hide():
    """A bright left half on noise: imputed, the hot half takes the colour of its surroundings, and back."""
    photo = np.full((1, 64, 64, 3), 20, np.uint8)
    photo[:, :, :32] = 220
    found = measure(photo, LEFT, np.array([0]), reads_the_left, [3])
    assert found["gradcam"].scores["road"][0] > 0.15
    assert found["gradcam"].scores["road"][0] > found["random"].scores["road"][0] + 0.05


def test_the_same_seed_gives_the_same_and_a_map_of_nothing_is_as_good_as_chance(white):
    """Ties of an all-cold map are broken at random, not by rows: left and right go out evenly."""
    photo = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    once, again = (measure(photo, LEFT, np.array([0]), reads_the_left, [5]) for _ in range(2))
    for name in once:
        for curve, values in once[name].curves.items():
            np.testing.assert_array_equal(values, again[name].curves[curve])
    areas = [measure(white, 0 * LEFT, np.array([0]), reads_the_left, [seed])["gradcam"].scores["deletion"][0]
             for seed in range(12)]
    assert np.mean(areas) == pytest.approx((1 + BLANK) / 2, abs=0.05)
    assert np.std(areas) > 0.005


def test_the_centre_is_closest_to_the_centre():
    """1 in the middle, 0 in the corners, whatever the shape."""
    values = closeness_to_centre((GRID + 1, 5))
    assert (values[16, 2], values[0, 0], values[-1, 0]) == (1, 0, 0)
    assert (np.diff(values[16]) != 0).all()


def test_gains_are_positive_where_the_map_is_better_whichever_way_a_measure_goes():
    """By hand, two photos of two classes: deletion 0.2 and 0.4 against 0.5; standard error of (0.3, 0.1) is 0.1."""
    def flat(*levels):
        return np.repeat(np.array(levels, np.float32)[:, None], 11, axis=1)

    same = np.full((2, 4), 0.5, np.float32)
    measured = {name: MapCurves({"deletion": flat(*deletion), "insertion": flat(*insertion), "most_first": same,
                                "least_first": same})
                for name, deletion, insertion in (
                    ("gradcam", (0.2, 0.4), (0.9, 0.9)), ("random", (0.5, 0.5), (0.6, 0.6)),
                    ("centre", (0.1, 0.1), (0.9, 0.9)))}
    found = Faithfulness.from_curves(measured, np.array([0, 2]), ("a", "b", "c"), "model", "gradcam")
    for name, mean, error in (("deletion", 0.2, 0.1), ("insertion", 0.3, 0)):
        gain = found.gains["random"][name]
        assert (gain["mean"], gain["standard_error"]) == (pytest.approx(mean), pytest.approx(error))
    assert found.gains["centre"]["deletion"]["mean"] == pytest.approx(-0.2)
    assert {found.verdict(baseline, name) for baseline in ("random", "centre")
            for name in ("insertion", "deletion")} == {"unclear"}  # two photos tell nothing
    assert list(found.per_class) == ["a", "c"]
    assert found.per_class["c"]["scores"]["deletion"] == pytest.approx(0.4)
    assert found.per_class["c"]["gains"]["random"]["deletion"] == {"mean": pytest.approx(0.1), "standard_error": None}


def test_a_verdict_on_heat_maps_holds_for_all_gains_together_and_goes_by_groups():
    """30 photos, gains of insertion of 0.04 +- 0.1: two standard errors of one gain, but not of one among six.

    Three copies of each photo change nothing, if they are known to be copies.
    """
    gains = 0.04 + 0.1 * np.where(np.arange(30) % 2, 1, -1)
    noise = dict(zip(("gradcam", "random", "centre"), np.random.default_rng(0).normal(0, 0.1, (3, 30)), strict=True))

    def measured(mean_gain, times=1):
        def curve(values):
            return np.repeat(0.5 + values, times)[:, None].repeat(11, axis=1).astype(np.float32)

        insertion = {"gradcam": mean_gain, "random": np.zeros(30), "centre": noise["centre"]}
        same = np.full((30 * times, 4), 0.5, np.float32)
        return Faithfulness.from_curves(
            {name: MapCurves({"deletion": curve(noise[name]), "insertion": curve(insertion[name]), "most_first": same,
                              "least_first": same}) for name in noise},
            np.zeros(30 * times, np.int64), ("a",), "model", "gradcam",
            groups=Groups.of(np.repeat(np.arange(30), times)))

    once, thrice = measured(gains), measured(gains, 3)
    gain = once.gains["random"]["insertion"]
    assert abs(gain["mean"]) > 2 * gain["standard_error"] and gain["low"] < 0 < gain["high"] and gain["p"] > 0.05
    assert once.verdict("random", "insertion") == thrice.verdict("random", "insertion") == "unclear"
    assert thrice.gains["random"]["insertion"]["low"] == pytest.approx(gain["low"], abs=1e-5)
    assert measured(gains + 0.05).verdict("random", "insertion") == "better"
    assert measured(gains - 0.13).verdict("random", "insertion") == "worse"


def test_the_heat_of_a_run_is_measured_written_and_read_again(small_run, tmp_path):
    """The heat of a network that knows colours lies on the coloured patch.

    Insertion cannot tell: a blurred photo has its colours already.
    """
    run, steps = Run.open(small_run), []
    found = judge_heat_maps(run, "mobilenetv2_transfer", 15, on_progress=lambda done, total: steps.append(done))
    assert steps == list(range(1, 16))
    assert found.n_photos == 15
    assert {name: one["n_photos"] for name, one in found.per_class.items()} == {"blue": 5, "green": 5, "red": 5}
    for measure_name in ("deletion", "road"):  # the photos are copies of few, so there is no interval
        gain = found.gains["random"][measure_name]
        assert gain["mean"] is not None and gain["mean"] > 0.1, measure_name
        assert found.verdict("random", measure_name) == "unclear" and gain["low"] is None
    assert Faithfulness.read(run.paths.on_request_file("mobilenetv2_transfer", "faithfulness")) == found
    figure = plot_faithfulness(found, "MobileNetV2", tmp_path / "faithful.png")
    assert (tmp_path / "faithful.png").read_bytes().startswith(b"\x89PNG")
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend[0] == f"Grad-CAM: {found.scores['gradcam']['deletion']:.3f}"
