"""A Keras network divided inside its trunk: both parts together are the network, and so is training the second one."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from builders import cached_activations
from matlens.data.batches import PhotoBatches
from matlens.data.pixels.store import PixelStore
from matlens.errors import ModelError
from matlens.models.protocol import BuildOrder, room_of
from matlens.training.feature_batches import FeatureBatches
from published import publish

pytestmark = pytest.mark.keras

CLASSES, SIDE, CUT = 4, 64, "block_12_add"
PHOTOS = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.arange(len(PHOTOS)) % CLASSES


def build(name: str, weights: Path | None):
    return room_of(name).build(BuildOrder(name, CLASSES, (SIDE, SIDE), weights,
                                          {"alpha": 0.35} if name.startswith("mobilenet") else {}))


@pytest.fixture(scope="module")
def classifier(published):
    """MobileNetV2 with weights that stand for published ones."""
    return build("mobilenetv2_transfer", published)


@pytest.mark.parametrize("cut", [CUT, "out_relu"])
def test_both_parts_together_are_the_network(classifier, cut):
    """What is trained from the cut on is saved, exported and judged as the whole."""
    from matlens.models.keras.finetuning import after_cut, before_cut

    photos = PHOTOS.astype(np.float32) / 255
    activations = before_cut(classifier.model, cut)(photos, training=False)
    np.testing.assert_array_equal(classifier.features(photos, cut), activations)
    np.testing.assert_allclose(after_cut(classifier.model, cut)(activations, training=False),
                               classifier.model(photos, training=False), atol=1e-5)


@pytest.mark.parametrize("cut", ["block_12_expand", "predictions", "nothing"])
def test_a_layer_that_is_no_cut_is_refused_naming_those_that_are(classifier, cut):
    """--cut takes a name that nobody knows by heart."""
    for divide in (classifier.after, lambda cut: classifier.features(PHOTOS, cut)):
        with pytest.raises(ModelError, match=rf"cut after '{cut}'.*block_12_add, .*out_relu\."):
            divide(cut)


def test_nothing_lies_before_the_first_layer(classifier):
    """A guide's second stage that unfreezes a whole small backbone has nothing to keep."""
    from matlens.models.keras.finetuning import cut_before

    with pytest.raises(ModelError, match=r"before 'Conv1'.*--no-feature-cache"):
        cut_before(classifier.model, classifier.base_model.get_layer("Conv1"))


@pytest.mark.parametrize("pretrained", [True, False])
def test_exactly_what_lies_behind_the_cut_is_trained(keras, published, pretrained):
    """A pretrained backbone's normalisation stays in inference mode; a random one's is trained with the rest."""
    classifier = build("mobilenetv2_transfer", published if pretrained else None)
    classifier.begin_finetuning(CUT)
    chain = classifier.base_model.layers
    behind = [layer.name for layer in chain][[layer.name for layer in chain].index(CUT) + 1:]
    assert [layer.name for layer in chain if layer.trainable] == [
        name for name in behind if not (pretrained and name.endswith(("BN", "bn")))]
    assert classifier.trains_statistics is not pretrained
    assert all(layer.trainable for layer in classifier.model.layers if isinstance(layer, keras.layers.Dense))
    assert classifier.learning_rate == pytest.approx(1e-5)
    rest = classifier.after(CUT)
    assert rest.learning_rate == pytest.approx(1e-5)
    assert [id(each) for each in rest.model.trainable_weights] == [
        id(each) for each in classifier.model.trainable_weights]


def store() -> PixelStore:
    """The photos by row."""
    return PixelStore(Path(), PHOTOS, {}, np.array([zlib.crc32(photo.data) for photo in PHOTOS]), {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cut"), [
    ("mobilenetv2_transfer", None), ("mobilenetv2_transfer", "block_14_add"),
    pytest.param("resnet50_transfer", None, marks=pytest.mark.families)])
def test_finetuning_from_the_cut_is_finetuning_end_to_end(keras, published, tmp_path, name, cut):
    """Activations that are kept must not change what is learnt: four steps at the guide's rate, without dropout.

    Weights end apart by rounding alone, which differs between processors: by 0.004 % (MobileNetV2) to 8 % (ResNet50)
    of the way that they went (Adam lifts the smallest gradients' rounding to whole steps). Another order of photos
    takes them 35 to 57 % of it apart.
    """
    file = published
    if name == "resnet50_transfer":
        file = publish(keras, keras.applications.ResNet50, tmp_path / "resnet50.h5", reach=127)
    classifier = build(name, file)
    classifier.model.get_layer("dropout").rate = 0.0
    layer = cut or classifier.cut_for_finetuning()
    maps = cached_activations(tmp_path, classifier.features(PHOTOS.astype(np.float32) / 255, layer))
    ways = {
        "photos": (PhotoBatches(store(), np.arange(8), LABELS, CLASSES, 4, seed=3, shuffle=True), lambda: classifier),
        "activations": (FeatureBatches((maps,), LABELS, CLASSES, 4, seed=3, shuffle=True),
                        lambda: classifier.after(layer))}
    start, ends = classifier.snapshot(), {}
    for way, (batches, part) in ways.items():
        classifier.restore(start)
        classifier.begin_finetuning(cut)
        network = part()
        losses = [network.train_epoch(batches.epoch(epoch), lambda *_: None).loss for epoch in range(2)]
        ends[way] = (classifier.snapshot(), losses)
    trained = {id(each) for each in classifier.model.trainable_weights}
    moved, apart = 0.0, 0.0
    for variable, before, end, other in zip(classifier.model.weights, start, ends["photos"][0], ends["activations"][0],
                                            strict=True):
        if id(variable) in trained:
            moved += float(np.square(end - before).sum())
            apart += float(np.square(other - end).sum())
        else:
            np.testing.assert_array_equal(end, before, err_msg=variable.path)
            np.testing.assert_array_equal(other, before, err_msg=variable.path)
    assert apart**0.5 < 0.2 * moved**0.5
    (first, second), (other_first, other_second) = ends["photos"][1], ends["activations"][1]
    assert other_first == pytest.approx(first, rel=1e-3)
    assert abs(other_second - second) < 0.01 * (first - second)  # a processor's rounding moved it by 0.0001 of 2.2
