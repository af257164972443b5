"""The Keras room: architectures as the guide has them, files that open anywhere, trunk and head."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.errors import ModelError, WeightsError
from matlens.models.protocol import BuildOrder, room_of

pytestmark = pytest.mark.keras

CLASSES = 5
SHAPE = (64, 64, 3)
CHAIN = ("depthwise", "depthwise_BN", "depthwise_relu", "project", "project_BN")


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).random((6, *SHAPE), dtype=np.float32)


@pytest.fixture(scope="module")
def classifiers(keras):
    """One of each, from random weights."""
    return {name: room_of(name).build(BuildOrder(name, CLASSES, SHAPE[:2]))
            for name in ("vgg19_scratch", "resnet50_transfer", "mobilenetv2_transfer")}


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_vgg19_has_the_guides_layers(keras, classifiers):
    """A different VGG19 could not be compared with anyone else's."""
    model = classifiers["vgg19_scratch"].model
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    denses = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in denses] == [4096, 4096, CLASSES]
    for layer in convolutions + denses:
        assert layer.kernel_regularizer.l2 == pytest.approx(1e-4)
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("name", "rate", "dropout"), [
    ("vgg19_scratch", 1e-4, 0.5), ("resnet50_transfer", 1e-3, 0.5), ("mobilenetv2_transfer", 1e-3, 0.6)])
def test_optimiser_loss_and_dropout_are_the_guides(keras, classifiers, name, rate, dropout):
    """Other rates train other models."""
    classifier = classifiers[name]
    assert isinstance(classifier.model.optimizer, keras.optimizers.Adam)
    assert classifier.learning_rate == pytest.approx(rate)
    assert classifier.model.loss == "categorical_crossentropy"
    assert {layer.rate for layer in classifier.model.layers if isinstance(layer, keras.layers.Dropout)} == {dropout}


def test_parameter_counts_are_the_backbones_plus_the_heads(keras, classifiers):
    """Keras' own backbones, the head by hand, and 9 + 3 numbers of ResNet50's Caffe convolution."""
    own = {
        "vgg19_scratch": keras.applications.VGG19(include_top=False, weights=None, input_shape=SHAPE).count_params()
        + dense(2 * 2 * 512, 4096) + dense(4096, 4096) + dense(4096, CLASSES),
        "resnet50_transfer": 23_587_712 + dense(2048, 512) + dense(512, CLASSES) + 12,
        "mobilenetv2_transfer": 2_257_984 + dense(1280, 512) + dense(512, CLASSES),
    }
    assert {name: classifier.parameters[0] for name, classifier in classifiers.items()} == own


@pytest.mark.parametrize(("name", "layers", "guides"), [
    ("vgg19_scratch", [f"block{block}_{part}" for block in range(1, 6) for part in (
        *(f"conv{number}" for number in range(1, 3 if block < 3 else 5)), "pool")][:-1], None),
    ("resnet50_transfer", ["conv1_pad", "conv1_conv", "conv1_bn", "conv1_relu", "pool1_pad", "pool1_pool", *(
        f"conv{stage}_block{block}_{end}" for stage, blocks in ((2, 3), (3, 4), (4, 6), (5, 3))
        for block in range(1, blocks + 1) for end in ("add", "out"))], "conv4_block5_out"),
    # Sandler et al. 2018, table 2: the first block of a row, of another width or stride, has no shortcut.
    ("mobilenetv2_transfer", ["Conv1", "bn_Conv1", "Conv1_relu", *(f"expanded_conv_{part}" for part in CHAIN), *(
        f"block_{block}_{part}" for block in range(1, 17) for part in (
            ("expand", "expand_BN", "expand_relu", *["pad"] * (block in (1, 3, 6, 13)), *CHAIN)
            if block in (1, 3, 6, 10, 13, 16) else ("add",))), "Conv_1", "Conv_1_bn", "out_relu"], "block_12_add")])
def test_a_network_can_be_cut_wherever_one_tensor_alone_goes_on(classifiers, name, layers, guides):
    """Inside a residual block, after `conv4_block6_1_relu` say, two go on; one of them alone would be half of the sum.

    The guide's second stage trains 40 layers: ResNet50's from conv4_block6_2_conv on, MobileNetV2's from block_12_add.
    """
    from matlens.models.keras.finetuning import single_tensors

    assert list(single_tensors(classifiers[name].model)) == layers
    if guides:
        assert classifiers[name].cut_for_finetuning() == guides


def test_preprocessing_is_each_backbones_own(keras, classifiers, photos):
    """A ResNet50 fed with [0, 1] may not learn at all."""
    from keras.applications import mobilenet_v2, resnet50

    caffe = classifiers["resnet50_transfer"].model.get_layer("caffe_preprocessing")
    np.testing.assert_allclose(caffe(photos), resnet50.preprocess_input(photos * 255), atol=1e-3)
    unit = classifiers["mobilenetv2_transfer"].model.get_layer("unit_preprocessing")
    np.testing.assert_allclose(unit(photos), mobilenet_v2.preprocess_input(photos * 255), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg19_scratch", "resnet50_transfer", "mobilenetv2_transfer"])
def test_a_saved_model_opens_in_plain_keras_and_in_ours(keras, classifiers, photos, tmp_path, name):
    """The file is what people keep: it must open without matlens, in safe mode, and say the same."""
    classifier = classifiers[name]
    path = tmp_path / f"{name}.h5"
    classifier.save(path, {"class_names": ["a"] * CLASSES})
    expected = classifier.predict(photos)
    plain = keras.models.load_model(path, safe_mode=True)
    np.testing.assert_allclose(plain.predict(photos, verbose=0), expected, atol=1e-5)
    ours = room_of(name).load(path, BuildOrder(name, CLASSES, SHAPE[:2]))
    np.testing.assert_allclose(ours.predict(photos), expected, atol=1e-5)
    with pytest.raises(ModelError, match=path.name):
        room_of(name).load(path, BuildOrder(name, CLASSES + 1, SHAPE[:2]))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "last"), [
    ("vgg19_scratch", "block5_conv4"), ("resnet50_transfer", "conv5_block3_out"), ("mobilenetv2_transfer", "out_relu")])
def test_trunk_and_head_say_what_the_model_says(keras, classifiers, photos, tmp_path, name, last):
    """Every later figure comes from the artifact, so it must be the trained model."""
    from matlens.features.artifact import Artifact, write_artifact
    from matlens.models.keras.cut import find_cut

    classifier = classifiers[name]
    assert find_cut(classifier.model).last_layer_name == last
    write_artifact(tmp_path / "a", classifier.export_trunk, classifier.predict, photos, name, tuple("abcde"))
    artifact = Artifact.open(tmp_path / "a")
    np.testing.assert_allclose(artifact.predict(photos), classifier.predict(photos), atol=1e-4)
    weights = tmp_path / "a" / "trunk.bin"
    damaged = bytearray(weights.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(ModelError, match="checksum"):
        Artifact.open(tmp_path / "a")


@pytest.mark.parametrize("name", ["vgg19_scratch", "resnet50_transfer", "mobilenetv2_transfer"])
def test_the_heads_gradient_is_the_frameworks(keras, classifiers, photos, name):
    """Grad-CAM in closed form must be Grad-CAM: TensorFlow's gradient of the logit by the feature map."""
    import tensorflow as tf

    from matlens.models.keras.cut import find_cut, head_of, trunk_of

    model = classifiers[name].model
    cut = find_cut(model)
    features = trunk_of(model, cut)(photos)
    with tf.GradientTape() as tape:
        tape.watch(features)
        x = tf.reduce_mean(features, (1, 2)) if name != "vgg19_scratch" else tf.reshape(
            tf.nn.max_pool2d(features, 2, 2, "VALID"), (len(photos), -1))
        for layer in cut.dense[:-1]:
            x = layer(x)
        score = (x @ cut.dense[-1].kernel + cut.dense[-1].bias)[:, 2]
    expected = tape.gradient(score, features).numpy().sum((1, 2))
    head = head_of(cut)
    found = head.channel_gradients(head.forward(features.numpy()), np.full(len(photos), 2), features.shape[-1])
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.slow
def test_a_pretrained_backbone_is_frozen_and_unfrozen_as_the_guide_says(keras, published):
    """Batch normalisation in inference mode, forty layers, a rate of 1e-5."""
    from matlens import build_mobilenetv2_transfer, unfreeze_resnet_for_finetuning
    from matlens.models.keras.classifier import KerasClassifier

    model, base = build_mobilenetv2_transfer(SHAPE, CLASSES, weights=published, alpha=0.35)
    assert not base.trainable_weights
    assert not KerasClassifier(model).trains_statistics
    again = unfreeze_resnet_for_finetuning(model, base)
    assert again is model
    normalised = [isinstance(layer, keras.layers.BatchNormalization) for layer in base.layers]
    late = [False] * (len(base.layers) - 40) + [True] * 40
    assert [layer.trainable for layer in base.layers] == [a and not b for a, b in zip(late, normalised, strict=True)]
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-5)
    classifier = KerasClassifier(model, base)
    assert not classifier.trains_statistics
    name = "Conv_1_bn"
    before = keras.ops.convert_to_numpy(base.get_layer(name).moving_mean)
    rng = np.random.default_rng(0)
    classifier.train_epoch([(rng.random((4, *SHAPE), dtype=np.float32), np.eye(CLASSES, dtype=np.float32)[:4])],
                           lambda *_: None)
    np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(base.get_layer(name).moving_mean))


def test_weights_that_do_not_fit_are_named(keras, tmp_path):
    """A wrong file must not end in a traceback of h5py."""
    from matlens import build_resnet50_transfer

    (tmp_path / "wrong.h5").write_text("no weights")
    with pytest.raises(WeightsError, match=r"wrong\.h5"):
        build_resnet50_transfer(SHAPE, CLASSES, weights=tmp_path / "wrong.h5")


@pytest.mark.slow
def test_include_top_and_alpha_work(keras, photos):
    """Parameters of the guide that are rarely used, and must not crash."""
    from matlens import build_mobilenetv2_transfer, build_resnet50_transfer

    for model, _ in (build_mobilenetv2_transfer(SHAPE, CLASSES, include_top=True, weights=None, alpha=0.35),
                     build_resnet50_transfer(SHAPE, CLASSES, include_top=True, weights=None)):
        np.testing.assert_allclose(model.predict(photos, verbose=0).sum(1), 1, atol=1e-5)
    narrow, _ = build_mobilenetv2_transfer(SHAPE, CLASSES, weights=None, alpha=0.35)
    assert narrow.count_params() < 1_300_000


def test_recomputed_statistics_are_the_photos_own(keras):
    """Without them MobileNetV2 from random weights answers one class to everything."""
    from matlens.models.keras.classifier import KerasClassifier

    image = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization(momentum=0.999)(image)
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    batches = [(rng.random((8, 4, 4, 3), dtype=np.float32) * scale, np.zeros((8, 2), np.float32))
               for scale in (1, 2, 3)]
    classifier = KerasClassifier(model)
    assert classifier.trains_statistics
    classifier.recompute_statistics(batches)
    layer = model.layers[1]
    np.testing.assert_allclose(layer.moving_mean, np.mean([b.mean((0, 1, 2)) for b, _ in batches], 0), atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, np.mean([b.var((0, 1, 2)) for b, _ in batches], 0), atol=1e-5)
    assert layer.momentum == 0.999


def test_scores_are_means_over_photos(keras):
    """Batches of different sizes must not count alike."""
    from matlens.models.keras.classifier import KerasClassifier

    image = keras.Input((1, 1, 2))
    model = keras.Model(image, keras.layers.Activation("softmax")(keras.layers.Flatten()(image)))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], np.float32)).reshape(3, 1, 1, 2)
    y = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    scores = KerasClassifier(model).validate([(x[:2], y[:2]), (x[2:], y[2:])])
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.loss == pytest.approx(-np.log([0.9, 0.8, 0.3]).mean(), abs=1e-5)


def test_callbacks_agree_with_keras(keras):
    """Early stopping and the plateau are ours for both rooms, and must be Keras' by definition."""
    from matlens.training.callbacks import EarlyStopping, ReduceOnPlateau

    class Stub:
        stop_training = False
        optimizer = keras.optimizers.SGD(1.0)

        def get_weights(self):
            return []

    rng = np.random.default_rng(3)
    for _ in range(50):
        losses = np.round(rng.random(25), 1) + np.linspace(0.3, 0, 25)
        stub = Stub()
        stub.optimizer = keras.optimizers.SGD(1.0)
        stop, reduce = keras.callbacks.EarlyStopping(patience=5), keras.callbacks.ReduceLROnPlateau(patience=3)
        ours, plateau, rate = EarlyStopping(5), ReduceOnPlateau(3), 1.0
        for callback in (stop, reduce):
            callback.set_model(stub)
            callback.on_train_begin()
        for epoch, loss in enumerate(losses):
            stop.on_epoch_end(epoch, {"val_loss": loss})
            reduce.on_epoch_end(epoch, {"val_loss": loss})
            rate = plateau.next_rate(loss, rate)
            assert ours.should_stop(loss) == stub.stop_training
            assert rate == pytest.approx(float(stub.optimizer.learning_rate), rel=1e-5)
            if stub.stop_training:
                break


def test_build_datasets_gives_what_the_guide_says(keras, drawn, tmp_path, monkeypatch):
    """[0, 1] float32 photos with one-hot labels, in the guide's order; the raw ones in [0, 255]."""
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "cache"))
    from matlens import build_datasets, create_split, get_augmentation_layer

    create_split(drawn, tmp_path / "prepared")
    train, val, test, raw = build_datasets(tmp_path / "prepared", (48, 48), 5, return_raw=True)
    assert ["brick", "foliage", "sky", "wood"] == train.class_names == val.class_names == test.class_names
    counts = {}
    for part, dataset in (("train", train), ("val", val), ("test", test)):
        labels = []
        for images, one_hot in dataset:
            assert images.dtype == "float32"
            assert images.shape[1:] == (48, 48, 3)
            assert 0 <= float(images.numpy().min()) <= float(images.numpy().max()) <= 1
            np.testing.assert_array_equal(one_hot.numpy().sum(1), 1)
            labels.append(one_hot.numpy())
        counts[part] = np.concatenate(labels).sum(0).tolist()
    assert counts == {"train": [8] * 4, "val": [2] * 4, "test": [2] * 4}
    assert max(float(images.numpy().max()) for images, _ in raw) > 1
    assert len(train) == 7
    images = next(iter(train))[0]
    layer = get_augmentation_layer()
    np.testing.assert_array_equal(layer(images, training=False), images)
    varied = layer(images, training=True).numpy()
    assert 0 <= varied.min() <= varied.max() <= 1
    assert not np.array_equal(varied, images)
