"""ResNet50 and MobileNetV2 by transfer: a pretrained backbone, frozen, under a new head."""

from collections.abc import Callable
from pathlib import Path

import keras
from keras import layers

from matlens.errors import WeightsError
from matlens.models.on_keras.preprocessing import caffe_layer, unit_range_layer

LEARNING_RATE = 1e-3
FINETUNING_LEARNING_RATE = 1e-5
HIDDEN_UNITS = 512


def build_resnet50_transfer(
    input_shape: tuple[int, int, int] = (224, 224, 3), num_classes: int = 23, include_top: bool = False,
    weights: str | Path | None = "imagenet",
) -> tuple[keras.Model, keras.Model]:
    """ResNet50 under Dense(512, relu), Dropout(0.5), Dense(num_classes, softmax); compiled with Adam(1e-3).

    Args:
        include_top: keep the backbone's own 1000 ImageNet classes; the new head then reads their probabilities.
        weights: "imagenet" (from Keras' cache, else downloaded), a file, or None for random weights. A
            pretrained backbone is frozen; one with random weights is trained.

    Returns:
        (model, base_model), as `unfreeze_resnet_for_finetuning` takes them. The model maps
        (B, H, W, 3) float32 in [0, 1] to (B, num_classes) probabilities.

    Raises:
        WeightsError: the weights can be neither found nor downloaded, or do not fit.
    """
    base_model = _backbone(keras.applications.ResNet50, weights, include_top=include_top, input_shape=input_shape)
    model = _with_head(base_model, caffe_layer(), input_shape, num_classes, 0.5, "resnet50_transfer", weights)
    return model, base_model


def build_mobilenetv2_transfer(
    input_shape: tuple[int, int, int] = (224, 224, 3), num_classes: int = 23, include_top: bool = False,
    weights: str | Path | None = "imagenet", alpha: float = 1.0,
) -> tuple[keras.Model, keras.Model]:
    """MobileNetV2 under Dense(512, relu), Dropout(0.6), Dense(num_classes, softmax); compiled with Adam(1e-3).

    `alpha` is the width multiplier; the rest is as in `build_resnet50_transfer`.
    """
    base_model = _backbone(keras.applications.MobileNetV2, weights, include_top=include_top,
                           input_shape=input_shape, alpha=alpha)
    model = _with_head(base_model, unit_range_layer(), input_shape, num_classes, 0.6, "mobilenetv2_transfer",
                       weights)
    return model, base_model


def unfreeze_resnet_for_finetuning(
    model: keras.Model, base_model: keras.Model, num_layers_to_unfreeze: int = 40,
) -> keras.Model:
    """The guide's second stage: train the backbone's last layers too, with Adam(1e-5).

    The layers before stay frozen, and so does the batch normalisation of a pretrained backbone: a frozen layer is
    what Keras runs in inference mode (training=False in the call is overridden by the outer model's training=True).
    Works for any backbone. Returns `model`, compiled anew.
    """
    fixed = any(not layer.trainable for layer in normalisations(base_model))
    base_model.trainable = True
    for layer in base_model.layers[:max(0, len(base_model.layers) - num_layers_to_unfreeze)]:
        layer.trainable = False
    for layer in normalisations(base_model) if fixed else []:
        layer.trainable = False
    _compile(model, FINETUNING_LEARNING_RATE)
    return model


def normalisations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Its batch normalisation layers, those of nested models too."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += normalisations(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            found.append(layer)
    return found


def _backbone(application: Callable[..., keras.Model], weights: str | Path | None, **options: object) -> keras.Model:
    try:
        return application(weights=None if weights is None else str(weights), pooling="avg", **options)
    except Exception as error:
        # Keras wraps a failed download in a bare Exception; h5py and Keras refuse a file in many ways.
        if weights is None:
            raise
        raise WeightsError(f"Cannot load the weights '{weights}' into {application.__name__}: {error}. Name a file "
                           "that fits, turn the network on, or use weights=None (--weights none).") from error


def _with_head(
    base_model: keras.Model, preprocessing: keras.layers.Layer, input_shape: tuple[int, int, int],
    num_classes: int, dropout_rate: float, name: str, weights: str | Path | None,
) -> keras.Model:
    base_model.trainable = weights is None
    image = keras.Input(input_shape, name="image")
    x = preprocessing(image)
    x = base_model(x)
    x = layers.Dense(HIDDEN_UNITS, activation="relu", name="hidden")(x)
    x = layers.Dropout(dropout_rate, name="dropout")(x)
    x = layers.Dense(num_classes, activation="softmax", name="predictions")(x)
    model = keras.Model(image, x, name=name)
    _compile(model, LEARNING_RATE)
    return model


def _compile(model: keras.Model, learning_rate: float) -> None:
    model.compile(keras.optimizers.Adam(learning_rate), "categorical_crossentropy", metrics=["accuracy"])
