"""Whole trainings on what a frozen trunk makes of photos, from the data to the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from matlens import create_split
from matlens.evaluation.judge import evaluate
from matlens.features.artifact import Artifact
from matlens.jobs import run
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.system.files import read_json
from matlens.training.conversion import TrunkConversions
from matlens.workers import main as worker

pytestmark = [pytest.mark.keras, pytest.mark.slow]

SIDE, NAME, ALPHA, CUT = 64, "mobilenetv2_transfer", 0.35, "block_12_add"
BEHIND = {*(f"block_{number}_{part}" for number in range(13, 17) for part in ("expand", "depthwise", "project")),
          "Conv_1"}
"""The layers with weights after the cut, but for normalisation, which stays as it was published."""

IN_PROCESS = SimpleNamespace(send=lambda *_, **__: None, on_step=lambda *_: None, on_epoch=lambda *_: None)

Train = Callable[..., Run]


@pytest.fixture(scope="module")
def divided(drawn, tmp_path_factory) -> Path:
    """The drawn photos in train/ val/ test/: the same split for each seed."""
    folder = tmp_path_factory.mktemp("divided") / "photos"
    create_split(drawn, folder)
    return folder


@pytest.fixture
def tasks(monkeypatch) -> list[dict[str, Any]]:
    """What training processes were asked for. It is done in this process, which has TensorFlow already."""
    asked: list[dict[str, Any]] = []

    def child(kind: str, task: dict[str, Any], *_: object) -> None:
        assert kind == "train"
        asked.append(json.loads(json.dumps(task)))
        worker.train(worker.TrainTask(**asked[-1]), IN_PROCESS)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "run_child", child)
    return asked


@pytest.fixture
def train(published, divided, kept_trunks, tmp_path) -> Train:
    """Train MobileNetV2 in a run's folder of its own."""
    def one(name: str = "run", **options: Any) -> Run:
        settings = Settings.load(options={
            "data_dir": divided, "img_size": SIDE, "model_options": [f"alpha={ALPHA}"],
            "models": NAME, "batch_size": 8, "max_epochs": 2,
            "weights_dir": published.parent, "cache_dir": kept_trunks, **options})
        begun = run.start(settings, tmp_path / name, Reporter(quiet=True))
        run.train(begun, NAME, Reporter(quiet=True))
        return begun.folder

    return one


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))


NOTHING_ANEW = ("matlens.training.conversion.run_child", "matlens.training.frozen.PhotoEngine")


@pytest.fixture(scope="module")
def trained_layers(keras, published) -> Callable[[Run], list[str]]:
    """Check that the model file opens in plain Keras and says what the artifact says. Gives the names of the layers of
    the backbone that are not as they were published."""
    photos = np.random.default_rng(0).random((3, SIDE, SIDE, 3), dtype=np.float32)
    before = {layer.name: layer.get_weights() for layer in keras.models.load_model(published).layers if layer.weights}

    def names(folder: Run) -> list[str]:
        plain = keras.models.load_model(folder.paths.model_file(NAME), safe_mode=True)
        artifact, wanted = Artifact.open(folder.paths.artifact(NAME)), np.asarray(plain(photos, training=False))
        if artifact.mirrored:
            wanted = (wanted + np.asarray(plain(photos[:, :, ::-1], training=False))) / 2
        np.testing.assert_allclose(artifact.predict(photos), wanted, atol=1e-4)
        backbone = next(layer for layer in plain.layers if isinstance(layer, keras.Model))
        return [name for name, weights in before.items() if any(
            not np.array_equal(ours, theirs) for ours, theirs in zip(
                backbone.get_layer(name).get_weights(), weights, strict=True))]

    return names


def test_a_head_is_trained_on_features_and_a_second_seed_computes_nothing(kept_trunks, train, trained_layers,
                                                                             monkeypatch):
    """From photos to model file, artifact and record, and no process of the framework."""
    forbid(monkeypatch, "matlens.jobs.run.run_child", "matlens.training.conversion.run_child")
    for seed in (1, 2):
        if seed == 2:
            forbid(monkeypatch, *NOTHING_ANEW)
        folder = train(f"run{seed}", views=2, seed=seed)
        record = read_json(folder.paths.training_file(NAME))
        assert (record["views"], record["cut"], record["epochs"]) == (2, None, 2)
        assert "2 fixed views" in record["remarks"][0]
    assert trained_layers(folder) == []
    assert not Artifact.open(folder.paths.artifact(NAME)).mirrored
    results = evaluate(folder, NAME).results
    folder.paths.predictions_file(NAME).unlink()
    for each in (kept_trunks / "features").iterdir():
        (each / "features.npy").write_bytes(b"damaged")
    again = evaluate(folder, NAME).results
    assert again.confusion_matrix == results.confusion_matrix


def test_without_a_cache_or_weights_no_trunk_is_converted(published, tmp_path, monkeypatch):
    """It would take a minute and be used by nobody."""
    forbid(monkeypatch, "matlens.training.conversion.run_child")
    for options, file in (({"feature_cache": False}, published), ({}, None)):
        settings = Settings.load(options={"img_size": SIDE, "cache_dir": tmp_path, **options})
        with pytest.raises(KeyError):
            TrunkConversions(settings, {NAME: file}, 4).of(NAME, None)


def test_the_guides_second_stage_goes_on_from_the_head_on_activations(train, tasks, trained_layers):
    """The same model file from beginning to end, one history, and nothing that is frozen is computed in an epoch."""
    folder = train(finetune_epochs=2, views=2)
    task, record = tasks[0], read_json(folder.paths.training_file(NAME))
    assert (task["cut_layer"], len(task["train_views"]), len(task["epochs_before"])) == (CUT, 2, 2)
    assert (record["cut"], record["views"], record["epochs"], record["features_key"]) == (CUT, 2, 4, None)
    assert record["history"]["learning_rate"] == pytest.approx([1e-3, 1e-3, 1e-5, 1e-5])
    assert {"features", "activations", "head", "train", "export"} <= record["seconds"].keys()
    assert record["remarks"] == ["trained on 2 fixed views of each photo (view 0 as it is)"]
    assert set(trained_layers(folder)) <= BEHIND
    assert not Artifact.open(folder.paths.artifact(NAME)).mirrored


def test_strong_trains_from_its_cut_and_another_seed_uses_the_same_activations(train, tasks, trained_layers,
                                                                              monkeypatch, capsys):
    """With the trunk drafted by Keras' OpenVINO backend and confirmed by TensorFlow, each in a process of its own."""
    folder = train(recipe="strong", views=2)
    record = read_json(folder.paths.training_file(NAME))
    assert (record["cut"], record["views"], record["epochs"], record["pretrained"]) == (CUT, 2, 2, True)
    assert set(trained_layers(folder)) == BEHIND
    assert Artifact.open(folder.paths.artifact(NAME)).mirrored
    assert [text.partition(":")[0] for text in evaluate(folder, NAME).results.remarks] == [
        "recipe strong", "trained on 2 fixed views of each photo (view 0 as it is)"]

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(run, "run_child", lambda kind, task, *_: asked.append(task))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    capsys.readouterr()
    with monkeypatch.context() as patch:
        forbid(patch, *NOTHING_ANEW)
        train("again", recipe="strong", views=2, seed=7)
    assert list(asked[0]["train_views"]) == tasks[0]["train_views"]
    assert asked[0]["val_view"] == tasks[0]["val_view"]
    assert capsys.readouterr().err == "", "what is kept needs no room"
    train("full", recipe="strong", views=3)
    assert (asked[1]["cut"], asked[1]["train_views"], asked[1]["cut_layer"]) == (CUT, (), None)
    assert "fixed views" not in " ".join(asked[1]["remarks"])
    warned = " ".join(capsys.readouterr().err.split())
    assert "too little room for activations" in warned
    assert "Every epoch computes them again" in warned


def test_without_room_or_cache_strong_trains_from_its_cut_on_photos(train, tasks, trained_layers):
    """Slower, and the same layers; each epoch then varies the photos anew."""
    folder = train(recipe="strong", feature_cache=False)
    record = read_json(folder.paths.training_file(NAME))
    assert (tasks[0]["cut"], tasks[0]["train_views"], tasks[0]["cut_layer"]) == (CUT, [], None)
    assert (record["cut"], record["views"], record["epochs"]) == (CUT, None, 2)
    assert set(trained_layers(folder)) == BEHIND
    assert Artifact.open(folder.paths.artifact(NAME)).mirrored
    assert [text.partition(":")[0] for text in record["remarks"]] == ["recipe strong"]


def test_an_interrupted_second_stage_goes_on_with_its_next_epoch(train, tasks, monkeypatch):
    """The head before it is there again at once, and the record is that of a training that was left alone."""
    options = {"finetune_epochs": 2, "max_epochs": 1}
    whole = read_json(train("whole", **options).training_file(NAME))

    def interrupt(epoch, improved):
        if epoch.number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(IN_PROCESS, "on_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train("cut", **options)
    seen = []
    monkeypatch.setattr(IN_PROCESS, "on_epoch", lambda epoch, improved: seen.append(epoch.number))
    folder = train("cut", **options)
    assert seen == [3]
    again = read_json(folder.paths.training_file(NAME))
    for what, values in whole["history"].items():
        assert again["history"][what] == pytest.approx(values, rel=1e-3), what
    assert again["best_epoch"] == whole["best_epoch"]
    assert not folder.paths.states(NAME).parent.exists(), "a finished training needs no states"
