"""A frozen trunk is drafted, compared with its framework, kept, and then does without it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ModelError
from matlens.features.engine import PhotoEngine, features_of
from matlens.features.model_file import write_model_file
from matlens.features.trunks import (
    LAST_LAYERS,
    CachedTrunk,
    TrunkOrder,
    adopt_trunk,
    confirm_trunk,
    draft_trunk,
)
from matlens.models.head import Dense, Head
from matlens.models.protocol import BuildOrder, room_of
from matlens.system.transport import decode, encode

pytestmark = [pytest.mark.keras, pytest.mark.slow]

SIDE, NAME = 64, "mobilenetv2_transfer"
PHOTOS = np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def build(published) -> BuildOrder:
    return BuildOrder(NAME, 4, (SIDE, SIDE), published, {"alpha": 0.35})


@pytest.fixture(scope="module")
def classifier(build):
    return room_of(NAME).build(build)


@pytest.fixture(scope="module")
def trunk(build, kept_trunks) -> CachedTrunk:
    return opened(TrunkOrder(build), kept_trunks)


def opened(order: TrunkOrder, cache: Path) -> CachedTrunk:
    found = CachedTrunk.open(order.folder(cache))
    assert found is not None
    return found


def test_averaged_features_of_bytes_are_the_frameworks(classifier, trunk):
    """Photos go in as bytes, several at a time; what comes out is what Keras would have pooled."""
    engine = PhotoEngine(trunk.folder / "trunk.xml", (SIDE, SIDE), pooled=True)
    found = features_of(engine, iter(PHOTOS), len(PHOTOS))
    wanted = classifier.features(PHOTOS.astype(np.float32) / 255).mean(axis=(1, 2))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    assert trunk.parity <= 1e-4
    assert trunk.until == "out_relu"


def test_nothing_is_left_of_a_draft_that_was_confirmed(kept_trunks):
    """ResNet50's takes a tenth of a gigabyte."""
    assert list((kept_trunks / "drafts").iterdir()) == []


def test_activations_at_the_guides_cut_are_the_frameworks(build, classifier, trunk, kept_trunks):
    """The second stage of training reads them in place of photos; there is no model file with the front of a trunk."""
    front = opened(TrunkOrder(build, LAST_LAYERS), kept_trunks)
    assert (front.until, front.parameters) == ("block_12_add", trunk.parameters)
    assert not front.model_template.exists()
    engine = PhotoEngine(front.folder / "trunk.xml", (SIDE, SIDE), pooled=False)
    found = features_of(engine, iter(PHOTOS), len(PHOTOS))
    wanted = classifier.features(PHOTOS.astype(np.float32) / 255, "block_12_add")
    assert wanted.shape == (9, 4, 4, 32)  # 64 / 16 places, the 96 channels of its row at alpha 0.35
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_trunk_that_differs_is_refused(build, classifier, trunk, tmp_path, monkeypatch):
    """Wrong features would make a wrong head, silently; and the draft must not be compared again."""
    order = TrunkOrder(build)
    shutil.copytree(trunk.folder, order.draft(tmp_path))
    features = classifier.features
    monkeypatch.setattr(classifier, "features", lambda images, until: features(images, until) * 1.001)
    with pytest.raises(ModelError, match=r"differs.*allowed: 0.0001"):
        confirm_trunk(classifier, order, tmp_path, {})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["trunk.bin", "model.h5", "trunk.json"])
def test_a_damaged_trunk_is_not_used(trunk, tmp_path, name):
    """It is converted again instead."""
    folder = tmp_path / "trunk"
    shutil.copytree(trunk.folder, folder)
    assert CachedTrunk.open(folder) is not None
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 255
    (folder / name).write_bytes(content)
    assert CachedTrunk.open(folder) is None


def test_other_weights_sizes_widths_and_cuts_are_other_trunks(build, tmp_path):
    """Features of one network must not be taken for another's; the number of classes does not change them."""
    changed = tmp_path / "other.weights.h5"
    changed.write_bytes(build.weights_file.read_bytes() + b"x")
    orders = [TrunkOrder(build), TrunkOrder(replace(build, weights_file=changed)),
              TrunkOrder(replace(build, img_size=(96, 96))), TrunkOrder(replace(build, options={"alpha": 1.0})),
              TrunkOrder(build, "block_9_add"), TrunkOrder(build, LAST_LAYERS)]
    assert len({order.key for order in orders}) == len(orders)
    for order in orders:
        more = replace(order, build=replace(order.build, num_classes=7))
        assert more.key == order.key
        assert (more.folder(tmp_path) == order.folder(tmp_path)) is (order.until is not None), (
            "a model file, which a front has not, has a place for each class")
        assert decode(encode(order), TrunkOrder) == order


@pytest.mark.parametrize("linear", [False, True])
def test_a_trunk_that_is_known_serves_another_number_of_classes_without_its_framework(keras, build, tmp_path, linear):
    """New photos mostly have other classes, and the framework takes seconds: what it confirmed is the same."""
    few, many = (TrunkOrder(replace(build, num_classes=classes, linear_head=linear)) for classes in (4, 7))
    of_few, of_many = (room_of(NAME).build(order.build) for order in (few, many))
    draft_trunk(of_few, few, tmp_path)
    confirm_trunk(of_few, few, tmp_path, {"keras": "that of then"})
    assert not adopt_trunk(replace(many, build=replace(many.build, linear_head=not linear)), tmp_path)
    assert not adopt_trunk(replace(many, build=replace(many.build, img_size=(96, 96))), tmp_path)
    assert adopt_trunk(many, tmp_path)
    known, adopted = opened(few, tmp_path), opened(many, tmp_path)
    for name in ("trunk.xml", "trunk.bin"):
        assert (adopted.folder / name).read_bytes() == (known.folder / name).read_bytes()
    assert (adopted.parity, adopted.until, adopted.versions) == (known.parity, known.until, known.versions)
    assert adopted.parameters == tuple(of_many.parameters)
    assert known.parameters == tuple(of_few.parameters)
    plain = keras.models.load_model(adopted.model_template, compile=False, safe_mode=True)
    assert plain.output_shape == (None, 7)
    assert [weights.shape for weights in plain.get_weights()] == [
        weights.shape for weights in of_many.model.get_weights()]
    room_of(NAME).load(adopted.model_template, replace(many.build, weights_file=None))
    assert np.ptp(plain.get_layer("predictions").get_weights()[0]) > 0
    (known.folder / "trunk.bin").write_bytes(b"damaged")
    shutil.rmtree(adopted.folder)
    assert not adopt_trunk(many, tmp_path)


def test_the_model_file_is_an_ordinary_one(keras, build, classifier, trunk, tmp_path):
    """It was written without Keras; Keras must open it, and our room too, and say what trunk and head say."""
    rng = np.random.default_rng(2)
    head = Head("avg", (Dense(rng.normal(0, 0.1, (1280, 512)).astype(np.float32), np.zeros(512, np.float32), "relu"),
                        Dense(rng.normal(0, 0.1, (512, 4)).astype(np.float32), np.zeros(4, np.float32), "softmax")))
    write_model_file(trunk.model_template, head, tmp_path / "m.h5", {"class_names": ["a"]})
    photos = rng.random((3, SIDE, SIDE, 3), dtype=np.float32)
    plain = keras.models.load_model(tmp_path / "m.h5", compile=False, safe_mode=True)
    wanted = head.probabilities(classifier.features(photos))
    np.testing.assert_allclose(plain.predict(photos, verbose=0), wanted, atol=1e-5)
    ours = room_of(NAME).load(tmp_path / "m.h5", replace(build, weights_file=None))
    np.testing.assert_allclose(ours.predict(photos), wanted, atol=1e-5)
    with pytest.raises(ModelError, match="hidden"):
        write_model_file(trunk.model_template, Head("avg", (head.layers[1], head.layers[1])), tmp_path / "n.h5", {})
    assert not (tmp_path / "n.h5").exists()
