"""The head of a network in NumPy: from the trunk's feature map to class scores, and the gradient back.

A head pools or flattens the feature map and passes it through one to a few dense layers. That is all there
is between the last convolution and the answer in all four models, so prediction after the trunk and
Grad-CAM need no framework.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError

Array = npt.NDArray[np.float32]
Pooling = Literal["avg", "max_flatten"]
Activation = Literal["linear", "relu", "softmax"]


@dataclass(frozen=True)
class Dense:
    """kernel (in, out), bias (out,), both float32."""

    kernel: Array
    bias: Array
    activation: Activation


@dataclass(frozen=True)
class Head:
    """Pooling, then dense layers; the last one's softmax is applied by `probabilities`, not by `logits`.

    pooling: `avg` (mean over places) or `max_flatten` (2 x 2 maximum, then all values: VGG19's).
    """

    pooling: Pooling
    layers: tuple[Dense, ...]

    def logits(self, features: Array) -> Array:
        """Class scores before softmax, (B, C), from feature maps (B, h, w, K)."""
        return self._forward(features)[-1]

    def probabilities(self, features: Array) -> Array:
        """(B, C) float32, rows summing to 1, from feature maps (B, h, w, K)."""
        return softmax(self.logits(features))

    def gradient(self, features: Array, classes: npt.NDArray[np.int64]) -> Array:
        """Gradient of each photo's logit of class `classes[i]` with respect to its feature map, (B, h, w, K)."""
        inputs = self._forward(features)
        slope = np.zeros_like(inputs[-1])
        slope[np.arange(len(classes)), classes] = 1
        for index in reversed(range(len(self.layers))):
            if index < len(self.layers) - 1:
                slope = _through(self.layers[index].activation, inputs[index + 1], slope)
            slope = slope @ self.layers[index].kernel.T
        return self._unpool(features, slope)

    def _forward(self, features: Array) -> list[Array]:
        """What goes into each dense layer, and what comes out of the last (without its softmax)."""
        values = [self._pool(features)]
        for index, layer in enumerate(self.layers):
            out = values[-1] @ layer.kernel + layer.bias
            values.append(out if index == len(self.layers) - 1 else _apply(layer.activation, out))
        return values

    def _pool(self, features: Array) -> Array:
        if self.pooling == "avg":
            return np.asarray(features.mean(axis=(1, 2)), dtype=np.float32)
        return np.asarray(_windows(features).max(axis=(2, 4)).reshape(len(features), -1), dtype=np.float32)

    def _unpool(self, features: Array, slope: Array) -> Array:
        batch, height, width, depth = features.shape
        if self.pooling == "avg":
            return np.broadcast_to(slope[:, None, None, :] / np.float32(height * width), features.shape).copy()
        windows = _windows(features)
        rows, columns = windows.shape[1], windows.shape[3]
        flat = windows.transpose(0, 1, 3, 5, 2, 4).reshape(batch, rows, columns, depth, 4)
        # One place takes the gradient, as in the frameworks, even where two are equally large.
        chosen = flat.argmax(axis=-1)[..., None]
        spread = np.zeros_like(flat)
        np.put_along_axis(spread, chosen, slope.reshape(batch, rows, columns, depth, 1), axis=-1)
        spread = spread.reshape(batch, rows, columns, depth, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        full = np.zeros_like(features)
        full[:, : 2 * rows, : 2 * columns] = spread.reshape(batch, 2 * rows, 2 * columns, depth)
        return full

    def save(self, path: Path) -> None:
        """Write as .npz (no pickles)."""
        arrays = {f"{kind}_{index}": getattr(layer, kind)
                  for index, layer in enumerate(self.layers) for kind in ("kernel", "bias")}
        np.savez(path, pooling=np.array(self.pooling),
                 activations=np.array([layer.activation for layer in self.layers]), **arrays)

    @classmethod
    def load(cls, path: Path) -> Head:
        """Read what `save` wrote. Raises ModelError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                activations = file["activations"].tolist()
                layers = tuple(Dense(file[f"kernel_{index}"], file[f"bias_{index}"], activation)
                               for index, activation in enumerate(activations))
                return cls(str(file["pooling"]), layers)  # type: ignore[arg-type]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path} is not the head of a matlens artifact ({error}).") from error


def softmax(logits: Array) -> Array:
    """Softmax over the last axis, float32."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)


def _apply(activation: Activation, values: Array) -> Array:
    if activation == "relu":
        return np.maximum(values, 0)
    return softmax(values) if activation == "softmax" else values


def _through(activation: Activation, outputs: Array, slope: Array) -> Array:
    """The gradient before an activation, from the one behind it and the activation's own outputs."""
    if activation == "relu":
        return slope * (outputs > 0)
    if activation == "softmax":
        return np.asarray(outputs * (slope - (slope * outputs).sum(axis=-1, keepdims=True)), dtype=np.float32)
    return slope


def _windows(features: Array) -> Array:
    """(B, h, w, K) as 2 x 2 windows (B, h/2, 2, w/2, 2, K); an odd last row or column is dropped."""
    batch, height, width, depth = features.shape
    rows, columns = height // 2, width // 2
    return np.reshape(features[:, : 2 * rows, : 2 * columns], (batch, rows, 2, columns, 2, depth))
