"""A throw-away file, the document's own, adds a forward-only method, and every way to explain knows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matlens.report.page import write_report
from matlens.system.files import read_json
from small_run import CHANNEL, NAMES, SIDE, patched

DOCUMENT = (Path(__file__).parents[2] / "docs" / "explanation.md").read_text("utf-8")
RISE = DOCUMENT.partition("```python\n")[2].partition("```")[0].replace("SHOWN = 2000", "SHOWN = 150")
"""The document's example, with fewer masks."""


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


COMMANDS = """
import contextlib, io, json, sys
from matlens.cli.main import main

done = []
for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""
"""Several command lines in one process, which saves importing everything for each."""


def with_plugin(plugin: Path | str, *arguments: str) -> str:
    """What a Python process of its own prints: what a registry has loaded stays, so this one must not load it."""
    done = subprocess.run([sys.executable, *arguments], text=True, capture_output=True, check=False,
                          env={**os.environ, "MATLENS_PLUGINS": str(plugin), "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def commands(plugin: Path, *lines: tuple[object, ...]) -> list[tuple[int, str, str]]:
    """Exit code, standard output and standard error of each command line."""
    return [tuple(done) for done in json.loads(with_plugin(plugin, "-c", COMMANDS, json.dumps(lines, default=str)))]


@pytest.fixture(scope="module")
def done(plugin: Path, run: Path, small_run: Path) -> dict[str, tuple[int, str, str]]:
    """What commands that know the method said."""
    photo = small_run.parent / "photos" / "test" / "red" / "0.png"
    explain = ("explain", run, "--method", "rise")
    lines = {"images": (*explain, "--images", photo, "--target", "red"),
             "measure": (*explain, "--galleries", "--faithfulness", 4, "--models", NAMES[0]),
             "help": ("explain", "--help"), "layer": (*explain, "--layer", "conv1"),
             "score": (*explain, "--score", "logit"), "unknown": ("explain", run, "--method", "rice")}
    return dict(zip(lines, commands(plugin, *lines.values()), strict=True))


def test_photos_are_explained(done):
    """By both models, each photo beside its map, and side by side."""
    code, out, err = done["images"]
    assert code == 0, err
    pictures = [Path(line) for line in out.splitlines() if line.endswith(".png")]
    assert [path.name for path in pictures] == [f"{name}_rise_images_for_red.png" for name in (*NAMES, "side_by_side")]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert "150 predictions" in out + err


def test_galleries_faithfulness_results_and_report_have_it(done, run):
    """The map finds the patch better than chance does; the page calls the method by its title."""
    code, _, err = done["measure"]
    assert code == 0, err
    name = NAMES[0]
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


def test_a_report_made_without_the_plugin_calls_the_method_by_its_name(done, run, tmp_path):
    """Whoever opens the folder elsewhere does not have the file."""
    page = write_report(shutil.copytree(run, tmp_path / "run"))
    assert "(rise)" in page.read_text("utf-8")


def test_help_lists_it_with_its_price(done):
    """Beside those that cost nothing."""
    code, out, _ = done["help"]
    assert code == 0
    assert "rise (150 predictions a photo)" in " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize(("slip", "named"), [
    ("unknown", ("'rice'", "gradcam", "rise")), ("layer", ("RISE", "conv1", "gradcam")),
    ("score", ("RISE", "logit", "hirescam"))])
def test_what_it_cannot_do_is_refused_with_those_that_can(done, slip, named):
    """From what the declaration says."""
    code, _, err = done[slip]
    assert code == 2
    assert all(word in err for word in named), err


def test_a_wrong_declaration_is_named_with_its_file_when_a_method_is_needed(tmp_path, run):
    """At import, so before anything is explained; the help of all commands does not load it."""
    file = tmp_path / "wrong.py"
    file.write_text(RISE.replace("def evidence", "def evidense"), "utf-8")
    helped, refused = commands(file, ("--help",), ("explain", run, "--method", "gradcam"))
    assert (helped[0], refused[0]) == (0, 2)
    assert str(file) in refused[2]
    assert "'rise'" in refused[2]


NOTEBOOK = """
import json
import numpy as np
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
titles = [text.get_text() for text in figure.texts]
print(json.dumps([list(heat.shape), str(heat.dtype), heat.round(3).tolist(), titles, refused]))
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


@pytest.mark.slow
@pytest.mark.parametrize("model", [STAND_IN, pytest.param(KERAS, marks=pytest.mark.keras)], ids=["predicts", "keras"])
def test_a_notebooks_model_is_explained_by_it(plugin, tmp_path, model):
    """A model that does nothing but predict is enough; the map lies where the explained colour is."""
    np.save(tmp_path / "photo.npy", patched("green", (1, 0)))
    code = NOTEBOOK.format(model=model, photo=str(tmp_path / "photo.npy"), target=CHANNEL["green"])
    shape, dtype, heat, titles, refused = json.loads(with_plugin(plugin, "-c", code))
    assert (shape, dtype) == ([SIDE, SIDE], "float32")
    values = np.array(heat)
    assert values.max() == 1
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert (row > SIDE / 2, column < SIDE / 2) == (True, True)
    assert values[SIDE // 2:, : SIDE // 2].mean() > 2 * values[: SIDE // 2, SIDE // 2:].mean()
    assert "RISE (48 x 48 grid)" in str(titles)
    assert "RISE" in refused and "conv" in refused
