"""INT8 is kept only if it judges as well as float32; what is refused leaves nothing behind."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest

from matlens.data.batches import read_photos
from matlens.data.prepare import prepare
from matlens.errors import ModelError
from matlens.features import quantise
from matlens.features.artifact import Artifact, write_artifact
from matlens.features.engine import TrunkEngine
from matlens.features.layout import channels_first
from matlens.features.quantise import Int8Comparison, compare_int8, quantise_artifact
from matlens.jobs.predict import predicting_artifact
from matlens.models.head import Dense, Head
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.system.files import read_json, write_json

SIDE, NAME = 48, "mobilenetv2_transfer"


def write_trunk(folder: Path, seed: int = 0) -> None:
    """A small trunk as Keras' own export writes it: each convolution between two transpositions, a pad, a residual."""
    import openvino
    from openvino import opset13 as ops

    rng = np.random.default_rng(seed)

    def convolution(x, channels_in, channels_out, side, stride, pad):
        kernel = rng.normal(0, (2 / (side * side * channels_in)) ** 0.5, (side, side, channels_in, channels_out))
        found = ops.convolution(
            ops.transpose(x, np.array([0, 3, 1, 2])),
            ops.transpose(ops.constant(kernel.astype(np.float32)), np.array([3, 2, 0, 1])),
            [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])
        biased = ops.add(ops.transpose(found, np.array([0, 2, 3, 1])),
                         ops.constant(rng.normal(0, 0.1, channels_out).astype(np.float32)))
        return ops.clamp(biased, 0, 6)

    photos = ops.parameter([-1, SIDE, SIDE, 3], np.float32)
    scaled = ops.subtract(ops.multiply(photos, np.float32(2)), np.float32(1))
    first = convolution(scaled, 3, 16, 3, 4, 1)
    padded = ops.pad(first, [0, 1, 2, 0], [0, 1, 0, 0], "constant", np.float32(0))
    maps = ops.add(convolution(padded, 16, 16, 3, 1, 0), first)
    openvino.save_model(openvino.Model([maps], [photos]), folder / "trunk.xml", compress_to_fp16=False)


@pytest.fixture(scope="module")
def run(drawn, tmp_path_factory) -> Run:
    """A run whose one model is the small trunk and a head fitted to the photos by least squares."""
    path = tmp_path_factory.mktemp("int8")
    settings = Settings.load(options={"data_dir": drawn, "img_size": SIDE, "models": NAME, "cache_dir": path / "cache"})
    prepared = prepare(settings, Reporter(quiet=True))
    split = prepared.split
    folder = Run.begin(path / "run", settings, prepared.source.root, split)
    write_trunk(path)
    photos = np.concatenate(list(read_photos(folder.data_root, split.photos, (SIDE, SIDE))))
    engine = TrunkEngine(path / "trunk.xml")
    pooled = engine.features(photos).mean(axis=(1, 2))
    wanted = np.eye(4, dtype=np.float32)[split.labels(split.photos)]
    kernel = np.linalg.lstsq(pooled, 10 * wanted, rcond=None)[0]
    head = Head("avg", (Dense(kernel.astype(np.float32), np.zeros(4, np.float32), "softmax"),))

    def export_trunk(target: Path) -> Head:
        write_trunk(target)
        return head

    write_artifact(folder.paths.artifact(NAME), export_trunk,
                   lambda images: head.probabilities(engine.features(images)), photos[:4], NAME, split.class_names,
                   mirrored=True)
    folder.paths.model_file(NAME).touch()
    write_json(folder.paths.training_file(NAME), {
        "history": {curve: [0.5] for curve in ("loss", "accuracy", "val_loss", "val_accuracy")}, "best_epoch": 1,
        "epochs": 1, "parameters": 1, "trainable_parameters": 1, "pretrained": False, "split_hash": split.hash,
        "remarks": [], "seconds": {}, "peak_rss_bytes": 1, "versions": {}})
    return folder


def judge(run: Run, target: Path, max_drop: float = 1.0) -> Int8Comparison:
    """Quantise the run's artifact, judged on its validation photos as float32 predicts them: so float32 has 100 %."""
    artifact = Artifact.open(run.paths.artifact(NAME))
    photos = np.concatenate(list(read_photos(run.data_root, run.split.part("val"), (SIDE, SIDE))))
    return quantise_artifact(artifact, target, [photos], [photos], artifact.predict(photos).argmax(axis=1), max_drop)


def stand_in(seed: int):
    """In place of NNCF: writes the same trunk (seed 0), or one that knows nothing."""
    return lambda trunk, target, calibration: write_trunk(target.parent, seed)


def test_accuracies_agreement_and_parity_are_what_they_are_called():
    """By hand: of four photos float32 has three right and INT8 two; they say the same of three."""
    labels = np.array([0, 1, 1, 0])
    float32 = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]], np.float32)
    int8 = np.array([[0.8, 0.2], [0.25, 0.75], [0.75, 0.25], [0.3, 0.7]], np.float32)
    rows = [np.array([0, 1, 2]), np.array([3])]
    found = compare_int8(lambda batch: float32[batch], lambda batch: int8[batch], rows, labels)
    assert (found.n_photos, found.float32_accuracy, found.int8_accuracy, found.agreement) == (4, 0.75, 0.5, 0.75)
    assert found.parity == pytest.approx(0.35)
    assert found.drop == 25


@pytest.mark.parametrize(("right", "max_drop"), [(270, 0), (267, 1), (280, 0), (240, 10)])
def test_what_loses_no_more_than_allowed_is_accepted(right, max_drop):
    """Of 300 photos float32 has 270 right; 3 of them are exactly one point, whatever floats make of it."""
    Int8Comparison(300, 270 / 300, right / 300, 1.0, 0.1).refuse_beyond(max_drop, NAME)


@pytest.mark.parametrize(("right", "max_drop"), [(269, 0), (266, 1)])
def test_what_loses_more_is_refused_with_both_accuracies_and_the_ways_out(right, max_drop):
    """One photo more than allowed."""
    with pytest.raises(ModelError) as refusal:
        Int8Comparison(300, 270 / 300, right / 300, 1.0, 0.1).refuse_beyond(max_drop, NAME)
    for part in (NAME, f"{right / 3:.1f} %", "90.0 %", "300 validation", f"allowed: {max_drop}", "--max-drop",
                 "--models", "without --int8"):
        assert part in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_an_accepted_artifact_is_whole_and_says_what_it_is(run, tmp_path, monkeypatch):
    """It opens as any artifact, and the figures that it was accepted by go with it."""
    monkeypatch.setattr(quantise, "quantise_trunk", stand_in(0))
    judge(run, tmp_path / "m.int8.artifact")
    artifact = Artifact.open(tmp_path / "m.int8.artifact")
    assert (artifact.precision, artifact.parity, artifact.mirrored) == ("int8", 0.0, True)
    assert artifact.class_names == run.split.class_names
    about = read_json(artifact.folder / "artifact.json")
    assert about["validation"] == {"n_photos": len(run.split.part("val")), "float32_accuracy": 1.0,
                                   "int8_accuracy": 1.0, "agreement": 1.0}
    assert Artifact.open(run.paths.artifact(NAME)).precision == "float32"


@pytest.mark.parametrize("there", [False, True])
def test_a_refused_one_leaves_nothing_and_an_earlier_one_alone(run, tmp_path, monkeypatch, there):
    """Half an artifact, or a bad one in the place of a good one, would be used later."""
    target = tmp_path / "m.int8.artifact"
    if there:
        monkeypatch.setattr(quantise, "quantise_trunk", stand_in(0))
        judge(run, target)
    before = {file.name: file.read_bytes() for file in target.glob("*")}
    monkeypatch.setattr(quantise, "quantise_trunk", stand_in(1))
    with pytest.raises(ModelError, match=r"--max-drop"):
        judge(run, target)
    assert {file.name: file.read_bytes() for file in target.glob("*")} == before
    assert len(list(tmp_path.iterdir())) == there


def test_without_nncf_the_message_says_what_to_install(run, tmp_path, monkeypatch):
    """It is an extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"nncf.*pip install 'matlens\[int8\]'"):
        judge(run, tmp_path / "m.int8.artifact")
    assert not list(tmp_path.iterdir())


def test_taking_transpositions_out_changes_no_feature(tmp_path):
    """Convolution, bias and activation must follow one upon the other for NNCF, and mean what they meant."""
    import openvino

    write_trunk(tmp_path)
    model = openvino.Core().read_model(tmp_path / "trunk.xml")
    channels_first(model)
    kinds = [node.get_type_name() for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    assert kinds.count("Transpose") == 2, "one in, one out"
    first = kinds.index("Convolution")
    assert kinds[first:first + 3] == ["Convolution", "Add", "Clamp"]
    openvino.save_model(model, tmp_path / "first.xml", compress_to_fp16=False)
    photos = np.random.default_rng(3).random((2, SIDE, SIDE, 3), dtype=np.float32)
    wanted = TrunkEngine(tmp_path / "trunk.xml").features(photos)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(TrunkEngine(tmp_path / "first.xml").features(photos), wanted, atol=1e-5)


def test_predict_int8_says_how_to_make_it(run, monkeypatch):
    """Where there is none; where there is one of an earlier training; where a float32 one is named."""
    target = run.paths.int8_artifact(NAME)
    with pytest.raises(ModelError, match=rf"export {run.path} --int8 --models {NAME}"):
        predicting_artifact(run.path, int8=True)
    with pytest.raises(ModelError, match=r"is a float32 artifact"):
        predicting_artifact(run.paths.artifact(NAME), int8=True)
    monkeypatch.setattr(quantise, "quantise_trunk", stand_in(0))
    try:
        judge(run, target)
        assert predicting_artifact(run.path, int8=True).folder == target
        assert predicting_artifact(target, int8=True).precision == "int8"
        assert predicting_artifact(run.path).precision == "float32"
        about = read_json(target / "artifact.json")
        (target / "trunk.bin").write_bytes(b"")
        with pytest.raises(ModelError, match=r"damaged.*matlens export RUN --int8"):
            predicting_artifact(run.path, int8=True)
        shutil.rmtree(target)
        artifact = Artifact.open(run.paths.artifact(NAME))
        retrained = Head("avg", (Dense(artifact.head.layers[0].kernel + 1, np.zeros(4, np.float32), "softmax"),))
        monkeypatch.setattr(Artifact, "head", retrained)
        shutil.copytree(run.paths.artifact(NAME), target)
        retrained.save(target / "head.npz")
        quantise.write_about(target, NAME, tuple(about["class_names"]), (SIDE, SIDE), parity=0.0, precision="int8")
        with pytest.raises(ModelError, match=r"earlier training.*--int8 --models"):
            predicting_artifact(run.path, int8=True)
    finally:
        shutil.rmtree(target, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="nncf is not installed")
def test_the_command_line_makes_and_uses_int8(run, cli):
    """The whole way with NNCF: weights in 8 bits, convolutions that run in integers, answers near float32's."""
    done = cli("export", run.path, "--int8", "--max-drop", "100", "--quiet")
    assert done.returncode == 0, done.stderr
    assert f"on {len(run.split.part('val'))} validation photos" in done.stdout
    float32, int8 = Artifact.open(run.paths.artifact(NAME)), Artifact.open(run.paths.int8_artifact(NAME))
    sizes = [(each.folder / "trunk.bin").stat().st_size for each in (float32, int8)]
    assert sizes[1] < sizes[0] / 2
    photos = np.concatenate(list(read_photos(run.data_root, run.split.part("test"), (SIDE, SIDE))))
    wanted = float32.trunk.features(photos)
    assert 0 < np.abs(int8.trunk.features(photos) - wanted).mean() < 0.1 * wanted.std()
    if platform.machine() in ("x86_64", "AMD64"):
        layers = [node.get_rt_info() for node in int8.trunk._compiled.get_runtime_model().get_ops()]
        precisions = {str(layer["runtimePrecision"].value) for layer in layers
                      if str(layer["layerType"].value) == "Convolution"}
        assert precisions <= {"u8", "i8"}
        assert precisions
    photo = run.data_root / run.split.part("test")[0].path
    assert cli("predict", run.path, photo, "--int8").stdout.startswith(f"{photo}\t")
