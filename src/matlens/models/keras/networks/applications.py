"""Build a network of keras.applications as a backbone that can be named, cut, and saved in Keras' .h5.

Its layers have the same names in every process, all are of Keras' own public layers, and nothing stands behind its
pooling.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import keras
from keras import layers

from matlens.errors import ModelError, WeightsError
from matlens.models.spec import ModelSpec


def backbone_of(spec: ModelSpec, weights: str | Path | None, **options: object) -> keras.Model:
    """Return the spec's backbone: photos (B, H, W, 3) to pooled features (B, K).

    Args:
        weights: a file, None for random ones, or a name that Keras looks up itself.
        options: of the function in keras.applications.

    Raises:
        ModelError: keras.applications has no such backbone.
        WeightsError: the weights do not fit.
    """
    application = getattr(keras.applications, str(spec.backbone), None)
    if not callable(application):
        raise ModelError(f"{spec.name} names the backbone '{spec.backbone}', which keras.applications does not have "
                         f"in the version that is installed ({keras.__version__}).")
    try:
        backbone = application(weights=None if weights is None else str(weights), pooling=spec.pooling, **options)
    except Exception as error:
        # Keras wraps a failed download in a bare Exception; h5py and Keras refuse a file in many ways.
        if weights is None:
            raise
        raise WeightsError(f"Cannot load the weights '{weights}' into {spec.backbone}: {error}. Name a file that fits, "
                           "turn the network on, or use weights=None (--weights none).") from error
    backbone = _of_plain_layers(backbone, with_weights=weights is not None)
    _number_anew(backbone)
    return _pooled_last(backbone) if not options.get("include_top") else backbone


def _of_plain_layers(network: keras.Model, *, with_weights: bool) -> keras.Model:
    """Return the network with layers of Keras' own in place of operations (`a + b`) and of classes without a home.

    with_weights: False where they are random, so that the new layers' own will do.

    Keras' .h5 keeps the name of a class alone: what it holds of a sum that is written as `a + 3` is read as another
    class, and ConvNeXt's `LayerScale` is not found again. Keras also forgets, in a nested model that it reads from an
    .h5, the numbers of a `Normalization` that are weights. EfficientNet has one: it is left out, and the spec's
    preprocessing does its work.
    """
    if all(_is_plain(operation) for operation in network.operations):
        return network
    plain = keras.models.clone_model(network, clone_function=_plain, call_function=_called)
    for source in network.layers if with_weights else ():  # by name: a layer more on a branch changes the order
        layer = plain.get_layer(source.name)
        if layer.weights:
            layer.set_weights([values.reshape(variable.shape) for values, variable in zip(
                source.get_weights(), layer.weights, strict=True)])
    return plain


def _is_plain(operation: Any) -> bool:
    return (isinstance(operation, layers.Layer) and type(operation).__name__ not in ("LayerScale", "CustomScaleLayer")
            and not _normalises_by_weights(operation))


def _normalises_by_weights(operation: Any) -> bool:
    return isinstance(operation, layers.Normalization) and bool(operation.weights)


def _plain(operation: Any) -> Any:
    """Return a new layer in place of a layer; `_called` replaces what else there is.

    A factor for each channel is a depthwise convolution of one place.
    """
    if type(operation).__name__ == "LayerScale":
        return layers.DepthwiseConv2D(1, use_bias=False, name=operation.name,
                                      depthwise_initializer=keras.initializers.Constant(operation.init_values))
    if _normalises_by_weights(operation):
        return layers.Identity(name=operation.name)
    if type(operation).__name__ == "CustomScaleLayer" or not isinstance(operation, layers.Layer):
        return operation
    return type(operation).from_config(operation.get_config())


def _called(operation: Any, *arguments: Any, **more: Any) -> Any:
    """Return what an operation gives, by layers. Raises ModelError for an operation that no layer here stands for."""
    kind = type(operation).__name__
    if kind == "CustomScaleLayer":
        [shortcut, x] = arguments[0]
        x = layers.Rescaling(operation.scale, name=f"{operation.name}_scaled")(x)
        return layers.Add(name=operation.name)([shortcut, x])
    if isinstance(operation, layers.Layer):
        return operation(*arguments, **more)
    x, other = arguments
    if kind == "Add" and isinstance(other, keras.KerasTensor):
        return layers.Add(name=operation.name)([x, other])
    if kind == "Add" and isinstance(other, float):
        return layers.Rescaling(1.0, offset=other, name=operation.name)(x)
    if kind == "Multiply" and isinstance(other, float):
        return layers.Rescaling(other, name=operation.name)(x)
    raise ModelError(f"The operation {operation.name} of keras.applications is of a kind that matlens does not know: "
                     f"the installed version of Keras is {keras.__version__}.")


def _number_anew(model: keras.Model) -> None:
    """Count anew the operations whose names Keras made of class and number, such as `add_11`.

    Keras counts them in a process. So a cut that is named, and a file that says which layers were frozen, would mean
    other layers where another model was built before.
    """
    counts: Counter[str] = Counter()
    for operation in model.operations:
        kind = _in_snake_case(type(operation).__name__)  # or what a layer of Keras' own stands for, see `_plain`
        if given := re.fullmatch(rf"({kind}|add|multiply)(_\d+)?", operation.name):
            stem = given[1]
            operation.name = f"{stem}_{counts[stem]}" if counts[stem] else stem
            counts[stem] += 1


def _in_snake_case(class_name: str) -> str:
    """Return the name that Keras gives to the first layer of a class (keras.src.utils.naming.to_snake_case)."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)).lower()


def _pooled_last(backbone: keras.Model) -> keras.Model:
    """Return the backbone with what it does to its pooled features (ConvNeXt normalises them) done at each place.

    keras.applications does the same where it is asked not to pool. A head can then follow the pooling directly.
    """
    pool = next(number for number in reversed(range(len(backbone.layers)))
                if isinstance(backbone.layers[number], layers.GlobalAveragePooling2D))
    behind = backbone.layers[pool + 1:]
    if not behind:
        return backbone
    x = backbone.layers[pool].input
    for layer in behind:
        at_places = type(layer).from_config(layer.get_config())
        x = at_places(x)
        at_places.set_weights(layer.get_weights())
    return keras.Model(backbone.inputs[0], layers.GlobalAveragePooling2D(name="avg_pool")(x), name=backbone.name)
