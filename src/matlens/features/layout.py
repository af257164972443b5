"""Channels first throughout: an OpenVINO graph without the transpositions inside it.

Keras' OpenVINO back end puts each convolution between two transpositions, and its bias and activation behind the
second. OpenVINO then runs at less than half its rate, and what recognises a convolution by its neighbours, as
quantisation does, does not recognise it. Here each transposition moves behind the operation that takes it, until it
meets its inverse. An operation that is not in the tables below stops it there; `lay_channels_first` then says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from matlens.system.openvino import import_openvino

_BY_VALUE = frozenset({
    "Abs", "Add", "Clamp", "Divide", "Elu", "Exp", "Gelu", "HSigmoid", "HSwish", "HardSigmoid", "Log", "Maximum",
    "Minimum", "Mish", "Multiply", "Negative", "Power", "Relu", "Selu", "Sigmoid", "SoftPlus", "SoftSign", "Sqrt",
    "SquaredDifference", "Subtract", "Swish", "Tanh"})
"""Operations that treat each number by itself, all inputs broadcast against each other."""

_REDUCTIONS = {"ReduceMax": "reduce_max", "ReduceMean": "reduce_mean", "ReduceSum": "reduce_sum"}
"""Operations over some axes, and the functions that build them."""

_ANY_LAYOUT = _BY_VALUE | _REDUCTIONS.keys() | {
    "AvgPool", "Concat", "Constant", "Convert", "Convolution", "GroupConvolution", "MaxPool", "Pad", "Parameter",
    "Reshape", "Result", "Transpose"}
"""Operations that do not stop a transposition, or want channels first themselves."""

_LARGE_WORK = frozenset({"AvgPool", "Convolution", "GroupConvolution", "MatMul", "MaxPool", "Transpose"})
"""Operations behind which a transposition is inside a network and no longer at its entry."""


def lay_channels_first(model_file: Path) -> str:
    """Rewrite a trunk (.xml with its .bin) with its channels first.

    Returns:
        "", or a warning for the user where transpositions of feature maps remain inside: how many, at which operations,
        and what they cost. Where laying out wins nothing, the file stays as it was.
    """
    openvino = import_openvino()
    core = openvino.Core()
    model = core.read_model(str(model_file))
    before = len(inner_transpositions(model))
    try:
        channels_first(model)
    except RuntimeError as error:  # OpenVINO's, for an operation that does not fit where it was put
        return _warning(inner_transpositions(core.read_model(str(model_file))), str(error).strip().splitlines()[-1])
    remaining = inner_transpositions(model)
    if remaining and len(remaining) >= before:
        return _warning(remaining)
    changed = model_file.with_name("changed.xml")  # the old .bin is mapped as long as the model lives
    openvino.save_model(model, changed, compress_to_fp16=False)
    warning = _warning(remaining)
    del model, remaining
    for suffix in (".xml", ".bin"):
        changed.with_suffix(suffix).replace(model_file.with_suffix(suffix))
    return warning


def channels_first(model: Any) -> None:
    """Change an OpenVINO model in place so that it computes the same with as few transpositions as can be.

    Weights that are computed from constants, batch normalisation too, become constants.
    """
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(model, cf=True)
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Transpose":
            _unite(node)
        elif kind in _BY_VALUE | {"Pad"}:
            _move_behind(node)
        elif kind == "Concat":
            _move_behind_concat(node)
        elif kind in _REDUCTIONS:
            _move_behind_reduction(node)
        node.validate_and_infer_types()  # what comes after reads its shape
    model.validate_nodes_and_infer_types()
    apply_moc_transformations(model, cf=True)  # scales that stand behind their convolution by now go into its weights


def inner_transpositions(model: Any) -> list[Any]:
    """Return the transpositions of feature maps inside a model: neither on its way in nor on its way out.

    On its way out nothing large is done any more: what follows joins the last map with statistics.
    """
    entries: set[str] = set()  # nodes to which nothing but values of the photos has been done
    exits: set[str] = set()
    for node in reversed(model.get_ordered_ops()):
        if node.get_type_name() == "Result" or all(
                target.get_name() in exits and target.get_type_name() not in _LARGE_WORK - {"Transpose"}
                for target in _targets(node)):
            exits.add(node.get_name())
    inside = []
    for node in model.get_ordered_ops():
        kind, sources = node.get_type_name(), [_source(value) for value in node.inputs()]
        at_entry = all(source.get_type_name() == "Constant" or source.get_name() in entries for source in sources)
        if at_entry and kind not in _LARGE_WORK:
            entries.add(node.get_name())
        if kind == "Transpose" and not at_entry and node.get_name() not in exits:
            inside.append(node)
    return inside


def _warning(transpositions: list[Any], reason: str = "") -> str:
    """Say what remains inside; "" for nothing."""
    if not transpositions:
        return ""
    neighbours = [name for node in transpositions for name in (
        _source(node.input(0)).get_type_name(), *(target.get_type_name() for target in _targets(node)))]
    names = sorted({*neighbours} - _ANY_LAYOUT) or sorted({*neighbours} - {"Transpose"})
    return (f"OpenVINO transposes whole feature maps {len(transpositions)} times inside the converted trunk, at "
            f"{', '.join(names)}, which matlens cannot lay out channels first{f' ({reason})' if reason else ''}. The "
            "features are the same, but computing them may take more than twice as long as it could; "
            "features_on = \"framework\" in a settings file (--config) has the model's own framework compute them.")


def _unite(node: Any) -> None:
    """Make one transposition of two in a row, and none where they do nothing or only move axes of length 1."""
    from openvino import opset13

    order, start = _order(node), node.input_value(0)
    if start.get_node().get_type_name() == "Transpose":
        order, start = _order(start.get_node())[order], start.get_node().input_value(0)
        node.input(0).replace_source_output(start)
        node.input(1).replace_source_output(opset13.constant(order).output(0))
    if np.array_equal(order, np.arange(len(order))):
        _redirect(node.output(0).get_target_inputs(), start)
    elif _moves_only_ones(start, order):
        _redirect(node.output(0).get_target_inputs(), _reshaped(start, order))


def _move_behind(node: Any) -> None:
    """Let an operation by value, or a padding, take what its inputs are transposed from; transpose its output."""
    from openvino import opset13

    sources = [_source(value) for value in node.inputs()]
    order = _common_order(sources)
    if order is None:
        return
    back = np.argsort(order)
    for value, source in zip(node.inputs(), sources, strict=True):
        kind = source.get_type_name()
        if kind not in ("Transpose", "Constant") and not (
                len(value.get_partial_shape()) == len(order) and _moves_only_ones(value.get_source_output(), back)):
            return
    targets = node.output(0).get_target_inputs()
    for value, source in zip(node.inputs(), sources, strict=True):
        kind = source.get_type_name()
        if kind == "Transpose":
            value.replace_source_output(source.input_value(0))
        elif kind != "Constant":
            value.replace_source_output(_reshaped(value.get_source_output(), back))
        elif source.data.ndim:
            rearranged = (source.data[back] if node.get_type_name() == "Pad" else
                          source.data.reshape((1,) * (len(order) - source.data.ndim) + source.data.shape)
                          .transpose(back))
            value.replace_source_output(opset13.constant(rearranged).output(0))
    node.validate_and_infer_types()
    _redirect(targets, opset13.transpose(node.output(0), order).output(0))


def _move_behind_concat(node: Any) -> None:
    """Join what the inputs are transposed from, and transpose the whole."""
    from openvino import opset13

    sources = [_source(value) for value in node.inputs()]
    order = _common_order(sources)
    if order is None or {source.get_type_name() for source in sources} != {"Transpose"}:
        return
    axis = int(order[node.get_attributes()["axis"]])
    joined = opset13.concat([source.input_value(0) for source in sources], axis)
    _redirect(node.output(0).get_target_inputs(), opset13.transpose(joined, order).output(0))


def _move_behind_reduction(node: Any) -> None:
    """Reduce what the input is transposed from, over the same axes under their other numbers."""
    from openvino import opset13

    source, axes = _source(node.input(0)), _source(node.input(1))
    if source.get_type_name() != "Transpose" or axes.get_type_name() != "Constant":
        return
    order, keep_dims = _order(source), bool(node.get_attributes()["keep_dims"])
    reduced = order[np.atleast_1d(axes.data)]
    result = getattr(opset13, _REDUCTIONS[node.get_type_name()])(source.input_value(0), np.sort(reduced),
                                                                  keep_dims=keep_dims)
    if not keep_dims:
        remaining = [axis for axis in order if axis not in reduced]
        order = np.argsort(np.argsort(remaining))
    targets = node.output(0).get_target_inputs()
    is_moved = not np.array_equal(order, np.arange(len(order)))
    _redirect(targets, (opset13.transpose(result, order) if is_moved else result).output(0))


def _common_order(sources: list[Any]) -> Any:
    """Return the order of all transpositions among some nodes; None where there is none, or more than one."""
    orders = {tuple(_order(source)) for source in sources if source.get_type_name() == "Transpose"}
    return np.array(orders.pop()) if len(orders) == 1 else None


def _moves_only_ones(output: Any, order: Any) -> bool:
    """Return whether a transposition keeps all axes but those of length 1 in order; at most one length is unknown."""
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic or sum(size.is_dynamic for size in shape) > 1:
        return False
    long = [axis for axis in order if shape[int(axis)].is_dynamic or shape[int(axis)].get_length() != 1]
    return long == sorted(long)


def _reshaped(output: Any, order: Any) -> Any:
    """Return a transposition that moves only axes of length 1 as a change of shape, which copies no number."""
    from openvino import opset13

    shape = output.get_partial_shape()
    lengths = [-1 if shape[int(axis)].is_dynamic else shape[int(axis)].get_length() for axis in order]
    return opset13.reshape(output, np.array(lengths), special_zero=False).output(0)


def _source(value: Any) -> Any:
    return value.get_source_output().get_node()


def _targets(node: Any) -> Iterator[Any]:
    return (target.get_node() for target in node.output(0).get_target_inputs())


def _order(transpose: Any) -> Any:
    return _source(transpose.input(1)).data


def _redirect(targets: Any, output: Any) -> None:
    for target in targets:
        target.replace_source_output(output)
