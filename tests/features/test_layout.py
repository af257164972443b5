"""Channels first: graphs small enough to know what must come out, and what is said where it cannot."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from matlens.features.layout import inner_transpositions, lay_channels_first

RNG = np.random.default_rng(0)
PHOTOS = RNG.random((2, 6, 6, 4), dtype=np.float32)


class Graph:
    """Convolutions as Keras' OpenVINO back end writes them: each between two transpositions, channels last outside."""

    def __init__(self) -> None:
        from openvino import opset13

        self.ops = opset13
        self.input = opset13.parameter([-1, 6, 6, 4], np.float32)

    def constant(self, *shape: int):
        return self.ops.constant(RNG.normal(size=shape).astype(np.float32))

    def convolution(self, x, channels: int = 4, depth: int = 4):
        first = self.ops.transpose(x, np.array([0, 3, 1, 2]))
        out = self.ops.convolution(first, self.constant(channels, depth, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1])
        return self.ops.transpose(out, np.array([0, 2, 3, 1]))


def swish(graph, x):
    return graph.ops.swish(graph.ops.add(x, graph.constant(4)))


def hard_sigmoid(graph, x):
    return graph.ops.hard_sigmoid(x, np.float32(0.2), np.float32(0.5))


def squeeze_and_excite(graph, x):
    """Hu et al. 2018: means over places, two layers, and a factor for each channel."""
    means = graph.ops.reshape(graph.ops.reduce_mean(x, np.array([1, 2]), False), np.array([-1, 1, 1, 4]), False)
    return graph.ops.multiply(x, graph.ops.sigmoid(graph.convolution(means)))


def squeeze_of_kept_axes(graph, x):
    return graph.ops.multiply(x, graph.ops.reduce_max(x, np.array([1, 2]), True))


def mean_of_channels(graph, x):
    """One number a place: the order of what remains is the same before and behind."""
    return graph.ops.multiply(x, graph.ops.reduce_mean(x, np.array([3]), True))


def concatenation(graph, x):
    joined = graph.ops.concat([x, graph.convolution(x)], 3)
    return graph.ops.relu(graph.convolution(joined, depth=8))


def residual(graph, x):
    return graph.ops.add(x, graph.convolution(graph.ops.relu(x)))


def softmax_of_places(graph, x):
    """No operation that is known: what comes behind depends on the axis."""
    return graph.ops.softmax(x, 1)


def cumulative_sum(graph, x):
    return graph.ops.cum_sum(x, np.array(2))


def written(tmp_path: Path, operation) -> Path:
    import openvino

    graph = Graph()
    x = operation(graph, graph.convolution(graph.input))
    result = graph.ops.result(graph.convolution(graph.ops.relu(graph.convolution(x))))
    openvino.save_model(openvino.Model([result], [graph.input]), tmp_path / "trunk.xml", compress_to_fp16=False)
    return tmp_path / "trunk.xml"


def features(file: Path) -> np.ndarray:
    import openvino

    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(PHOTOS)[0])


def kinds(file: Path) -> Counter:
    import openvino

    return Counter(node.get_type_name() for node in openvino.Core().read_model(str(file)).get_ops())


@pytest.mark.parametrize("operation", [swish, hard_sigmoid, squeeze_and_excite, squeeze_of_kept_axes, mean_of_channels,
                                       concatenation, residual])
def test_known_operations_leave_two_transpositions(tmp_path, operation):
    """One on the way in, one on the way out: inside each costs as much as a convolution."""
    file = written(tmp_path, operation)
    before = features(file)
    assert lay_channels_first(file) == ""
    assert kinds(file)["Transpose"] == 2
    np.testing.assert_allclose(features(file), before, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("operation", "name"), [(softmax_of_places, "Softmax"), (cumulative_sum, "CumSum")])
def test_an_operation_that_is_not_known_is_named_and_changes_no_number(tmp_path, operation, name):
    """A trunk that is slow for a reason nobody hears of would be taken for a slow machine."""
    file = written(tmp_path, operation)
    before = features(file)
    warning = lay_channels_first(file)
    assert name in warning
    assert 'features_on = "framework"' in warning
    np.testing.assert_allclose(features(file), before, rtol=1e-4, atol=1e-6)


def test_a_trunk_is_left_as_it_is_where_nothing_is_won(tmp_path):
    """Every change is a risk; one that wins nothing is not worth it."""
    import openvino

    graph = Graph()
    result = graph.ops.result(graph.convolution(softmax_of_places(graph, graph.convolution(graph.input))))
    file = tmp_path / "trunk.xml"
    openvino.save_model(openvino.Model([result], [graph.input]), file, compress_to_fp16=False)
    content = [path.read_bytes() for path in (file, file.with_suffix(".bin"))]
    assert "2 times" in lay_channels_first(file)
    assert [path.read_bytes() for path in (file, file.with_suffix(".bin"))] == content
    assert len(inner_transpositions(openvino.Core().read_model(str(file)))) == 2
