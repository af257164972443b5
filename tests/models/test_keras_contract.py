"""What every network of keras.applications must do as a model: two of unlike kind in every run, the others marked slow.

MobileNetV3 has sums with numbers and a gate over channels, ConvNeXt nested models, layers of its own and a
normalisation behind its pooling; NASNet skips over every cell; EfficientNets scale inside.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from matlens.models.protocol import BuildOrder, room_of
from matlens.models.registry import MODELS

pytestmark = pytest.mark.keras

CLASSES, SIDE = 3, 64
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
QUICK = ("MobileNetV3Small",)
OF_PLACES = 128
"""The side of photos of which networks that halve them five times leave 4 x 4 places, so that corners are four."""

every_family = pytest.mark.parametrize("name", [
    *(f"keras/{name}" for name in QUICK),
    *(pytest.param(f"keras/{name}", marks=(pytest.mark.slow, pytest.mark.families)) for name in (
        "EfficientNetV2B0", "DenseNet121", "NASNetMobile", "Xception", "ConvNeXtTiny", "ResNet50V2", "InceptionV3",
        "InceptionResNetV2", "VGG16", "MobileNet", "EfficientNetB0"))])


def order_of(name: str) -> BuildOrder:
    side = max(SIDE, MODELS[name].smallest_side)
    return BuildOrder(name, CLASSES, (side, side))


@cache
def photos_of(name: str) -> Any:
    return np.random.default_rng(0).random((len(LABELS), *order_of(name).img_size, 3), dtype=np.float32)


@cache
def built(name: str) -> Any:
    """From random weights, with normalisation fitted to the photos: else its answers are the same to everything."""
    room = room_of(name)
    room.seed(1, False)
    classifier = room.build(order_of(name))
    if classifier.trains_statistics:
        classifier.recompute_statistics([(photos_of(name), ONE_HOT)])
    return classifier


@every_family
def test_its_artifact_computes_what_keras_does(name, tmp_path):
    """Features, predictions and heat maps of a run come from the artifact."""
    from matlens.features.artifact import Artifact, write_artifact

    classifier, photos = built(name), photos_of(name)
    write_artifact(tmp_path / "a", classifier.export_trunk, classifier.predict, photos, name, ("a", "b", "c"),
                   head_alone=classifier.head)
    artifact, expected = Artifact.open(tmp_path / "a", marked_too=True), classifier.features(photos)
    computed = artifact.trunk.features(photos)
    # InceptionV3's 94 layers of random weights enlarge the rounding of their input 10,000 times, in Keras alone too.
    nudged = photos + np.random.default_rng(1).choice(np.array([-1e-6, 1e-6], np.float32), photos.shape)
    own = np.abs(classifier.features(nudged) - expected).max()
    assert np.abs(computed - expected).max() <= max(1e-4 * np.abs(expected).max(), own)
    answers = classifier.predict(photos)
    own = np.abs(classifier.predict(nudged) - answers).max()
    np.testing.assert_allclose(artifact.predict(photos), answers, atol=max(1e-4, own))


@every_family
def test_its_file_opens_in_plain_keras_and_in_ours(keras, name, tmp_path):
    """The file is what people keep: it must open without matlens, in safe mode, and say the same."""
    from matlens.models.keras.foreign import open_foreign

    classifier, photos, path = built(name), photos_of(name), tmp_path / "model.h5"
    classifier.save(path, {"class_names": ["a", "b", "c"]})
    expected = classifier.predict(photos)
    np.testing.assert_allclose(room_of(name).load(path, order_of(name)).predict(photos), expected, atol=1e-5)
    np.testing.assert_allclose(keras.models.load_model(path, safe_mode=True).predict(photos, verbose=0), expected,
                               atol=1e-5)
    assert open_foreign(path).class_names == ("a", "b", "c")


@every_family
def test_it_can_be_cut_and_explained(name):
    """`strong` trains what follows the cut on cached activations, Grad-CAM reads the gradient in closed form."""
    classifier, photos, cut = built(name), photos_of(name), MODELS[name].strong_cut
    activations = classifier.features(photos, cut)
    rest, whole = classifier.after(cut).validate([(activations, ONE_HOT)]), classifier.validate([(photos, ONE_HOT)])
    assert rest.loss == pytest.approx(whole.loss, rel=1e-3, abs=1e-3)
    head, last = classifier.head(), classifier.last_conv_layer_name
    features, gradients = classifier.features_and_gradients(photos, LABELS, last)
    expected = head.gradients(head.forward(features), LABELS, features)
    np.testing.assert_allclose(gradients, expected, atol=1e-3 * np.abs(expected).max())
    assert classifier.features_and_gradients(photos, LABELS, cut)[0].shape == activations.shape


@every_family
def test_what_follows_its_cut_is_trained_and_nothing_else(name):
    """The activations before the cut are cached: they must stay true."""
    classifier, photos, cut = built(name), photos_of(name), MODELS[name].strong_cut
    before, answers = classifier.features(photos, cut), classifier.predict(photos)
    snapshot = classifier.snapshot()
    classifier.begin_finetuning(cut)
    classifier.learning_rate = 1e-3
    classifier.train_epoch([(photos, ONE_HOT)], lambda *_: None)
    np.testing.assert_allclose(classifier.features(photos, cut), before, atol=1e-5 * max(1, np.abs(before).max()))
    assert np.abs(classifier.predict(photos) - answers).max() > 1e-6
    classifier.restore(snapshot)


@every_family
def test_its_training_goes_on_in_a_fresh_network(name):
    """A run that was killed must end as it would have: weights, moments, statistics and dropout."""
    room, photos = room_of(name), photos_of(name)[:4]
    batches = [(photos[order], ONE_HOT[order]) for order in (np.array([0, 1, 2, 3]), np.array([3, 1, 0, 2]))]
    networks = []
    for _ in range(2):
        room.seed(1, False)  # as each process does, so that dropout draws the same
        networks.append(room.build(order_of(name)))
    whole, fresh = networks
    whole.resume(built(name).snapshot(), whole.training_state())
    whole.train_epoch(batches[:1], lambda *_: None)
    stopped, state = whole.snapshot(), whole.training_state()
    fresh.resume(stopped, state)
    for one, other in zip([*stopped, *state.values()], [*fresh.snapshot(), *fresh.training_state().values()],
                          strict=True):
        np.testing.assert_array_equal(one, other)
    expected = whole.train_epoch(batches[1:], lambda *_: None)
    assert fresh.train_epoch(batches[1:], lambda *_: None).loss == pytest.approx(expected.loss, rel=1e-3)


@every_family
def test_each_place_of_its_map_is_where_the_photo_has_it(name):
    """Rows in the place of columns, or places in another order, would light another corner."""
    from corner import moved_most_by

    room = room_of(name)
    room.seed(1, False)
    classifier = room.build(BuildOrder(name, CLASSES, (OF_PLACES, OF_PLACES)))
    photos = np.random.default_rng(0).random((4, OF_PLACES, OF_PLACES, 3), dtype=np.float32)
    if classifier.trains_statistics:
        classifier.recompute_statistics([(photos, ONE_HOT[:4])])
    assert moved_most_by(classifier.features, OF_PLACES).tolist() == [[0, 1], [2, 3]]


@pytest.mark.slow
@every_family
def test_heat_lights_the_marked_corner(name, tmp_path):
    """A quarter would be chance."""
    from corner import share_of_found_corners

    assert share_of_found_corners(name, tmp_path, side=OF_PLACES, epochs=5, batch_size=12) > 0.5


def test_names_of_layers_do_not_depend_on_what_was_built_before(keras):
    """A cut is named in settings, a frozen layer in a file: both are read in other processes."""
    from matlens.models.keras.networks.applications import backbone_of

    spec = MODELS["keras/MobileNetV3Small"]
    names = []
    for _ in range(2):
        keras.layers.Add()  # which counts the next one up
        with keras.StatelessScope():
            backbone = backbone_of(spec, None, include_top=False, input_shape=(32, 32, 3))
        names.append([layer.name for layer in backbone.layers if not isinstance(layer, keras.layers.InputLayer)])
    assert names[0] == names[1]
