"""A frozen trunk is converted once, compared with its framework, and then does without it."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.console import Reporter
from matlens.data.prepare import prepare
from matlens.errors import ModelError
from matlens.features import trunks
from matlens.features.artifact import Artifact
from matlens.features.engine import PooledEngine
from matlens.features.model_file import write_model_file
from matlens.features.trunks import CachedTrunk, convert_trunk, trunk_folder
from matlens.files import read_json
from matlens.models.head import Dense, Head
from matlens.models.protocol import BuildOrder, room_of
from matlens.models.weights import FoundWeights
from matlens.run import Started, train
from matlens.settings import Settings
from matlens.training.conversion import TrunkConversions
from matlens.training.run_folder import RunFolder

pytestmark = [pytest.mark.keras, pytest.mark.slow]

SIDE, NAME = 64, "mobilenetv2_transfer"


@pytest.fixture(scope="module")
def order(keras, tmp_path_factory) -> BuildOrder:
    """MobileNetV2 at alpha 0.35 with weights that stand for published ones."""
    keras.utils.set_random_seed(1)
    file = tmp_path_factory.mktemp("weights") / "published.weights.h5"
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3),
                                   alpha=0.35).save_weights(file)
    return BuildOrder(NAME, 4, (SIDE, SIDE), file, 0.35)


@pytest.fixture(scope="module")
def trunk(order, tmp_path_factory) -> CachedTrunk:
    cache = tmp_path_factory.mktemp("cache")
    return convert_trunk(room_of(NAME).build(order), order, trunk_folder(cache, order), {"keras": "x"})


def test_averaged_features_of_bytes_are_the_frameworks(order, trunk):
    """Photos go in as bytes, several at a time; what comes out is what Keras would have pooled."""
    photos = np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE, 3), dtype=np.uint8)
    found = PooledEngine(trunk.folder / "trunk.xml", (SIDE, SIDE)).pooled(iter(photos), len(photos))
    wanted = room_of(NAME).build(order).features(photos.astype(np.float32) / 255).mean(axis=(1, 2))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    assert trunk.parity <= 1e-4


def test_a_trunk_that_differs_is_refused(order, tmp_path, monkeypatch):
    """Wrong features would make a wrong head, silently."""
    classifier = room_of(NAME).build(order)
    monkeypatch.setattr(classifier, "features", lambda images: np.ones((len(images), 2, 2, 1280), np.float32))
    with pytest.raises(ModelError, match="no-feature-cache"):
        convert_trunk(classifier, order, tmp_path / "trunk", {})
    assert not (tmp_path / "trunk").exists()


@pytest.mark.parametrize("name", ["trunk.bin", "model.h5", "trunk.json"])
def test_a_damaged_trunk_is_not_used(order, trunk, tmp_path, name):
    """It is converted again instead."""
    import shutil

    folder = tmp_path / "trunk"
    shutil.copytree(trunk.folder, folder)
    assert CachedTrunk.open(folder) is not None
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 255
    (folder / name).write_bytes(content)
    assert CachedTrunk.open(folder) is None


def test_other_weights_sizes_and_widths_are_other_trunks(order, tmp_path):
    """Features of one network must not be taken for another's; the number of classes does not change them."""
    from dataclasses import replace

    changed = tmp_path / "other.weights.h5"
    changed.write_bytes(order.weights_file.read_bytes() + b"x")
    keys = [trunks.weights_key(each) for each in (
        order, replace(order, weights_file=changed), replace(order, img_size=(96, 96)), replace(order, alpha=1.0))]
    assert len(set(keys)) == 4
    assert trunks.weights_key(replace(order, num_classes=7)) == keys[0]
    assert trunk_folder(tmp_path, replace(order, num_classes=7)) != trunk_folder(tmp_path, order)


def test_the_model_file_is_an_ordinary_one(keras, order, trunk, tmp_path):
    """It was written without Keras; Keras must open it, and our room too, and say what trunk and head say."""
    rng = np.random.default_rng(2)
    head = Head("avg", (Dense(rng.normal(0, 0.1, (1280, 512)).astype(np.float32), np.zeros(512, np.float32), "relu"),
                        Dense(rng.normal(0, 0.1, (512, 4)).astype(np.float32), np.zeros(4, np.float32), "softmax")))
    write_model_file(trunk.model_template, head, tmp_path / "m.h5", {"class_names": ["a"]})
    photos = rng.random((3, SIDE, SIDE, 3), dtype=np.float32)
    plain = keras.models.load_model(tmp_path / "m.h5", compile=False, safe_mode=True)
    wanted = head.probabilities(room_of(NAME).build(order).features(photos))
    np.testing.assert_allclose(plain.predict(photos, verbose=0), wanted, atol=1e-5)
    ours = room_of(NAME).load(tmp_path / "m.h5", BuildOrder(NAME, 4, (SIDE, SIDE), None, 0.35))
    np.testing.assert_allclose(ours.predict(photos), wanted, atol=1e-5)
    with pytest.raises(ModelError, match="hidden"):
        write_model_file(trunk.model_template, Head("avg", (head.layers[1], head.layers[1])), tmp_path / "n.h5", {})
    assert not (tmp_path / "n.h5").exists()


def test_a_run_uses_it_and_a_second_one_needs_no_process_of_the_framework(order, drawn, tmp_path, monkeypatch):
    """From photos to model file, artifact and record; the second time without TensorFlow, with another seed."""
    settings = Settings.load(options={"data_dir": drawn, "img_size": SIDE, "alpha": 0.35, "models": NAME, "views": 2,
                                      "batch_size": 8, "max_epochs": 2, "cache_dir": tmp_path / "cache"})
    weights = FoundWeights(order.weights_file)
    prepared = prepare(settings, Reporter(quiet=True))
    for seed in (1, 2):
        if seed == 2:
            monkeypatch.setattr("matlens.training.conversion.run_child", lambda *_: pytest.fail("the trunk is kept"))
        seeded = settings.model_copy(update={"seed": seed})
        folder = RunFolder.create(tmp_path / f"run{seed}", seeded, prepared.source.root)
        prepared.split.write(folder.split_file)
        conversions = TrunkConversions(seeded, {NAME: order.weights_file}, 4)
        train(Started(folder, prepared, {NAME: weights}, conversions), NAME, Reporter(quiet=True))
        assert folder.is_trained(NAME)
        record = read_json(folder.training_file(NAME))
        assert record["views"] == 2
        assert "2 fixed views" in record["remarks"][0]
        Artifact.open(folder.artifact(NAME))
    from matlens.evaluation.judge import evaluate

    results = evaluate(folder, NAME)
    folder.predictions_file(NAME).unlink()
    features = tmp_path / "cache" / "features"
    for each in features.iterdir():
        (each / "features.npy").write_bytes(b"damaged")
    again = evaluate(folder, NAME)
    assert again.confusion_matrix == results.confusion_matrix
    plain = settings.model_copy(update={"feature_cache": False})
    assert TrunkConversions(plain, {NAME: order.weights_file}, 4).trunk(NAME) is None
    assert TrunkConversions(settings, {NAME: None}, 4).trunk(NAME) is None
