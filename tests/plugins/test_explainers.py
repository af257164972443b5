"""A throw-away file adds a forward-only method, and every way to explain knows it: no other file is changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matlens.system.files import read_json
from small_run import CHANNEL, NAMES, SIDE, patched

RISE = '''
"""RISE (Petsiuk et al. 2018, arXiv:1806.07421): each place counts by the answers to random masks that show it."""

import cv2
import numpy as np

from matlens.explanation.explainer import ForwardMethod
from matlens.explanation.registry import register

MASKS, CELLS, SHOWN = 150, 6, 0.5


@register
class RISE(ForwardMethod):
    name = "rise"
    title = "RISE"
    source = "Petsiuk et al. 2018"
    predictions_per_photo = MASKS

    def evidence(self, predict, photo, rng):
        height, width = photo.shape[:2]
        cell = -(-height // CELLS), -(-width // CELLS)
        masks = np.empty((MASKS, height, width), np.float32)
        for mask in masks:
            grid = (rng.random((CELLS + 1, CELLS + 1)) < SHOWN).astype(np.float32)
            large = cv2.resize(grid, ((CELLS + 1) * cell[1], (CELLS + 1) * cell[0]), interpolation=cv2.INTER_LINEAR)
            top, left = rng.integers(0, cell[0]), rng.integers(0, cell[1])
            mask[:] = large[top:top + height, left:left + width]
        answers = predict(masks[..., None] * photo)
        return np.einsum("n,nhw->hw", answers - answers.mean(), masks)
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugins") / "rise.py"
    file.write_text(RISE, "utf-8")
    return file


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to write to."""
    measured = shutil.ignore_patterns("*_faithfulness.*", "*_gallery.json", "*robustness.*")
    return Path(shutil.copytree(small_run, tmp_path_factory.mktemp("plugged") / "run", ignore=measured))


def with_plugin(plugin: Path | str, *command: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since what a registry has loaded stays."""
    return subprocess.run([sys.executable, *map(str, command)], text=True, capture_output=True, check=False,
                          env={**os.environ, "MATLENS_PLUGINS": str(plugin), "COLUMNS": "200"})


def explain(plugin: Path | str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return with_plugin(plugin, "-m", "matlens", "explain", *arguments)


def test_photos_are_explained(plugin, run, small_run):
    """Both models, each photo beside its map, and side by side."""
    photo = small_run.parent / "photos" / "test" / "red" / "0.png"
    done = explain(plugin, run, "--method", "rise", "--images", photo, "--target", "red")
    assert done.returncode == 0, done.stderr
    pictures = [Path(line) for line in done.stdout.splitlines() if line.endswith(".png")]
    assert [path.name for path in pictures] == [f"{name}_rise_images_for_red.png" for name in (*NAMES, "side_by_side")]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert "150 predictions" in done.stderr + done.stdout


def test_galleries_faithfulness_results_and_report_have_it(plugin, run):
    """The map finds the patch better than chance does; the page calls the method by its title."""
    name = NAMES[0]
    done = explain(plugin, run, "--method", "rise", "--galleries", "--faithfulness", 4, "--models", name)
    assert done.returncode == 0, done.stderr
    faithfulness = read_json(run / "reports" / f"{name}_faithfulness.json")
    assert (faithfulness["method"], list(faithfulness["scores"])) == ("rise", ["rise", "random", "centre"])
    assert faithfulness["scores"]["rise"]["deletion"] < faithfulness["scores"]["random"]["deletion"]
    summary = read_json(run / "reports" / f"{name}_results.json")["faithfulness"]
    assert summary == {key: faithfulness[key] for key in ("method", "n_photos", "scores", "gains")}
    gallery = read_json(run / "reports" / f"{name}_gallery.json")
    assert gallery["method"] == "rise"
    assert all(photo["heat"] for photo in gallery["photos"])
    assert (run / "reports" / f"{name}_faithfulness.png").exists()
    assert "(RISE)" in (run / "report.html").read_text("utf-8")

    done = with_plugin("", "-m", "matlens", "evaluate", run, "--models", name)  # the plug-in is gone: its name stays
    assert done.returncode == 0, done.stderr
    assert "(rise)" in (run / "report.html").read_text("utf-8")


def test_help_and_refusals_know_it(plugin, run):
    """And `matlens --help` does not load it, nor does a broken one stand in its way."""
    done = explain(plugin, "--help")
    assert "hirescam, rise (150 predictions a photo)" in " ".join(done.stdout.replace("│", " ").split())
    for options, named in ((("--method", "rice"), ("'rice'", "gradcam", "rise")),
                           (("--method", "rise", "--layer", "conv1"), ("RISE", "conv1", "gradcam")),
                           (("--method", "rise", "--score", "logit"), ("RISE", "logit", "hirescam"))):
        done = explain(plugin, run, *options)
        assert done.returncode == 2, options
        assert all(word in done.stderr for word in named), done.stderr
    assert with_plugin("/nowhere/rise.py", "-m", "matlens", "--help").returncode == 0


@pytest.mark.parametrize(("change", "named"), [
    (('name = "rise"', 'name = ""'), "RISE"), (('name = "rise"', 'name = "gradcam"'), "gradcam"),
    (("def evidence", "def evidense"), "rise")], ids=["no name", "a name that is taken", "no evidence"])
def test_a_wrong_declaration_is_named_with_its_file(tmp_path, run, change, named):
    """At import, so before anything is explained."""
    file = tmp_path / "wrong.py"
    file.write_text(RISE.replace(*change), "utf-8")
    done = explain(file, run, "--method", "gradcam")
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert f"{named}" in done.stderr


NOTEBOOK = """
import sys, json
import numpy as np
sys.path[:0] = {paths}
from matlens import make_gradcam_heatmap, visualize_gradcam
from matlens.errors import SettingsError
{model}
photo = np.load({photo!r})
heat = make_gradcam_heatmap(photo, model, pred_index={target}, method="rise")
figure = visualize_gradcam(model, photo, ["a", "b", "c"], method="rise")
try:
    make_gradcam_heatmap(photo, model, "conv", method="rise")
    refused = ""
except SettingsError as error:
    refused = str(error)
print(json.dumps([list(heat.shape), str(heat.dtype), heat.round(3).tolist(), figure._suptitle.get_text()
                  if figure._suptitle else "", [text.get_text() for text in figure.texts], refused]))
"""

STAND_IN = """
class Model:
    num_classes, input_size, last_conv_layer_name = 3, (48, 48), "cells"

    def train_epoch(self): ...
    def features(self, images): ...

    def predict(self, images):
        raised = np.exp(40 * images.mean(axis=(1, 2)))
        return raised / raised.sum(axis=1, keepdims=True)

model = Model()
"""

KERAS = """
import keras
model = keras.Sequential([keras.Input((48, 48, 3)), keras.layers.Conv2D(3, 1, use_bias=False, name="colours"),
                          keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax")])
model.layers[0].set_weights([np.eye(3, dtype=np.float32)[None, None]])
model.layers[-1].set_weights([40 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
"""


@pytest.mark.parametrize("model", [STAND_IN, pytest.param(KERAS, marks=pytest.mark.keras)], ids=["predicts", "keras"])
def test_a_notebooks_model_is_explained_by_it(plugin, tmp_path, model):
    """A model that does nothing but predict is enough; the map lies where the explained colour is."""
    np.save(tmp_path / "photo.npy", patched("green", (1, 0)))
    code = NOTEBOOK.format(paths=[], model=model, photo=str(tmp_path / "photo.npy"), target=CHANNEL["green"])
    done = with_plugin(plugin, "-c", code)
    assert done.returncode == 0, done.stderr
    shape, dtype, heat, *titles, refused = json.loads(done.stdout.splitlines()[-1])
    assert (shape, dtype) == ([SIDE, SIDE], "float32")
    values = np.array(heat)
    assert values.max() == 1
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert (row > SIDE / 2, column < SIDE / 2) == (True, True)
    assert values[SIDE // 2:, : SIDE // 2].mean() > 2 * values[: SIDE // 2, SIDE // 2:].mean()
    assert "RISE on 48 x 48 places" in str(titles)
    assert "RISE" in refused and "conv" in refused
