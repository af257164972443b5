"""Divide a Keras classifier inside its trunk: what comes before a layer's output is frozen, the rest is trained."""

from typing import Any

import keras
from keras import layers, tree

from matlens.errors import ModelError
from matlens.models.capabilities.cuts import no_cut
from matlens.models.heads.stages import Depth
from matlens.models.keras.cut import find_backbone, find_cut, front_of, operations_of


def single_tensors(model: keras.Model) -> tuple[str, ...]:
    """Return the layers of the trunk, in order, whose output is all that later layers take.

    Inside a residual block later layers take two tensors, so no layer there is among them. A sum that is written as
    `a + b`, as in ConvNeXt, is an operation and counts as a layer.
    """
    chain = _chain(model)
    place = {layer.name: number for number, layer in enumerate(chain)}
    last_use = [0] * len(chain)
    for number, layer in enumerate(chain):
        if not isinstance(layer, layers.InputLayer):
            for tensor in tree.flatten(layer.input):
                source = place[tensor._keras_history.operation.name]
                last_use[source] = max(last_use[source], number)
    singles, open_until = [], 0
    for number, layer in enumerate(chain[:place[find_cut(model).last_layer_name] + 1]):
        if open_until <= number and number and len(layer.output.shape) == 4:
            singles.append(layer.name)
        open_until = max(open_until, last_use[number])
    return tuple(singles)


def depths_of(backbone: keras.Model) -> tuple[Depth, ...]:
    """Return the layers of `single_tensors` with their sizes."""
    shapes = {name: backbone.get_layer(name).output.shape for name in single_tensors(backbone)}
    return tuple(Depth(name, shape[1] * shape[2], shape[3]) for name, shape in shapes.items())


def cut_before(model: keras.Model, trainable: keras.layers.Layer) -> str:
    """Return the last of `single_tensors` before the first weights from a layer on. Raises ModelError without one."""
    chain = _chain(model)
    first = next(number for number in range(chain.index(trainable), len(chain))
                 if getattr(chain[number], "weights", None))
    before = {layer.name for layer in chain[:first]}
    cuts = [name for name in single_tensors(model) if name in before]
    if not cuts:
        raise ModelError(f"Nothing of {model.name} lies before '{trainable.name}', so no activations can be "
                         "cached. Use --no-feature-cache.")
    return cuts[-1]


def tensor_at(model: keras.Model, cut: str) -> keras.KerasTensor:
    """Return the output of a layer of the trunk. Raises ModelError where later layers take other tensors too."""
    cuts = single_tensors(model)
    if cut not in cuts:
        raise ModelError(no_cut(model.name, cut, cuts))
    tensor: keras.KerasTensor = next(operation.output for operation in _chain(model) if operation.name == cut)
    return tensor


def _chain(model: keras.Model) -> list[Any]:
    """Return the operations of the backbone, or of a model that has none, in order."""
    return operations_of(find_backbone(model) or model)


def before_cut(model: keras.Model, cut: str) -> keras.Model:
    """Return the model from photos (B, H, W, 3) in [0, 1] to the cut's activations (B, h, w, K), in inference mode."""
    return front_of(model, find_backbone(model), tensor_at(model, cut))


def after_cut(model: keras.Model, cut: str) -> keras.Model:
    """Return the model from the cut's activations to class probabilities: `model`'s own layers, not compiled."""
    backbone, tensor = find_backbone(model), tensor_at(model, cut)
    if backbone is None:
        return keras.Model(tensor, model.output, name=f"{model.name}_after_cut")
    rest = keras.Model(tensor, backbone.output)
    activations = keras.Input(tensor.shape[1:], name="activations")
    x = rest(activations)
    for layer in model.layers[model.layers.index(backbone) + 1:]:
        x = layer(x)
    return keras.Model(activations, x, name=f"{model.name}_after_cut")


def normalisations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return a model's batch normalisation layers, those of nested models too."""
    normalising = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            normalising += normalisations(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            normalising.append(layer)
    return normalising


def freeze_until(model: keras.Model, cut: str) -> None:
    """Train only what comes after the cut; batch normalisation that is frozen stays so. Does not compile."""
    divided, chain = find_backbone(model) or model, _chain(model)
    frozen = [layer for layer in normalisations(divided) if not layer.trainable]
    until = next(number for number, operation in enumerate(chain) if operation.name == cut)
    divided.trainable = True
    for layer in [*(operation for operation in chain[:until + 1] if isinstance(operation, layers.Layer)), *frozen]:
        layer.trainable = False
