"""ResNet50 and MobileNetV2 by transfer: a pretrained backbone, frozen, under a new head."""

from collections.abc import Callable
from pathlib import Path

import keras
from keras import layers

from matlens.errors import WeightsError
from matlens.models.keras.adam import fast_adam
from matlens.models.keras.preprocessing import caffe_layer, unit_range_layer
from matlens.models.registry import spec_of

FINETUNING_LEARNING_RATE = 1e-5


def build_resnet50(
    input_shape: tuple[int, int, int], num_classes: int, weights: str | Path | None, include_top: bool = False,
) -> tuple[keras.Model, keras.Model]:
    """(model, base_model); see `models.doors.build_resnet50_transfer`.

    `weights` is a file, None for random ones, or a name that Keras looks up itself.
    """
    base_model = _backbone(keras.applications.ResNet50, weights, include_top=include_top, input_shape=input_shape)
    model = _with_head(base_model, caffe_layer(), input_shape, num_classes, "resnet50_transfer", weights)
    return model, base_model


def build_mobilenetv2(
    input_shape: tuple[int, int, int], num_classes: int, weights: str | Path | None, include_top: bool = False,
    alpha: float = 1.0,
) -> tuple[keras.Model, keras.Model]:
    """(model, base_model); see `models.doors.build_mobilenetv2_transfer`."""
    base_model = _backbone(keras.applications.MobileNetV2, weights, include_top=include_top,
                           input_shape=input_shape, alpha=alpha)
    model = _with_head(base_model, unit_range_layer(), input_shape, num_classes, "mobilenetv2_transfer", weights)
    return model, base_model


def unfreeze(model: keras.Model, base_model: keras.Model, num_layers_to_unfreeze: int) -> None:
    """See `models.doors.unfreeze_resnet_for_finetuning`.

    The batch normalisation of a pretrained backbone stays frozen: a frozen layer is what Keras runs in inference mode
    (training=False in the call is overridden by the outer model's training=True).
    """
    fixed = getattr(model, "pretrained", None)
    if fixed is None:  # not of our making: a model read from a file
        fixed = any(not layer.trainable for layer in normalisations(base_model))
    base_model.trainable = True
    for layer in base_model.layers[:max(0, len(base_model.layers) - num_layers_to_unfreeze)]:
        layer.trainable = False
    for layer in normalisations(base_model) if fixed else []:
        layer.trainable = False
    compile_classifier(model, fast_adam(FINETUNING_LEARNING_RATE))


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
    num_classes: int, name: str, weights: str | Path | None,
) -> keras.Model:
    head = spec_of(name).head
    assert head is not None
    base_model.trainable = weights is None
    image = keras.Input(input_shape, name="image")
    x = preprocessing(image)
    x = base_model(x)
    x = layers.Dense(head.hidden_units, activation="relu", name="hidden")(x)
    x = layers.Dropout(head.dropout, name="dropout")(x)
    x = layers.Dense(num_classes, activation="softmax", name="predictions")(x)
    model = keras.Model(image, x, name=name)
    model.pretrained = weights is not None
    compile_classifier(model, fast_adam(head.learning_rate))
    return model


def compile_classifier(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """With the guide's loss and metric."""
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
