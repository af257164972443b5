"""load_model: anybody's Keras file as it is, and nothing of anybody's is executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from matlens.errors import ModelError

pytestmark = pytest.mark.keras

CLASSES = 3
SIDE = 32


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).random((10, SIDE, SIDE, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def plain(keras):
    """A model as a stranger may have made it: built-in layers, their own preprocessing and names."""
    keras.utils.set_random_seed(3)
    return keras.Sequential([
        keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(2.0, -1.0), keras.layers.RandomFlip("horizontal"),
        keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.BatchNormalization(),
        keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(CLASSES), keras.layers.Softmax()], name="of_a_stranger")


def with_layer(keras, layer):
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.GlobalAveragePooling2D()(layer(image))
    return keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(x))


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_strangers_model_is_judged_as_plain_keras_would(keras, plain, photos, tmp_path, suffix, compiled):
    """The comparison with a colleague's model is worth nothing if it answers otherwise here."""
    from matlens import evaluate_model, load_model

    if compiled:
        plain.compile("sgd", "categorical_crossentropy")
    plain.save(tmp_path / f"theirs.{suffix}")
    expected = keras.models.load_model(tmp_path / f"theirs.{suffix}", compile=False).predict(photos, verbose=0)
    model = load_model(tmp_path / f"theirs.{suffix}")
    assert isinstance(model, keras.Model)
    labels = np.arange(10) % CLASSES
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    found = evaluate_model(model, [(photos[:7], one_hot[:7]), (photos[7:], one_hot[7:])], "theirs", save_dir=tmp_path)
    with np.load(tmp_path / "theirs_predictions.npz") as saved:
        np.testing.assert_allclose(saved["probabilities"], expected, atol=1e-5)
    assert found["accuracy"] == metrics.accuracy_score(labels, expected.argmax(1))
    assert found["parameters"] == plain.count_params()


@pytest.mark.slow
def test_a_nested_backbone_opens(keras, photos, tmp_path):
    """Transfer learning, as Keras' own guide does it, nests an application."""
    from matlens import load_model

    base = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), alpha=0.35)
    model = with_layer(keras, base)
    model.save(tmp_path / "nested.keras")
    np.testing.assert_allclose(load_model(str(tmp_path / "nested.keras")).predict(photos, verbose=0),
                               model.predict(photos, verbose=0), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg19_scratch", "mobilenetv2_transfer"])
def test_our_own_files_open_too(keras, tmp_path, name):
    """load_model is how a notebook gets its model back after a restart."""
    from matlens import build_mobilenetv2_transfer, build_vgg19_scratch, load_model

    if name == "vgg19_scratch":
        model = build_vgg19_scratch((SIDE, SIDE, 3), CLASSES)
    else:
        model, _ = build_mobilenetv2_transfer((SIDE, SIDE, 3), CLASSES, weights=None, alpha=0.35)
    model.save(tmp_path / "ours.h5", include_optimizer=False)
    photo = np.full((1, SIDE, SIDE, 3), 0.5, np.float32)
    np.testing.assert_allclose(load_model(tmp_path / "ours.h5").predict(photo, verbose=0),
                               model.predict(photo, verbose=0), atol=1e-5)


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("nested", [True, False])
def test_lambda_layers_are_refused_and_not_executed(keras, tmp_path, suffix, nested):
    """A model file from the network must not be able to run anything here."""
    from matlens import load_model

    canary = tmp_path / "canary"

    def harm(x, path=str(canary)):
        from pathlib import Path

        Path(path).touch()
        return x

    layer = keras.layers.Lambda(harm, output_shape=(SIDE, SIDE, 3), name="harmless")
    if nested:
        inside = keras.Input((SIDE, SIDE, 3))
        layer = keras.Model(inside, layer(inside), name="backbone")
    with_layer(keras, layer).save(tmp_path / f"theirs.{suffix}")
    canary.unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"Lambda") as caught:
        load_model(tmp_path / f"theirs.{suffix}")
    assert f"theirs.{suffix}" in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_registered_layers_of_others_are_refused_and_not_executed(keras, tmp_path, suffix):
    """What another library registered in this process is code, too, even if Keras would find it."""
    from matlens import load_model

    built = []

    @keras.saving.register_keras_serializable("somebody")
    class Shade(keras.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            built.append(self)

        def call(self, x):
            return x

    with_layer(keras, Shade()).save(tmp_path / f"theirs.{suffix}")
    built.clear()
    with pytest.raises(ModelError, match="Shade"):
        load_model(tmp_path / f"theirs.{suffix}")
    assert not built


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_registered_functions_of_others_are_refused_and_not_executed(keras, tmp_path, suffix):
    """An activation is a function that the file names."""
    from matlens import load_model

    called = []

    @keras.saving.register_keras_serializable("somebody")
    def shading(x):
        called.append(x)
        return x

    with_layer(keras, keras.layers.Conv2D(3, 1, activation=shading)).save(tmp_path / f"theirs.{suffix}")
    called.clear()
    with pytest.raises(ModelError, match="shading"):
        load_model(tmp_path / f"theirs.{suffix}")
    assert not called


def damaged(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:len(content) * 2 // 3])


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_file_that_is_cut_is_named(keras, plain, tmp_path, suffix):
    """A broken download must not end in a traceback of h5py or zipfile."""
    from matlens import load_model

    plain.save(tmp_path / f"cut.{suffix}")
    damaged(tmp_path / f"cut.{suffix}")
    with pytest.raises(ModelError, match=f"cut.{suffix}"):
        load_model(tmp_path / f"cut.{suffix}")


@pytest.mark.parametrize("name", ["text.h5", "text.keras", "empty.h5", "missing.h5", "folder.keras",
                                  "weights.weights.h5", "pictures.keras", "config.keras"])
def test_what_is_no_model_is_named(keras, plain, tmp_path, name):
    """The usual slips: the wrong file, weights alone, another kind of archive."""
    import zipfile

    from matlens import load_model

    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("layers: 19")
    elif name.startswith("empty"):
        path.touch()
    elif name.startswith("folder"):
        path.mkdir()
    elif name.startswith("weights"):
        plain.save_weights(path)
    elif name.endswith(".keras"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("1.png" if name.startswith("pictures") else "config.json", '["a list"]')
    with pytest.raises(ModelError, match=name) as caught:
        load_model(path)
    if name.startswith("weights"):
        assert "Weights alone" in str(caught.value)
