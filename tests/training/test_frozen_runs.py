"""Whole trainings on features and activations of a frozen trunk, from the photos to the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from in_process import InProcess
from matlens import create_split
from matlens.data.batches import read_photos
from matlens.errors import DeviceError, ModelError
from matlens.evaluation.judge import evaluate
from matlens.evaluation.results import Results
from matlens.explanation.explain import explain_run
from matlens.features.artifact import Artifact
from matlens.features.precision import comparison
from matlens.features.precision.instructions import refuse_without_bfloat16
from matlens.jobs import run
from matlens.models.head import Head
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.system.files import read_json
from matlens.training.stages.tail_on_activations import TailOnActivations
from matlens.training.stages.tail_on_photos import TailOnPhotos
from matlens.training.stages.whole_network import WholeNetwork
from matlens.training.train import train as train_model
from matlens.workers.exporting import export_artifact
from matlens.workers.frameworks import load_trained

pytestmark = [pytest.mark.keras, pytest.mark.slow]

SIDE, NAME, ALPHA, CUT = 64, "mobilenetv2_transfer", 0.35, "block_12_add"
BEHIND = {*(f"block_{number}_{part}" for number in range(13, 17) for part in ("expand", "depthwise", "project")),
          "Conv_1"}
"""The layers with weights after the cut, but for normalisation, which stays as it was published."""

SHORTER = {"feature_precision": "bfloat16"}

Train = Callable[..., Run]


def has_bfloat16() -> bool:
    try:
        refuse_without_bfloat16()
    except DeviceError:
        return False
    return True


needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(), reason="this processor does not compute in bfloat16")


@pytest.fixture(scope="module")
def divided(drawn, tmp_path_factory) -> Path:
    """The drawn photos in train/ val/ test/: the same split for each seed."""
    folder = tmp_path_factory.mktemp("divided") / "photos"
    create_split(drawn, folder)
    return folder


@pytest.fixture
def child(monkeypatch) -> InProcess:
    """Training processes, whose work is done in this one: it has TensorFlow already. No other job may be needed."""
    return InProcess(monkeypatch, "train")


@pytest.fixture
def train(published, divided, kept_trunks, tmp_path) -> Train:
    """Train MobileNetV2 in a run's folder of its own."""
    def one(name: str = "run", **options: Any) -> Run:
        settings = Settings.load(options={
            "data_dir": divided, "img_size": SIDE, "model_options": [f"alpha={ALPHA}"],
            "models": NAME, "batch_size": 8, "max_epochs": 2,
            "weights_dir": published.parent, "cache_dir": kept_trunks, **options})
        begun = run.start(settings, tmp_path / name, Reporter(quiet=True))
        train_model(begun, NAME, Reporter(quiet=True))
        return begun.run

    return one


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))


COMPUTING = "matlens.training.frozen.PhotoEngine"


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
    InProcess(monkeypatch)
    for seed in (1, 2):
        if seed == 2:
            forbid(monkeypatch, COMPUTING)
        folder = train(f"run{seed}", views=2, seed=seed)
        record = read_json(folder.paths.training_file(NAME))
        assert (record["views"], record["cut"], record["epochs"]) == (2, None, 2)
        assert "2 fixed views" in record["remarks"][0]
    assert trained_layers(folder) == []
    assert not Artifact.open(folder.paths.artifact(NAME)).mirrored
    results = evaluate(folder, NAME).results
    folder.paths.predictions_file(NAME).unlink()
    for each in (kept_trunks / "features").glob("*-*"):
        (each / "values.npy").write_bytes(b"damaged")
    again = evaluate(folder, NAME).results
    assert again.confusion_matrix == results.confusion_matrix


@needs_bfloat16
def test_a_head_on_bfloat16_features_is_judged_in_float32_and_given_up_where_validation_suffers(train, trained_layers,
                                                                                                monkeypatch, capsys):
    """Whoever saves time must not get another model without being told, nor figures of another arithmetic."""
    InProcess(monkeypatch)
    kernels = {}
    for name, allowed, options in (("exact", 100, {}), ("kept", 100, SHORTER), ("given-up", -101, SHORTER)):
        monkeypatch.setattr(comparison, "MOST_LOST", allowed)
        folder = train(name, views=2, **options)
        record, artifact = read_json(folder.paths.training_file(NAME)), Artifact.open(folder.paths.artifact(NAME))
        assert record.get("feature_precision", {}).get("used") == {
            "exact": None, "kept": "bfloat16", "given-up": "float32"}[name]
        assert any("bfloat16" in remark for remark in record["remarks"]) == (name != "exact")
        kernels[name] = artifact.head.layers[0].kernel
        judged = evaluate(folder, NAME)
        assert (judged.results.feature_precision or {}).get("used") == record.get("feature_precision", {}).get("used")
        assert Results.read(folder.paths.results_file(NAME)).feature_precision == judged.results.feature_precision
        photos = read_photos(folder.data_root, folder.split.part("test"), artifact.img_size)
        np.testing.assert_allclose(judged.predictions.probabilities, np.concatenate(
            [artifact.predict(batch) for batch in photos]), atol=1e-4)
        assert trained_layers(folder) == []
    assert not np.array_equal(kernels["kept"], kernels["exact"])
    np.testing.assert_array_equal(kernels["given-up"], kernels["exact"])


def test_a_linear_head_is_fitted_where_a_kill_left_nothing_and_all_else_works_as_ever(train, trained_layers,
                                                                                         monkeypatch):
    """One dense layer in model file and artifact alike; a run that was killed ends with the bytes of one that was not.
    """
    InProcess(monkeypatch, "draft", "confirm")
    with monkeypatch.context() as patch:
        patch.setattr("matlens.training.stages.base.assemble_artifact", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train("cut", recipe="probe", max_epochs=1)
    forbid(monkeypatch, COMPUTING)
    cut, whole = (train(name, recipe="probe", max_epochs=1) for name in ("cut", "whole"))
    for left in (lambda paths: paths.artifact(NAME) / "head.npz", lambda paths: paths.model_file(NAME)):
        assert left(cut.paths).read_bytes() == left(whole.paths).read_bytes()
    assert trained_layers(whole) == []
    artifact = Artifact.open(whole.paths.artifact(NAME))
    assert [layer.kernel.shape for layer in artifact.head.layers] == [(1280, 4)]
    assert not artifact.mirrored
    record, results = read_json(whole.paths.training_file(NAME)), evaluate(whole, NAME).results
    assert record["trainable_parameters"] == 1280 * 4 + 4
    assert results.strength == record["history"]["strength"][results.best_epoch - 1]
    assert (results.epochs, results.remarks[0].partition(":")[0]) == (11, "recipe probe")
    assert "learning_rate" not in record["history"]
    loaded = load_trained(whole, NAME)
    photos = np.random.default_rng(0).random((3, SIDE, SIDE, 3), dtype=np.float32)
    np.testing.assert_allclose(loaded.predict(photos), artifact.predict(photos), atol=1e-4)
    head = artifact.head
    loaded.set_head(Head("avg", (replace(head.layers[0], bias=head.layers[0].bias + np.float32([9, 0, 0, 0])),)))
    assert (loaded.predict(photos).argmax(axis=1) == 0).all()
    with pytest.raises(ModelError, match=r"1280, 4"):
        loaded.set_head(Head("avg", head.layers * 2))


def test_features_of_several_depths_serve_a_linear_head_and_votes_alike(train, trained_layers, monkeypatch):
    """Both are predicted, explained and exported; what the framework does not know of votes, it does not invent."""
    InProcess(monkeypatch, "draft", "confirm")
    linear = train("linear", recipe="probe", features="multi", max_epochs=1)
    assert trained_layers(linear) == []
    forbid(monkeypatch, COMPUTING)
    voting = train("voting", recipe="probe", features="multi", head="knn", max_epochs=1)
    heads = [Artifact.open(folder.paths.artifact(NAME)).head for folder in (linear, voting)]
    assert [(head.pooling, head.places) for head in heads] == [("statistics", 1280)] * 2
    results = evaluate(voting, NAME).results
    assert (results.neighbours, results.strength) == (heads[1].k, None)
    assert explain_run(voting, NAME).exists()
    photos, loaded = np.random.default_rng(0).random((3, SIDE, SIDE, 3), dtype=np.float32), load_trained(voting, NAME)
    wanted = Artifact.open(voting.paths.artifact(NAME)).predict(photos)
    np.testing.assert_allclose(loaded.predict(photos), wanted, atol=1e-4)
    again = export_artifact(voting, NAME, loaded, keep_marked=False)
    np.testing.assert_allclose(again.predict(photos), wanted, atol=1e-4)
    with pytest.raises(ModelError, match=rf"{NAME}.*--layer"):
        loaded.features_and_gradients(photos, np.zeros(3, np.int64), CUT)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_guides_second_stage_goes_on_from_the_head_on_activations(train, child, trained_layers):
    """The same model file from beginning to end, one history, and nothing that is frozen is computed in an epoch."""
    folder = train(finetune_epochs=2, views=2)
    task, record = child.asked[0], read_json(folder.paths.training_file(NAME))
    stage, = task.stages
    assert (stage.cut_layer, len(stage.inputs.train), len(task.history)) == (CUT, 2, 2)
    assert (record["cut"], record["views"], record["epochs"], record["features_key"]) == (CUT, 2, 4, None)
    assert record["history"]["learning_rate"] == pytest.approx([1e-3, 1e-3, 1e-5, 1e-5])
    assert {"features", "activations", "head", "train", "export"} <= record["seconds"].keys()
    assert record["remarks"] == ["trained on 2 fixed views of each photo (view 0 as it is)"]
    assert set(trained_layers(folder)) <= BEHIND
    assert not Artifact.open(folder.paths.artifact(NAME)).mirrored


def test_strong_trains_from_its_cut_and_another_seed_uses_the_same_activations(train, child, trained_layers,
                                                                              monkeypatch, capsys):
    """With the trunk drafted by Keras' OpenVINO backend and confirmed by TensorFlow, each in a process of its own."""
    child.elsewhere = ("draft", "confirm")
    folder = train(recipe="strong", views=2)
    record = read_json(folder.paths.training_file(NAME))
    assert (record["cut"], record["views"], record["epochs"], record["pretrained"]) == (CUT, 2, 2 + 2, True)
    assert record["head_epochs"] == 2
    assert set(trained_layers(folder)) == BEHIND
    assert Artifact.open(folder.paths.artifact(NAME)).mirrored
    assert [text.partition(":")[0] for text in evaluate(folder, NAME).results.remarks] == [
        "recipe strong", "trained on 2 fixed views of each photo (view 0 as it is)",
        "the photos are drawn by matlens, not taken with a camera"]

    child.is_idle, child.elsewhere = True, ()
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    capsys.readouterr()
    with monkeypatch.context() as patch:
        forbid(patch, COMPUTING)
        train("again", recipe="strong", views=2, seed=7)
    first, again = (task.stages[0] for task in child.asked)
    assert isinstance(again, TailOnActivations) and again == first
    assert capsys.readouterr().err == "", "what is cached needs no room"
    train("full", recipe="strong", views=3)
    task = child.asked[-1]
    assert task.stages == (WholeNetwork(2), TailOnPhotos(2, "strong", CUT, is_second=True))
    assert "fixed views" not in " ".join(task.remarks)
    warned = " ".join(capsys.readouterr().err.split())
    assert "too little room for activations" in warned
    assert "Every epoch computes them again" in warned


def test_without_room_or_cache_strong_trains_from_its_cut_on_photos(train, child, trained_layers):
    """Slower, and the same layers; each epoch then varies the photos in another way."""
    folder = train(recipe="strong", feature_cache=False)
    record = read_json(folder.paths.training_file(NAME))
    assert child.asked[0].stages == (WholeNetwork(2), TailOnPhotos(2, "strong", CUT, is_second=True))
    assert (record["cut"], record["views"], record["epochs"], record["head_epochs"]) == (CUT, None, 4, 2)
    assert set(trained_layers(folder)) == BEHIND
    assert Artifact.open(folder.paths.artifact(NAME)).mirrored
    assert [text.partition(":")[0] for text in record["remarks"]] == ["recipe strong"]


@pytest.mark.parametrize(("options", "after"), [
    ({"finetune_epochs": 2, "max_epochs": 1}, 2), ({"recipe": "strong", "views": 2}, 3)], ids=["guide", "strong"])
def test_an_interrupted_second_stage_goes_on_with_its_next_epoch(train, child, options, after):
    """The head before it is there again at once, and the record is that of a training that was left alone."""
    whole = read_json(train("whole", **options).paths.training_file(NAME))
    seen = []

    def interrupt(event):
        if event["event"] == "epoch" and event["number"] == after:
            raise KeyboardInterrupt

    child.on_event = interrupt
    with pytest.raises(KeyboardInterrupt):
        train("cut", **options)
    child.on_event = lambda event: seen.append(event["number"]) if event["event"] == "epoch" else None
    folder = train("cut", **options)
    assert seen == [after + 1]
    again = read_json(folder.paths.training_file(NAME))
    for what, values in whole["history"].items():
        assert again["history"][what] == pytest.approx(values, rel=1e-3), what
    assert again["best_epoch"] == whole["best_epoch"]
    assert not folder.paths.states(NAME).parent.exists(), "a finished training needs no states"
