"""Grad-CAM of models that are none of the guide's: whatever their head is, the heat map is the true gradient's."""

from __future__ import annotations

import numpy as np
import pytest
from heat import from_gradients

from matlens import get_last_conv_layer_name, make_gradcam_heatmap

pytestmark = pytest.mark.keras

CLASSES = 3
SIDE = 33


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).random((SIDE, SIDE, 3), dtype=np.float32)


def heads(keras) -> dict[str, list]:
    """What may stand between the last convolution and the answer."""
    layers = keras.layers
    return {
        "linear": [layers.GlobalAveragePooling2D(), layers.Dense(6)],
        "relu": [layers.GlobalAveragePooling2D(), layers.Dense(6, activation="relu"), layers.Dropout(0.5)],
        "tanh": [layers.GlobalAveragePooling2D(), layers.Dense(6, activation="tanh")],
        "gelu": [layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(6, activation="gelu")],
        "activation layer": [layers.GlobalAveragePooling2D(), layers.Dense(6), layers.Activation("tanh")],
        "normalised": [layers.GlobalAveragePooling2D(), layers.Dense(6), layers.LayerNormalization()],
        "maximum": [layers.GlobalMaxPooling2D()],
        "no pooling": [layers.Flatten()],
        "pool of 3": [layers.MaxPooling2D(3), layers.Flatten()],
        "pool of 2, strides of 1": [layers.MaxPooling2D(2, strides=1), layers.Flatten()],
        "pool of 2, same padding": [layers.MaxPooling2D(2, padding="same"), layers.Flatten()],
        "average of 2": [layers.AveragePooling2D(2), layers.Flatten()],
    }


HEADS = ["linear", "relu", "tanh", "gelu", "activation layer", "normalised", "maximum", "no pooling", "pool of 3",
         "pool of 2, strides of 1", "pool of 2, same padding", "average of 2"]


@pytest.mark.parametrize("kind", HEADS)
def test_heat_maps_of_any_head_are_tensorflows(keras, photo, kind):
    """A heat map that is wrong looks like one that is right: a tape around the layers, one after the other."""
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    head = [*heads(keras)[kind], keras.layers.Dense(CLASSES, name="answer")]
    seen = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="seen")  # 9 x 9 places
    image = keras.Input((SIDE, SIDE, 3))
    x = seen(image)
    for layer in head[:-1]:
        x = layer(x)
    head[-1].activation = keras.activations.softmax
    model = keras.Model(image, head[-1](x))
    found = [make_gradcam_heatmap(photo, model, "seen", number) for number in range(CLASSES)]
    for number, heat in enumerate(found):
        with tf.GradientTape() as tape:
            features = x = seen(photo[None])
            tape.watch(features)
            for layer in head[:-1]:
                x = layer(x, training=False) if isinstance(layer, keras.layers.Dropout) else layer(x)
            score = (x @ head[-1].kernel + head[-1].bias)[:, number]
        expected = from_gradients(features.numpy(), tape.gradient(score, features).numpy())[0]
        np.testing.assert_allclose(heat, expected, atol=1e-4)
    assert max(heat.max() for heat in found) == 1


@pytest.mark.parametrize("kind", ["average", "maximum"])
def test_the_last_map_is_found_by_default(keras, photo, kind):
    """Who did not build the model does not know its layers' names."""
    model = keras.Sequential([
        keras.Input((SIDE, SIDE, 3)), keras.layers.Conv2D(4, 3, activation="relu", name="early"),
        keras.layers.MaxPooling2D(2), keras.layers.Conv2D(4, 3, activation="relu", name="seen"),
        keras.layers.GlobalAveragePooling2D() if kind == "average" else keras.layers.GlobalMaxPooling2D(),
        keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(CLASSES), keras.layers.Softmax()])
    assert get_last_conv_layer_name(model) == "seen"
    heat = make_gradcam_heatmap(photo, model)
    assert heat.shape == (13, 13)
    np.testing.assert_allclose(heat, make_gradcam_heatmap(photo, model, "seen"), atol=1e-6)


def test_a_sequential_model_by_hand(keras):
    """Keras' simplest kind of model: the colours are the feature maps, red speaks for class 0, green for class 1."""
    model = keras.Sequential([
        keras.Input((2, 2, 3)), keras.layers.Conv2D(3, 1, use_bias=False, name="colours"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax", name="answer")])
    model.get_layer("colours").set_weights([np.eye(3, dtype=np.float32)[None, None]])
    model.get_layer("answer").set_weights([np.eye(3, 2, dtype=np.float32), np.zeros(2, np.float32)])
    photo = np.zeros((2, 2, 3), np.float32)
    photo[..., 0] = [[1.0, 0.5], [0, 0.25]]
    photo[..., 1] = [[0, 0], [0.2, 0.4]]
    assert get_last_conv_layer_name(model) == "colours"
    np.testing.assert_allclose(make_gradcam_heatmap(photo, model, pred_index=0), [[1, 0.5], [0, 0.25]], atol=1e-6)
    np.testing.assert_allclose(make_gradcam_heatmap(photo, model, pred_index=1), [[0, 0], [0.5, 1]], atol=1e-6)
