"""Both notebooks: what lies in git is what their source says, and they run from top to bottom in one kernel."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MODELS = ("vgg19_scratch", "resnet50_transfer", "mobilenetv2_transfer", "inception_v1")
PICTURES = 3 + 4 + 2 * 4 + 4 + 1
"""Counts, photos, augmented ones; training curves; confusion matrix and ROC curves; Grad-CAM; one heat map."""


def made(kind: str) -> str:
    spec = importlib.util.spec_from_file_location("make", NOTEBOOKS / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.notebook(kind))


@pytest.mark.parametrize(("kind", "name"), [("kaggle", "classification_kaggle"), ("local", "classification")])
def test_the_notebooks_in_git_are_those_of_the_source_without_outputs(kind, name):
    """A change of one notebook alone would be lost at the next `make notebooks`."""
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == made(kind), "run: make notebooks"
    cells = json.loads(text)["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert max(len(cell["source"]) for cell in cells if cell["cell_type"] == "code") <= 20, "short cells"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), [
    ("classification_kaggle", "IMG_SIZE = 36\nBATCH_SIZE = 64\nMAX_EPOCHS = 1"),
    ("classification", "IMG_SIZE = 48\nBATCH_SIZE = 16\nMAX_EPOCHS = 2")])
def test_a_notebook_runs_from_top_to_bottom(name, config, drawn, tmp_path):
    """Four networks of two frameworks in one kernel, without a network; every picture is there and shows something."""
    shutil.copy(NOTEBOOKS / f"{name}.ipynb", tmp_path)
    (tmp_path / "small.toml").write_text(config)
    environment = os.environ | {
        "MATLENS_CONFIG": str(tmp_path / "small.toml"), "MATLENS_CACHE": str(tmp_path / "cache"),
        "KERAS_HOME": str(tmp_path / "no-weights"), "TORCH_HOME": str(tmp_path / "no-weights"),
        "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    if name == "classification":  # the other one draws its own photos
        environment["MATLENS_DATA"] = str(drawn)
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbmake", "--overwrite",
                           "--nbmake-timeout=2700", f"{name}.ipynb"], cwd=tmp_path, env=environment, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    outputs = [output for cell in json.loads((tmp_path / f"{name}.ipynb").read_text())["cells"]
               for output in cell.get("outputs", ())]
    complaints = "".join("".join(output["text"]) for output in outputs if output.get("name") == "stderr")
    assert not [line for line in complaints.splitlines() if not line.startswith("warning: mobilenetv2_transfer")]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == PICTURES
    for picture in pictures:
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
        assert min(pixels.shape[:2]) > 150 and pixels.std() > 5
    shown = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    for what in ("<iframe srcdoc=", "data:image/png;base64,", "<th style"):
        assert any(what in "".join(html) for html in shown), what
    reports = {path.name for path in (tmp_path / "reports").iterdir()}
    wanted = {f"{model}_{what}" for model in MODELS for what in (
        "results.json", "training_curves.png", "confusion_matrix.png", "roc_curves.png", "gradcam.png")}
    assert wanted | {"model_comparison.csv", "model_comparison.md"} <= reports
    assert {path.name for path in (tmp_path / "models").iterdir()} >= {
        "vgg19_scratch.h5", "resnet50_transfer.h5", "mobilenetv2_transfer.h5", "inception_v1.pth"}
