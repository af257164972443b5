"""Channels first throughout: an OpenVINO graph without the transpositions inside it.

Keras' OpenVINO backend puts each convolution between two transpositions, and its bias and activation behind the second.
OpenVINO then runs at less than half its rate, and what knows a convolution by its neighbours, as quantisation does,
does not know it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from matlens.system.openvino import import_openvino

_BY_VALUE = frozenset({"Add", "Clamp", "Multiply", "Relu", "Subtract"})
"""Layers that treat each number for itself, besides Pad; these are all that lie between the convolutions here."""


def lay_channels_first(model_file: Path) -> None:
    """Write a trunk (.xml with its .bin) anew with its channels first."""
    openvino = import_openvino()
    model = openvino.Core().read_model(str(model_file))
    channels_first(model)
    changed = model_file.with_name("changed.xml")  # the old .bin is mapped as long as the model lives
    openvino.save_model(model, changed, compress_to_fp16=False)
    del model
    for suffix in (".xml", ".bin"):
        changed.with_suffix(suffix).replace(model_file.with_suffix(suffix))


def channels_first(model: Any) -> None:
    """Change an OpenVINO model in place so that it computes the same with as few transpositions as can be.

    Weights that are computed from constants, batch normalisation too, become constants.
    """
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(model, cf=True)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Transpose":
            _unite(node)
        elif node.get_type_name() in _BY_VALUE | {"Pad"}:
            _move_ahead(node)
    model.validate_nodes_and_infer_types()
    apply_moc_transformations(model, cf=True)  # scales that stand behind their convolution by now go into its weights


def _unite(node: Any) -> None:
    """Make one transposition of two that follow each other, and none where the two do nothing."""
    from openvino import opset13

    order, start = _order(node), node.input_value(0)
    if start.get_node().get_type_name() == "Transpose":
        order, start = _order(start.get_node())[order], start.get_node().input_value(0)
        node.input(0).replace_source_output(start)
        node.input(1).replace_source_output(opset13.constant(order).output(0))
    if np.array_equal(order, np.arange(len(order))):
        _redirect(node.output(0).get_target_inputs(), start)


def _move_ahead(node: Any) -> None:
    """Let a layer take what its transposed inputs are made of, and transpose its output instead."""
    from openvino import opset13

    sources = [_source(value) for value in node.inputs()]
    orders = {tuple(_order(source)) for source in sources if source.get_type_name() == "Transpose"}
    if len(orders) != 1 or not {source.get_type_name() for source in sources} <= {"Transpose", "Constant"}:
        return
    order = np.array(orders.pop())
    targets = node.output(0).get_target_inputs()
    for value, source in zip(node.inputs(), sources, strict=True):
        if source.get_type_name() == "Transpose":
            value.replace_source_output(source.input_value(0))
        elif source.data.ndim:
            rearranged = (source.data[np.argsort(order)] if node.get_type_name() == "Pad" else
                          source.data.reshape((1,) * (len(order) - source.data.ndim) + source.data.shape)
                          .transpose(np.argsort(order)))
            value.replace_source_output(opset13.constant(rearranged).output(0))
    _redirect(targets, opset13.transpose(node.output(0), order).output(0))


def _source(value: Any) -> Any:
    return value.get_source_output().get_node()


def _order(transpose: Any) -> Any:
    return _source(transpose.input(1)).data


def _redirect(targets: Any, output: Any) -> None:
    for target in targets:
        target.replace_source_output(output)
