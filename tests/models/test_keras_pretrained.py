"""Keras models that start from a file of weights: frozen, fine-tuned, saved and opened again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ModelError, WeightsError
from matlens.models.protocol import BuildOrder, room_of

pytestmark = pytest.mark.keras

CLASSES = 5
SIDE = 64
ALPHA = 0.35
NAMES = ["resnet50_transfer", "mobilenetv2_transfer"]


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).random((4, SIDE, SIDE, 3), dtype=np.float32)


def vary(model) -> None:
    """Make all weights differ from what they are at the start, statistics included."""
    rng = np.random.default_rng(1)
    model.set_weights([values + 0.05 * rng.random(values.shape, dtype=np.float32) for values in model.get_weights()])


@pytest.fixture(scope="module")
def backbones(keras, tmp_path_factory):
    """Keras' own backbones with weights of their own, and those in .h5 files as Keras publishes them."""
    folder, made = tmp_path_factory.mktemp("weights"), {}
    for name, application, options in (("resnet50_transfer", keras.applications.ResNet50, {}),
                                       ("mobilenetv2_transfer", keras.applications.MobileNetV2, {"alpha": ALPHA})):
        backbone = application(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), **options)
        vary(backbone)
        backbone.save(folder / f"{name}.h5", include_optimizer=False)
        made[name] = (backbone, folder / f"{name}.h5")
    return made


def order(name: str, weights: Path | None = None, classes: int = CLASSES) -> BuildOrder:
    return BuildOrder(name, classes, (SIDE, SIDE), weights, {"alpha": ALPHA} if name.startswith("mobilenet") else {})


def assert_opens(keras, path: Path, name: str, photos: np.ndarray, expected: np.ndarray) -> None:
    """In plain Keras and in ours, with the same answers."""
    plain = keras.models.load_model(path, safe_mode=True)
    np.testing.assert_allclose(plain.predict(photos, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(room_of(name).load(path, order(name)).predict(photos), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(NAMES[0], marks=pytest.mark.families), NAMES[1]])
def test_a_pretrained_model_trains_its_head_only_and_opens_again_frozen_or_finetuned(keras, backbones, photos,
                                                                                    tmp_path, name):
    """`matlens export` opens these files; Keras lists frozen and trainable weights in another order."""
    backbone, file = backbones[name]
    classifier = room_of(name).build(order(name, file))
    for ours, theirs in zip(classifier.base_model.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    inputs = backbone.output_shape[-1]
    assert classifier.parameters[1] == inputs * 512 + 512 + 512 * CLASSES + CLASSES
    classifier.train_epoch([(photos, np.eye(CLASSES, dtype=np.float32)[:4])], lambda *_: None)
    for ours, theirs in zip(classifier.base_model.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg="a frozen backbone has changed")
    classifier.save(tmp_path / "frozen.h5", {})
    assert_opens(keras, tmp_path / "frozen.h5", name, photos, classifier.predict(photos))
    classifier.begin_finetuning()
    classifier.train_epoch([(photos, np.eye(CLASSES, dtype=np.float32)[:4])], lambda *_: None)
    classifier.save(tmp_path / "tuned.h5", {})
    assert_opens(keras, tmp_path / "tuned.h5", name, photos, classifier.predict(photos))


@pytest.mark.parametrize("name", NAMES)
def test_a_random_backbone_is_trained_and_unfreezing_leaves_exactly_forty_layers(keras, name):
    """Random weights that were frozen would never learn; the guide's second stage is forty layers at 1e-5."""
    from matlens import unfreeze_resnet_for_finetuning

    classifier = room_of(name).build(order(name))
    base = classifier.base_model
    assert classifier.trains_statistics
    assert all(layer.trainable for layer in base.layers)
    unfreeze_resnet_for_finetuning(classifier.model, base)
    assert [layer.trainable for layer in base.layers] == [False] * (len(base.layers) - 40) + [True] * 40
    assert classifier.learning_rate == pytest.approx(1e-5)
    unfreeze_resnet_for_finetuning(classifier.model, base, num_layers_to_unfreeze=0)
    assert not base.trainable_weights


@pytest.mark.slow
def test_vgg19_has_the_published_layer_names_and_no_statistics(keras):
    """Names are how others find a layer; VGG19 has no batch normalisation to recompute."""
    classifier = room_of("vgg19_scratch").build(BuildOrder("vgg19_scratch", 2, (32, 32)))
    own = [layer.name for layer in keras.applications.VGG19(include_top=False, weights=None).layers[1:]]
    found = [layer.name for layer in classifier.model.layers[1:]]
    assert found == [*own, "flatten", "fc1", "dropout1", "fc2", "dropout2", "predictions"]
    assert not classifier.trains_statistics
    assert classifier.parameters[0] == classifier.parameters[1]


@pytest.mark.slow
def test_no_model_holds_code_in_its_file(keras, tmp_path):
    """A Lambda layer is refused by Keras' safe mode, and `about` must be readable without matlens."""
    import h5py

    for name in ("vgg19_scratch", *NAMES):
        model = room_of(name).build(BuildOrder(name, 2, (32, 32))).model
        assert not [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Lambda)]
    classifier = room_of("mobilenetv2_transfer").build(order("mobilenetv2_transfer"))
    classifier.save(tmp_path / "m.h5", {"class_names": ["ä", "b"]})
    with h5py.File(tmp_path / "m.h5") as file:
        assert json.loads(file["matlens"][()]) == {"class_names": ["ä", "b"]}


@pytest.mark.slow
def test_files_that_do_not_fit_are_named(keras, backbones, tmp_path):
    """Cut off, damaged, foreign, or of another network: a message, not a traceback of h5py."""
    room, name = room_of("mobilenetv2_transfer"), "mobilenetv2_transfer"
    room.build(order(name)).save(tmp_path / "good.h5", {})
    whole = (tmp_path / "good.h5").read_bytes()
    damaged = bytearray(whole)
    damaged[2_000:40_000] = bytes(38_000)
    for file, content in (("half.h5", whole[: len(whole) // 2]), ("damaged.h5", bytes(damaged)), ("empty.h5", b""),
                          ("text.h5", b"no weights"), ("missing.h5", None), ("resnet50_transfer.h5", None)):
        path = tmp_path / file
        if content is not None:
            path.write_bytes(content)
        elif file == "resnet50_transfer.h5":
            path = backbones["resnet50_transfer"][1]
        with pytest.raises(ModelError, match=file):
            room.load(path, order(name))
        with pytest.raises(WeightsError, match=file):
            room.build(order(name, path))
    with pytest.raises(ModelError, match=r"good\.h5.*6 classes"):
        room.load(tmp_path / "good.h5", order(name, classes=6))


def test_snapshot_and_restore_bring_the_answers_back(keras):
    """The best epoch's weights come back, batch normalisation's statistics too."""
    from matlens.models.keras.classifier import KerasClassifier

    image = keras.Input((4, 4, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(image))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    classifier = KerasClassifier(model)
    photos = np.random.default_rng(0).random((4, 4, 4, 3), dtype=np.float32)
    before, snapshot = model.get_weights(), classifier.snapshot()
    classifier.train_epoch([(photos, np.eye(2, dtype=np.float32)[[0, 1, 0, 1]])] * 2, lambda *_: None)
    # gamma, beta, mean, variance, kernel, bias
    assert all(np.abs(now - then).max() > 1e-6 for now, then in zip(model.get_weights(), before, strict=True))
    classifier.restore(snapshot)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_every_mobilenet_statistic_is_the_mean_over_batches(keras, photos):
    """The first normalisation, worked out by NumPy from its convolution's output."""
    classifier = room_of("mobilenetv2_transfer").build(order("mobilenetv2_transfer"))
    base = classifier.base_model
    first = keras.Model(base.input, base.get_layer("Conv1").output)
    batches = [(photos, np.zeros((4, CLASSES), np.float32)), (photos[:2] ** 2, np.zeros((2, CLASSES), np.float32))]
    out = [np.asarray(first(2 * images - 1)) for images, _ in batches]
    classifier.recompute_statistics(iter(batches))
    layer = base.get_layer("bn_Conv1")
    np.testing.assert_allclose(layer.moving_mean, np.mean([x.mean((0, 1, 2)) for x in out], 0), atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, np.mean([x.var((0, 1, 2)) for x in out], 0), atol=1e-5)
