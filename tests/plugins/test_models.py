"""A model that a throw-away file adds goes all the way: command line, results, tables, report, prediction, resume."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from matlens.models.registry import file_stem
from matlens.system.registry import PLUGINS
from published import publish

HERE = Path(__file__).parent
MOBILENET, TINY = "mobilenet", "acme/tiny"


@pytest.fixture
def plugged(monkeypatch) -> None:
    """Child processes read the variable; this process loads the files itself, as they register in one registry."""
    monkeypatch.setenv(PLUGINS, f"{HERE / 'mobilenet.py'}:{HERE / 'tiny_torch.py'}")


def trained(cli, run: Path, drawn: Path, name: str, *options: object) -> str:
    done = cli("run", "--data", drawn, "--models", name, "--epochs", 1, "--img-size", 48, "--batch-size", 16, "--out",
               run, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def goes_all_the_way(cli, run: Path, drawn: Path, name: str, *options: object) -> None:
    """Run, look at everything that a run leaves, predict, and run again."""
    trained(cli, run, drawn, name, *options)
    stem = file_stem(name)
    results = json.loads(next(run.rglob(f"{stem}_results.json")).read_text())
    assert results["model_name"] == name
    assert 0 <= results["accuracy"] <= 1
    row, = csv.DictReader(next(run.rglob("model_comparison.csv")).read_text().splitlines())
    assert name in row.values()
    page = (run / "report.html").read_text()
    assert name in page
    assert "was asked for and has no results" not in page
    model_file = next(path for path in (run / "models").iterdir() if path.suffix in (".h5", ".pth"))
    assert model_file.stem == stem
    told = json.loads(cli("predict", run, drawn / "sky" / "sky_000001.jpg", "--json").stdout)
    assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    before = (model_file.stat().st_mtime_ns, model_file.read_bytes())
    trained(cli, run, drawn, name, *options)
    assert (model_file.stat().st_mtime_ns, model_file.read_bytes()) == before, "it was trained again"


@pytest.mark.slow
@pytest.mark.keras
def test_a_keras_application_from_a_plug_in_is_a_model_like_the_others(keras, plugged, cli, drawn, tmp_path):
    """From random weights: the whole network is trained on photos."""
    goes_all_the_way(cli, tmp_path / "run", drawn, MOBILENET, "--weights", "none")
    model = keras.models.load_model(next((tmp_path / "run" / "models").glob("*.h5")), safe_mode=True)
    assert model.name == MOBILENET
    assert any(isinstance(layer, keras.Model) and layer.name.startswith("mobilenet_1.00") for layer in model.layers)
    rescaling = next(layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling))
    np.testing.assert_allclose(rescaling(np.array([0.0, 1.0], np.float32)), [-1, 1])
    np.testing.assert_allclose(model.predict(np.zeros((2, 48, 48, 3)), verbose=0).sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.keras
def test_its_frozen_backbone_is_computed_once(keras, plugged, cli, drawn, tmp_path):
    """From weights: trunk, features, head and artifact without the framework."""
    publish(keras, keras.applications.MobileNet, tmp_path / "mobilenet_1_0_224_tf_no_top.h5")
    goes_all_the_way(cli, tmp_path / "run", drawn, MOBILENET, "--weights-dir", tmp_path)
    about = json.loads(next((tmp_path / "run").rglob("*_training.json")).read_text())
    assert about["parity"] < 1e-4


@pytest.mark.slow
@pytest.mark.torch
def test_a_torch_module_from_a_plug_in_is_a_model_like_the_others(torch, plugged, cli, drawn, tmp_path):
    """From random weights, with a name that is a path."""
    goes_all_the_way(cli, tmp_path / "run", drawn, TINY, "--weights", "none")


@pytest.mark.slow
@pytest.mark.torch
def test_a_linear_head_is_fitted_on_its_frozen_trunk(torch, plugged, cli, drawn, tmp_path):
    """From weights, without a head of its own that could be trained on features; torch writes the model file."""
    from tiny_torch import PUBLISHED_CLASSES, tiny

    torch.manual_seed(0)
    weights = tiny(PUBLISHED_CLASSES).state_dict()
    torch.save(weights, tmp_path / "tiny.pth")
    goes_all_the_way(cli, tmp_path / "run", drawn, TINY, "--weights-dir", tmp_path, "--recipe", "probe")
    state = torch.load(next((tmp_path / "run" / "models").glob("*.pth")), weights_only=True)
    with np.load(next((tmp_path / "run").rglob("head.npz"))) as head:
        np.testing.assert_array_equal(state["classify.2.weight"].numpy(), head["kernel_0"].T)
        np.testing.assert_array_equal(state["classify.2.bias"].numpy(), head["bias_0"])
    for name in ("stem.0.weight", "last.1.running_var"):
        assert torch.equal(state[name], weights[name])


@pytest.mark.slow
@pytest.mark.torch
def test_it_is_trained_from_its_cut_on(torch, plugged, cli, drawn, tmp_path):
    """From weights, with the recipe that trains what follows the spec's cut on cached activations."""
    from tiny_torch import PUBLISHED_CLASSES, tiny

    torch.manual_seed(0)
    torch.save(tiny(PUBLISHED_CLASSES).state_dict(), tmp_path / "tiny.pth")
    goes_all_the_way(cli, tmp_path / "run", drawn, TINY, "--weights-dir", tmp_path, "--recipe", "strong")
    about = json.loads(next((tmp_path / "run").rglob("*_training.json")).read_text())
    assert about["cut"] == "middle"
