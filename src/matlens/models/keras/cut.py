"""Cut a Keras classifier into trunk and head."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
from keras import layers

from matlens.errors import ModelError
from matlens.models.head import Activation, Dense, Head
from matlens.models.keras.backends import backend
from matlens.system.openvino import import_openvino

STATISTICS = "statistics"
"""The layer whose output is the last map, with statistics of several depths behind it."""


@dataclass(frozen=True)
class Cut:
    """Where a model is cut.

    pool: the layer that takes the trunk's feature map: global average pooling, or the last maximum pooling.
    backbone: the nested model that holds `pool`, or None where the model is flat.
    dense: the dense layers behind, in order.
    """

    pool: keras.layers.Layer
    backbone: keras.Model | None
    dense: tuple[layers.Dense, ...]

    @property
    def last_layer_name(self) -> str:
        """The layer whose output is the feature map, activation included, without statistics behind it."""
        return str(_made_by(self._maps[0]).name)

    @property
    def places(self) -> int | None:
        """How many channels of the trunk's output tell of places, where statistics stand behind them; else None."""
        return int(self._maps[0].shape[-1]) if len(self._maps) > 1 else None

    @property
    def _maps(self) -> list[keras.KerasTensor]:
        """The trunk's map, and its statistics where it has some (`networks.statistics`)."""
        last = _made_by(self.pool.input)
        return list(last.input) if last.name == STATISTICS else [self.pool.input]


def _made_by(tensor: keras.KerasTensor) -> Any:
    return tensor._keras_history.operation


def find_backbone(model: keras.Model) -> keras.Model | None:
    """Return the nested model; None where the model is flat."""
    return next((layer for layer in model.layers if isinstance(layer, keras.Model)), None)


def operations_of(model: keras.Model) -> list[Any]:
    """Return what a model computes, in order: layers, nested models, and operations that are no layers (`a + b`)."""
    return list(getattr(model, "operations", model.layers))


def find_cut(model: keras.Model) -> Cut:
    """Find where a model divides into trunk and head, nested backbones included.

    Raises:
        ModelError: what follows the last pooling is not a chain of dense layers.
    """
    backbone = find_backbone(model)
    dense: list[layers.Dense] = []
    flattens = False
    for layer in _backwards(model, backbone):
        if isinstance(layer, layers.Dense) and layer.activation.__name__ in get_args(Activation):
            dense.insert(0, layer)
        elif _is_head_pooling(layer, flattens):
            held = backbone if backbone is not None and layer in backbone.layers else None
            return Cut(layer, held, tuple(dense))
        elif isinstance(layer, layers.Flatten):
            flattens = True
        elif not isinstance(layer, layers.Dropout):
            break
    raise ModelError(f"{model.name} is no trunk under a head of dense layers, so it cannot be cut.")


def _is_head_pooling(layer: keras.layers.Layer, flattens: bool) -> bool:
    """Return whether a layer is one of the two poolings that `Head` knows."""
    if isinstance(layer, layers.GlobalAveragePooling2D):
        return layer.data_format == "channels_last" and (flattens or not layer.keepdims)
    return (isinstance(layer, layers.MaxPooling2D) and flattens and layer.data_format == "channels_last"
            and tuple(layer.pool_size) == tuple(layer.strides) == (2, 2) and layer.padding == "valid")


def last_map_name(model: keras.Model) -> str:
    """Return the layer that Grad-CAM looks at: the trunk's last; without a cut the last layer with a feature map.

    Raises:
        ModelError: no layer of the model gives feature maps.
    """
    try:
        return find_cut(model).last_layer_name
    except ModelError:
        for layer in _backwards(model, find_backbone(model)):
            if not isinstance(layer, layers.InputLayer) and len(getattr(layer.output, "shape", ())) == 4:
                return str(layer.name)
        raise


def _backwards(model: keras.Model, backbone: keras.Model | None) -> Iterator[keras.layers.Layer]:
    for layer in reversed(model.layers):
        if layer is backbone:
            yield from reversed(backbone.layers)
            return
        yield layer


def trunk_of(model: keras.Model, cut: Cut) -> keras.Model:
    """Return the trunk as a model: (B, H, W, 3) in [0, 1] to the feature map, in inference mode."""
    return front_of(model, cut.backbone, cut.pool.input)


def front_of(model: keras.Model, backbone: keras.Model | None, tensor: keras.KerasTensor) -> keras.Model:
    """Return the part of a model from the photo to a tensor of its backbone (or its own), in inference mode."""
    if backbone is None:
        return keras.Model(model.inputs[0], tensor, name="trunk")
    inner = keras.Model(backbone.inputs[0], tensor)
    image = x = keras.Input(model.input_shape[1:], name="image")
    for layer in model.layers[1:]:
        if layer is backbone:
            break
        x = layer(x)
    return keras.Model(image, inner(x, training=False), name="trunk")


def write_openvino(model: keras.Model, file: Path) -> None:
    """Write a model of one output as OpenVINO's .xml and .bin."""
    openvino = import_openvino()  # before Keras imports it
    backend().write_openvino(model, str(file))
    written = openvino.Core().read_model(str(file))
    _, *others = written.get_results()
    for result in others:  # TensorFlow gives each swish a second output, for its gradient; all would be computed
        written.remove_result(result)
    if _take_any_batch(written) or others:
        alone = file.with_name("alone.xml")  # the old .bin is mapped as long as the model lives
        openvino.save_model(written, alone, compress_to_fp16=False)
        del written, others
        result = None
        for suffix in (".xml", ".bin"):
            alone.with_suffix(suffix).replace(file.with_suffix(suffix))


def _take_any_batch(written: Any) -> bool:
    """Let an OpenVINO model change the shape of any number of photos. Returns whether anything was amiss.

    Keras' OpenVINO back end writes a number of photos that is not known as 1 into what changes a shape, such as
    EfficientNet's `Reshape`.
    """
    from openvino import opset13

    mended = False
    for node in written.get_ordered_ops():
        if node.get_type_name() != "Reshape" or not node.input_value(0).get_partial_shape()[:1].is_dynamic:
            continue
        rest, pattern = node.input_value(0).get_partial_shape()[1:], node.input_value(1).get_node()
        if pattern.get_type_name() != "Constant" or rest.is_dynamic:
            continue
        lengths = pattern.data.copy()
        if lengths[0] == 1 and lengths.min() > 0 and lengths.prod() == np.prod(rest.to_shape()):
            lengths[0] = -1
            node.input(1).replace_source_output(opset13.constant(lengths).output(0))
            mended = True
    if mended:
        written.validate_nodes_and_infer_types()
    return mended


def head_of(cut: Cut) -> Head:
    """Return the head, its weights copied."""
    dense = []
    for layer in cut.dense:
        kernel, *bias = layer.get_weights()
        dense.append(Dense(kernel, bias[0] if bias else np.zeros(kernel.shape[1], np.float32),
                           layer.activation.__name__))
    if cut.places is not None:
        return Head("statistics", tuple(dense), cut.places)
    return Head("max_flatten" if isinstance(cut.pool, layers.MaxPooling2D) else "avg", tuple(dense))
