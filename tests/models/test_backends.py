"""Keras on each of its back ends: what they compute is the same, in processes without the other frameworks."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ModelError
from processes import without

CONTRACT = Path(__file__).with_name("back_end_contract.py")

BACK_ENDS = ("tensorflow", "torch", "jax")

WITHIN = {"untrained": 1e-5, "losses": 1e-4, "loss_in_parts": 1e-4, "loss_after_cut": 1e-4, "trained": 1e-3,
          "weights": 1e-3, "quarter": 1e-3, "loss_weighted_None": 1e-4, "loss_weighted_2": 1e-4,
          "weights_weighted_None": 1e-3, "weights_weighted_2": 1e-3}
"""How far answers may differ, as a share of the largest, where that is more than 1e-5: Adam divides a gradient by its
own size, so that what is nearly 0 moves a weight by up to a thousandth in either direction in each of six steps."""


def environment(back_end: str) -> dict[str, str]:
    """Return that of a process whose Keras runs on a back end, and which finds TensorFlow for that one alone."""
    elsewhere = {} if back_end == "tensorflow" else without("tensorflow")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **elsewhere,
            "KERAS_BACKEND": back_end, "MATLENS_BYTES_TO_DEVICE": ""}


def answered(back_end: str, folder: Path) -> dict[str, np.ndarray]:
    """Run the contract in a process of its own. Skips where the back end is not installed."""
    for package in ("keras", back_end):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'matlens[keras-{back_end}]'")
    file = folder / f"{back_end}.npz"
    done = subprocess.run([sys.executable, str(CONTRACT), str(file)], text=True, capture_output=True, check=False,
                          env=environment(back_end))
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(file) as answers:
        return dict(answers)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[str, np.ndarray]:
    """What TensorFlow answers."""
    return answered("tensorflow", tmp_path_factory.mktemp("answers"))


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("back_end", [name for name in BACK_ENDS if name != "tensorflow"])
def test_a_back_end_computes_what_tensorflow_does(back_end, reference, tmp_path):
    """Photos, maps, gradients, steps, steps in parts, behind a cut, averages: a user may choose what is installed."""
    answers = answered(back_end, tmp_path)
    assert answers.keys() == reference.keys()
    for name, expected in reference.items():
        assert np.isfinite(expected).all() and np.abs(expected).max() > 0, name
        difference = np.abs(answers[name] - expected).max() / np.abs(expected).max()
        assert difference <= WITHIN.get(name, 1e-5), f"{name} differs by {difference:.2g} of the largest"


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.parametrize("back_end", [name for name in BACK_ENDS if name != "tensorflow"])
def test_a_run_needs_no_tensorflow(back_end, published, drawn, tmp_path):
    """From the photos to the report: a frozen trunk under a new head, and a network that is trained whole."""
    if importlib.util.find_spec(back_end) is None:
        pytest.skip(f"{back_end} is not installed: pip install 'matlens[keras-{back_end}]'")
    command = [sys.executable, "-m", "matlens", "run", "--data", drawn, "--out", tmp_path / "run", "--img-size", 64,
               "--models", "mobilenetv2_transfer,vgg19_scratch", "--epochs", 1, "--batch-size", 16, "--option",
               "mobilenetv2_transfer.alpha=0.35", "--weights-dir", published.parent, "--cache-dir", tmp_path / "cache"]
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, check=False,
                          env=environment(back_end))
    assert done.returncode == 0, done.stderr[-3000:]
    for model in ("mobilenetv2_transfer", "vgg19_scratch"):
        record = json.loads((tmp_path / "run" / "reports" / f"{model}_training.json").read_text())
        assert back_end in json.dumps(record["versions"])
        assert "tensorflow" not in record["versions"]


@pytest.mark.keras
def test_a_back_end_that_cannot_differentiate_says_which_can(keras):
    """OpenVINO's, say: an ImportError of TensorFlow's would send people to install it."""
    from matlens.models.keras.backends.base import Backend

    with pytest.raises(ModelError, match=r"'conv'.*KERAS_BACKEND=tensorflow"):
        Backend().features_and_gradients(None, None, None, None, "conv")
