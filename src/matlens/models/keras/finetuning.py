"""Divide a Keras classifier inside its trunk: what lies before a layer's output is frozen, the rest is trained."""

import keras
from keras import layers, tree

from matlens.errors import ModelError
from matlens.models.keras.cut import find_backbone, find_cut, front_of


def single_tensors(model: keras.Model) -> tuple[str, ...]:
    """The layers of the trunk whose output alone goes on to all later layers, from the photo on.

    Inside a residual block two tensors go on, so no layer there is among them.
    """
    chain = (find_backbone(model) or model).layers
    place = {layer.name: number for number, layer in enumerate(chain)}
    last_use = [0] * len(chain)
    for number, layer in enumerate(chain):
        if not isinstance(layer, layers.InputLayer):
            for tensor in tree.flatten(layer.input):
                source = place[tensor._keras_history.operation.name]
                last_use[source] = max(last_use[source], number)
    found, open_until = [], 0
    for number, layer in enumerate(chain[:place[find_cut(model).last_layer_name] + 1]):
        if open_until <= number and number and len(layer.output.shape) == 4:
            found.append(layer.name)
        open_until = max(open_until, last_use[number])
    return tuple(found)


def cut_before(model: keras.Model, trainable: keras.layers.Layer) -> str:
    """The last single tensor before the first weights from a layer on. Raises ModelError if there is none."""
    chain = (find_backbone(model) or model).layers
    first = next(number for number in range(chain.index(trainable), len(chain)) if chain[number].weights)
    before = {layer.name for layer in chain[:first]}
    found = [name for name in single_tensors(model) if name in before]
    if not found:
        raise ModelError(f"Nothing of {model.name} lies before '{trainable.name}', so there is nothing to keep. Use "
                         "--no-feature-cache.")
    return found[-1]


def tensor_at(model: keras.Model, cut: str) -> keras.KerasTensor:
    """The output of a layer of the trunk. Raises ModelError where it is not the only one that goes on."""
    known = single_tensors(model)
    if cut not in known:
        raise ModelError(f"{model.name} cannot be cut after '{cut}'. Layers after which it can: {', '.join(known)}.")
    tensor: keras.KerasTensor = (find_backbone(model) or model).get_layer(cut).output
    return tensor


def before_cut(model: keras.Model, cut: str) -> keras.Model:
    """Photos (B, H, W, 3) in [0, 1] to the cut's activations (B, h, w, K), in inference mode."""
    return front_of(model, find_backbone(model), tensor_at(model, cut))


def after_cut(model: keras.Model, cut: str) -> keras.Model:
    """The cut's activations to class probabilities: the same layers and weights as in `model`, not compiled."""
    backbone, tensor = find_backbone(model), tensor_at(model, cut)
    if backbone is None:
        return keras.Model(tensor, model.output, name=f"{model.name}_after_cut")
    rest = keras.Model(tensor, backbone.output)
    activations = keras.Input(tensor.shape[1:], name="activations")
    x = rest(activations)
    for layer in model.layers[model.layers.index(backbone) + 1:]:
        x = layer(x)
    return keras.Model(activations, x, name=f"{model.name}_after_cut")


def freeze_until(model: keras.Model, cut: str) -> None:
    """Train only what comes after the cut; batch normalisation that is frozen stays so. Does not compile."""
    chain = (find_backbone(model) or model).layers
    names = [layer.name for layer in chain]
    frozen = {layer.name for layer in chain if isinstance(layer, layers.BatchNormalization) and not layer.trainable}
    (find_backbone(model) or model).trainable = True
    for number, layer in enumerate(chain):
        if number <= names.index(cut) or layer.name in frozen:
            layer.trainable = False
