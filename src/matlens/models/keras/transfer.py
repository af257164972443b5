"""Build what a spec declares: a pretrained backbone, frozen, under a new head; or a network with its own layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from matlens.errors import ModelError
from matlens.models.heads.stages import ProbedFeatures
from matlens.models.keras.cut import find_cut
from matlens.models.keras.finetuning import normalisations
from matlens.models.keras.networks.applications import backbone_of
from matlens.models.keras.networks.statistics import with_statistics
from matlens.models.keras.optimizers import compile_classifier, fast_adam
from matlens.models.keras.preprocessing import preprocessing_layer
from matlens.models.protocol import FINETUNING_LEARNING_RATE, BuildOrder
from matlens.models.spec import ModelSpec, Options

Shape = tuple[int, int, int]


def build_model(spec: ModelSpec, order: BuildOrder) -> tuple[keras.Model, keras.Model | None]:
    """Return (model, base_model), compiled; base_model is None where a spec's network has no backbone.

    Raises ModelError or WeightsError.
    """
    shape = (*order.img_size, 3)
    if spec.network is None:
        return build_transfer(spec, shape, order.num_classes, order.weights_file, order.options,
                              linear_head=order.linear_head, features=order.features)
    if order.features == "multi":
        raise ModelError(f"{spec.name} is no backbone under a head, so --features multi cannot look inside it. Use "
                         "--features last, or --recipe guide.")
    model = build_network(spec, shape, spec.network(order), pretrained=order.weights_file is not None)
    if order.linear_head and len(dense := find_cut(model).dense) != 1:
        raise ModelError(f"The head of {spec.name} is {len(dense)} dense layers of its own, and the recipe probe fits "
                         "one. Use --recipe guide.")
    return model, None


def build_network(spec: ModelSpec, input_shape: Shape, network: Callable[[Any], Any], *, pretrained: bool = False,
                  ) -> keras.Model:
    """Return a compiled model of a network's layers: `network` maps the preprocessed photos to probabilities."""
    image = x = keras.Input(input_shape, name="image")
    if spec.preprocess is not None:
        x = preprocessing_layer(spec.preprocess)(x)
    model = keras.Model(image, network(x), name=_layer_name(spec))
    model.pretrained = pretrained
    compile_classifier(model, fast_adam(spec.learning_rate))
    return model


def build_transfer(spec: ModelSpec, input_shape: Shape, num_classes: int, weights: str | Path | None,
                   options: Options, include_top: bool = False, *, linear_head: bool = False,
                   features: ProbedFeatures = "last") -> tuple[keras.Model, keras.Model]:
    """Return (model, base_model): the spec's preprocessing, its backbone, and its head, compiled.

    Args:
        weights: a file, None for random ones, or a name that Keras looks up itself. A pretrained backbone is frozen.
        options: the backbone's own.
        include_top: keep the backbone's own ImageNet classes; the head then reads their probabilities.
        linear_head: put one dense layer on the backbone in place of the spec's head.
        features: what of the backbone that sees.

    Raises:
        ModelError: keras.applications has no such backbone, or the spec no such option.
        WeightsError: the weights do not fit.
    """
    assert spec.head is not None
    base_model = backbone_of(spec, weights, include_top=include_top, input_shape=input_shape,
                             **spec.all_options(options))
    if features == "multi":
        base_model = with_statistics(base_model)
    # Built before the input: the order in which layers are made decides their initial weights.
    preprocessing = [] if spec.preprocess is None else [preprocessing_layer(spec.preprocess)]
    base_model.trainable = weights is None
    image = x = keras.Input(input_shape, name="image")
    for layer in (*preprocessing, base_model):
        x = layer(x)
    if not linear_head:
        x = layers.Dense(spec.head.hidden_units, activation="relu", name="hidden")(x)
        x = layers.Dropout(spec.head.dropout, name="dropout")(x)
    x = layers.Dense(num_classes, activation="softmax", name="predictions")(x)
    model = keras.Model(image, x, name=_layer_name(spec))
    model.pretrained = weights is not None
    compile_classifier(model, fast_adam(spec.head.learning_rate))
    return model, base_model


def unfreeze(model: keras.Model, base_model: keras.Model, num_layers_to_unfreeze: int) -> None:
    """Unfreeze a backbone's last layers; see `notebook.builders.unfreeze_resnet_for_finetuning`.

    The batch normalisation of a pretrained backbone stays frozen: a frozen layer is what Keras runs in inference mode
    (training=False in the call is overridden by the outer model's training=True).
    """
    is_pretrained = getattr(model, "pretrained", None)
    if is_pretrained is None:  # a model that was read from a file
        is_pretrained = any(not layer.trainable for layer in normalisations(base_model))
    base_model.trainable = True
    for layer in base_model.layers[:max(0, len(base_model.layers) - num_layers_to_unfreeze)]:
        layer.trainable = False
    for layer in normalisations(base_model) if is_pretrained else []:
        layer.trainable = False
    compile_classifier(model, fast_adam(FINETUNING_LEARNING_RATE))


def _layer_name(spec: ModelSpec) -> str:
    return spec.name.replace("/", "-")  # Keras takes no `/`
