"""Accuracy under perturbations, of networks whose answers are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.robustness.curves import Robustness, judge_robustness, measure, workload
from matlens.robustness.display import plot_robustness
from matlens.robustness.registry import PERTURBATIONS
from matlens.runs.run import Run

DIGESTS = [f"{index:064x}" for index in range(40)]


def test_a_network_that_reads_brightness_fails_where_brightness_goes():
    """Bright (class 1) from dark (class 0) at 100: three stops less light make all dark, greyscale and blur change
    nothing. Half of the photos are of each class, but one bright photo is mislabelled: 39 of 40 are right."""
    photos = [np.full((32, 32, 3), 40 if index % 2 == 0 else 160, np.uint8) for index in range(40)]
    labels = np.arange(40) % 2
    labels[39] = 0

    def predict(images: np.ndarray) -> np.ndarray:
        bright = (images.mean(axis=(1, 2, 3)) > 100 / 255).astype(np.float32)
        return np.stack([1 - bright, bright], axis=1)

    steps = []
    found = measure(photos, DIGESTS, labels, ("dark", "bright", "absent"), predict, "model",
                    on_progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (40 * 66, 40 * 66) == (workload(40), workload(40))
    assert (found.n_photos, found.accuracy) == (40, 39 / 40)
    assert found.per_class == {"dark": pytest.approx(20 / 21, abs=1e-6), "bright": 1, "absent": None}
    for unharmed in ("blur", "greyscale", "rotation", "patch_shuffle", "resolution"):
        assert found.curves[unharmed]["accuracy"] == [39 / 40] * 5
        assert found.curves[unharmed]["same_answer"] == [1] * 5
    dark = found.curves["darker"]  # 160 becomes 137, 116, 99, 84, 59 at -0.5, -1, -1.5, -2 and -3 stops
    assert dark["accuracy"] == [39 / 40, 39 / 40, 21 / 40, 21 / 40, 21 / 40]
    assert dark["same_answer"] == [1, 1, 0.5, 0.5, 0.5]
    assert dark["per_class"]["bright"] == [1, 1, 0, 0, 0]
    assert dark["per_class"]["dark"][-1] == 1
    assert dark["per_class"]["absent"] == [None] * 5
    assert found.summary["curves"]["darker"]["mean"] == pytest.approx((2 * 39 + 3 * 21) / 200)


def test_a_run_is_measured_written_drawn_and_read_again(small_run, tmp_path):
    """A network that knows colours alone: without colour it answers by chance; with patches shuffled as before."""
    run = Run.open(small_run)
    found = {name: judge_robustness(run, name) for name in run.model_names}
    one = found["mobilenetv2_transfer"]
    assert (one.n_photos, one.accuracy) == (18, pytest.approx(15 / 18, abs=1e-6))
    assert one.curves["patch_shuffle"]["accuracy"] == [pytest.approx(15 / 18, abs=1e-6)] * 5
    assert one.curves["greyscale"]["accuracy"][-1] <= 0.5
    assert Robustness.read(run.paths.on_request_file("mobilenetv2_transfer", "robustness")) == one
    assert judge_robustness(run, "mobilenetv2_transfer", 6).n_photos == 6
    figure = plot_robustness(found, tmp_path / "both.png")
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[: len(PERTURBATIONS)] == [each.title for each in PERTURBATIONS.entries()]
    line = figure.axes[list(PERTURBATIONS).index("greyscale")].lines[0]
    assert line.get_ydata().tolist() == [one.accuracy, *one.curves["greyscale"]["accuracy"]]
    with pytest.raises(ValueError, match="no model"):
        plot_robustness({})
