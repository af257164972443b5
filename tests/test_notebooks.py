"""Both notebooks: what lies in git is what their source says, and they run from top to bottom in one kernel.

They differ in their texts and in two cells, so one of them is run whole, and the other one's own cells besides. The
guide's functions, which they call, and the command line are two doors to the same code: the same figures come out.
"""

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
CONFIG = "IMG_SIZE = 36\nBATCH_SIZE = 16\nMAX_EPOCHS = 1"
PICTURES = 3 + 4 + 2 * 4 + 4 + 1
"""Counts, photos, augmented ones; training curves; confusion matrix and ROC curves; Grad-CAM; one heat map."""


def made(kind: str) -> str:
    spec = importlib.util.spec_from_file_location("make", NOTEBOOKS / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.notebook(kind))


def code_of(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(made(kind))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize(("kind", "name"), [("kaggle", "classification_kaggle"), ("local", "classification")])
def test_the_notebooks_in_git_are_those_of_the_source_without_outputs(kind, name):
    """A change of one notebook alone would be lost at the next `make notebooks`."""
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == made(kind), "run: make notebooks"
    cells = json.loads(text)["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert max(len(cell["source"]) for cell in cells if cell["cell_type"] == "code") <= 20, "short cells"


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the local notebook ran: four networks of two frameworks in one kernel, without a network."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copy(NOTEBOOKS / "classification.ipynb", folder)
    (folder / "small.toml").write_text(CONFIG)
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbmake", "--overwrite",
                           "--nbmake-timeout=2700", "classification.ipynb"], cwd=folder, text=True,
                          env=offline(folder) | {"MATLENS_DATA": str(drawn)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return folder


def offline(folder: Path) -> dict[str, str]:
    """The environment of a machine without a network, with settings, a cache and no weights in that folder."""
    return os.environ | {
        "MATLENS_CONFIG": str(folder / "small.toml"), "MATLENS_CACHE": str(folder / "cache"),
        "KERAS_HOME": str(folder / "no-weights"), "TORCH_HOME": str(folder / "no-weights"),
        "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}


@pytest.mark.slow
def test_a_notebook_runs_from_top_to_bottom(finished):
    """Every picture is there and shows something, every file lies where the guide says, and nothing complains."""
    outputs = [output for cell in json.loads((finished / "classification.ipynb").read_text())["cells"]
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
    reports = {path.name for path in (finished / "reports").iterdir()}
    wanted = {f"{model}_{what}" for model in MODELS for what in (
        "results.json", "training_curves.png", "confusion_matrix.png", "roc_curves.png", "gradcam.png")}
    assert wanted | {"model_comparison.csv", "model_comparison.md"} <= reports
    assert {path.name for path in (finished / "models").iterdir()} >= {
        "vgg19_scratch.h5", "resnet50_transfer.h5", "mobilenetv2_transfer.h5", "inception_v1.pth"}


@pytest.mark.slow
def test_the_command_line_gives_the_notebooks_figures(finished, cli):
    """For all four models, in other processes, and without a seed that anybody set."""
    ran = cli("run", "--data", finished / "dataset", "--config", finished / "small.toml", "--weights", "none",
              "--out", finished / "command-line", "--quiet")
    assert ran.returncode == 0, ran.stderr
    for name in MODELS:
        notebook, command = (json.loads((folder / "reports" / f"{name}_results.json").read_text())
                             for folder in (finished, finished / "command-line"))
        for key in ("class_names", "n_test", "split_hash", "protocol", "seed", "parameters", "trainable_parameters",
                    "pretrained", "img_size", "accuracy", "macro_precision", "macro_recall", "macro_f1",
                    "confusion_matrix"):
            assert notebook[key] == command[key], (name, key)
        with np.load(finished / "reports" / f"{name}_predictions.npz") as ours, \
                np.load(finished / "command-line" / "reports" / f"{name}_predictions.npz") as theirs:
            assert ours["paths"].tolist() == theirs["paths"].tolist()
            np.testing.assert_array_equal(ours["labels"], theirs["labels"])
            np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], atol=1e-3, err_msg=name)


def test_the_kaggle_notebook_differs_in_what_it_says_and_in_where_the_photos_are():
    """All that it shares with the local one was run there."""
    local, kaggle = set(code_of("local")), set(code_of("kaggle"))
    (placed,), more = local - kaggle, kaggle - local
    assert placed.startswith("MY_DATA = None  #") and len(more) == 2
    assert any(cell.startswith("MY_DATA = None  #") for cell in more)


@pytest.mark.slow
def test_the_kaggle_notebook_draws_photos_where_there_are_none(tmp_path):
    """Its first cells, to which nothing is attached: matlens is there, and photos are."""
    cells = code_of("kaggle")
    until = next(number for number, cell in enumerate(cells) if "draw_dataset" in cell)
    code = "\n".join(line for cell in cells[:until + 1] for line in cell.splitlines() if not line.startswith("%"))
    (tmp_path / "small.toml").write_text(CONFIG)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=offline(tmp_path) | {"MPLBACKEND": "agg"},
                          text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "drawn-materials").rglob("*.jpg"))) >= 40
