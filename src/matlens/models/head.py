"""The head of a network in NumPy: from the trunk's feature map to class scores, and the gradient back.

A head pools or flattens the feature map and passes it through one to a few dense layers. Nothing else stands between
the last convolution and the answer, so prediction after the trunk and Grad-CAM need no framework.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from matlens.errors import ModelError
from matlens.system.untrusted import reading
from matlens.system.untrusted_arrays import read_arrays
from matlens.types import Array, Labels

Pooling = Literal["avg", "max_flatten", "token", "token+avg", "statistics"]
"""`avg` (mean over places), `max_flatten` (2 x 2 maximum, then all values: VGG19's), `token` (a transformer's class
token, which the trunk repeats at every place), `token+avg` (the mean over patches, then the class token, each in half
of the channels) or `statistics` (the mean over places of some channels, then statistics of several depths, which the
trunk repeats at every place). What is repeated tells nothing of places, so it has no gradient there."""

Activation = Literal["linear", "relu", "softmax"]
Score = Literal["logit", "probability"]
"""Which score of a class is explained: that before the last softmax, or that after it."""

ARRAYS = {"pooling": ("U", 0), "activations": ("U", 1), r"kernel_\d": ("f", 2), r"bias_\d": ("f", 1),
           "places": ("i", 0)}
"""The arrays of a file: names, NumPy's letters of kinds, numbers of dimensions."""


@dataclass(frozen=True)
class Dense:
    """kernel (in, out), bias (out,), both float32."""

    kernel: Array
    bias: Array
    activation: Activation


class AnyHead(ABC):
    """What follows a trunk: pooling, and what makes class scores of the numbers that it gives.

    pooling: see `Pooling`.
    places: with the pooling `statistics`, how many of the channels, the first ones, tell of places; else None.
    """

    pooling: Pooling
    places: int | None

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many classes it tells apart."""

    @abstractmethod
    def forward(self, features: Array) -> list[Array]:
        """Return pooled features first, (B, N), and class scores before softmax last, (B, C).

        features: (B, h, w, K).

        Raises ModelError where the head was not made for features of this shape.
        """

    @abstractmethod
    def shifted(self, by: Array) -> AnyHead:
        """Return a head whose class scores are higher by as much as `by` says, (C,) float32."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write as .npz (no pickles)."""

    @abstractmethod
    def channel_gradients(self, values: list[Array], classes: Labels, channels: int, score: Score = "logit") -> Array:
        """Return the gradient of each photo's score of class `classes[i]`, summed over places, (B, K).

        Args:
            values: what `forward` returned.
            channels: K.
        """

    @abstractmethod
    def gradients(self, values: list[Array], classes: Labels, features: Array, score: Score = "logit") -> Array:
        """Return the gradient of each photo's score of class `classes[i]` by the feature map, (B, h, w, K).

        Args:
            values: what `forward` returned for `features`.
            features: (B, h, w, K).
        """

    def logits(self, features: Array) -> Array:
        """Return class scores before softmax, (B, C), from feature maps (B, h, w, K)."""
        return self.forward(features)[-1]

    def probabilities(self, features: Array) -> Array:
        """Return probabilities (B, C) float32, whose rows sum to 1, from feature maps (B, h, w, K)."""
        return softmax(self.logits(features))

    @property
    def tells_of_places(self) -> bool:
        """Whether some of the trunk's channels tell of places, so that there is a heat map of them."""
        return self.pooling != "token" and self.places != 0

    def _patch_channels(self, channels: int) -> int:
        """Return how many of the channels tell of places; those that the trunk repeats everywhere are behind them."""
        if self.places is not None:
            return self.places
        return {"token": 0, "token+avg": channels // 2}.get(self.pooling, channels)

    def _spread(self, slope: Array, features: Array) -> Array:
        """Return the gradient at each place, (B, h, w, K), from that of the means over places, (B, K)."""
        slope[:, self._patch_channels(features.shape[3]):] = 0
        even = slope[:, None, None] / np.float32(features.shape[1] * features.shape[2])
        return np.ascontiguousarray(np.broadcast_to(even, features.shape))

    def _pool(self, features: Array, wanted: int) -> Array:
        """Return pooled features (B, wanted). Raises ModelError where they are not as many."""
        if self.pooling != "max_flatten":
            pooled = np.asarray(features.mean(axis=(1, 2)), dtype=np.float32)
        else:
            pooled = np.asarray(_windows(features).max(axis=(2, 4)).reshape(len(features), -1), dtype=np.float32)
        if pooled.shape[1] != wanted:
            raise ModelError(f"The head takes {wanted} numbers of a photo, and the trunk gives {pooled.shape[1]}: they "
                             "are of different models, or of other sizes of photos. Make the artifact again with: "
                             "matlens export RUN")
        return pooled


@dataclass(frozen=True)
class Head(AnyHead):
    """Pooling, then dense layers; the last one's softmax is applied by `probabilities`, not by `logits`.

    pooling, places: see `AnyHead`.
    """

    pooling: Pooling
    layers: tuple[Dense, ...]
    places: int | None = None
    _sums: dict[int, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return int(self.layers[-1].bias.shape[0])

    def forward(self, features: Array) -> list[Array]:
        """Return the input of each dense layer and, last, the class scores before softmax (B, C). See `AnyHead`."""
        values = [self._pool(features, len(self.layers[0].kernel))]
        for index, layer in enumerate(self.layers):
            out = values[-1] @ layer.kernel + layer.bias
            values.append(out if index == len(self.layers) - 1 else _apply(layer.activation, out))
        return values

    def shifted(self, by: Array) -> Head:
        """Return a head whose class scores are higher by as much as `by` says, (C,) float32."""
        *before, last = self.layers
        return replace(self, layers=(*before, replace(last, bias=last.bias + by)))

    def channel_gradients(self, values: list[Array], classes: Labels, channels: int, score: Score = "logit") -> Array:
        """See `AnyHead`. Summed before the first layer's kernel is applied, it spares VGG19 a pass through 400 MB."""
        sums = self._slope(values, classes, score) @ self._summed_kernel(channels).T
        sums[:, self._patch_channels(channels):] = 0
        return sums

    def gradients(self, values: list[Array], classes: Labels, features: Array, score: Score = "logit") -> Array:
        """See `AnyHead`. Where several places of a window hold its maximum, the first has it, as in both frameworks."""
        slope = self._slope(values, classes, score) @ self.layers[0].kernel.T
        if self.pooling != "max_flatten":
            return self._spread(slope, features)
        batch, height, width, depth = features.shape
        rows, columns = height // 2, width // 2
        windows = _windows(features).transpose(0, 1, 3, 5, 2, 4).reshape(batch, rows, columns, depth, 4)
        of_windows = np.zeros_like(windows)
        np.put_along_axis(of_windows, windows.argmax(axis=-1)[..., None],
                          slope.reshape(batch, rows, columns, depth, 1), axis=-1)
        gradients = np.zeros_like(features)
        gradients[:, : 2 * rows, : 2 * columns] = of_windows.reshape(batch, rows, columns, depth, 2, 2).transpose(
            0, 1, 4, 2, 5, 3).reshape(batch, 2 * rows, 2 * columns, depth)
        return gradients

    def _slope(self, values: list[Array], classes: Labels, score: Score) -> Array:
        """Return the gradient before the bias of the first layer, (B, out)."""
        slope = np.zeros_like(values[-1])
        slope[np.arange(len(classes)), classes] = 1
        if score == "probability":
            slope = _through("softmax", softmax(values[-1]), slope)
        for index in reversed(range(1, len(self.layers))):
            slope = _through(self.layers[index - 1].activation, values[index], slope @ self.layers[index].kernel.T)
        return slope

    def _summed_kernel(self, channels: int) -> Array:
        """Return the first layer's kernel, summed over places: (K, out)."""
        kernel = self.layers[0].kernel
        if len(kernel) == channels:
            return kernel
        if channels not in self._sums:
            self._sums[channels] = kernel.reshape(-1, channels, kernel.shape[1]).sum(axis=0)
        return self._sums[channels]

    def save(self, path: Path) -> None:
        """See `AnyHead`."""
        arrays = {f"{kind}_{index}": getattr(layer, kind)
                  for index, layer in enumerate(self.layers) for kind in ("kernel", "bias")}
        if self.places is not None:
            arrays["places"] = np.array(self.places)
        np.savez(path, pooling=np.array(self.pooling),
                 activations=np.array([layer.activation for layer in self.layers]), **arrays)

    @classmethod
    def blank(cls, pooling: Pooling, inputs: int, classes: int, places: int | None = None) -> Head:
        """Return a head of one layer that calls all classes equally probable."""
        zeros = Dense(np.zeros((inputs, classes), np.float32), np.zeros(classes, np.float32), "softmax")
        return cls(pooling, (zeros,), places)

    @classmethod
    def load(cls, path: Path) -> Head:
        """Read what `save` wrote. Raises ModelError."""
        with reading_head(path):
            return cls.of(read_arrays(path, ARRAYS))

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> Head:
        """Return the head of the arrays of a file. Raises KeyError or ValueError where they do not fit together."""
        layers = tuple(Dense(arrays[f"kernel_{index}"], arrays[f"bias_{index}"], activation)
                       for index, activation in enumerate(arrays["activations"].tolist()))
        pooling, places = pooling_in(arrays)
        head = cls(pooling, layers, places)
        head._refuse_misfit()
        return head

    def _refuse_misfit(self) -> None:
        widths = [layer.kernel.shape for layer in self.layers]
        if not self.layers or any(
                layer.activation not in get_args(Activation) or layer.bias.shape != layer.kernel.shape[1:]
                or {layer.kernel.dtype, layer.bias.dtype} != {np.dtype(np.float32)} for layer in self.layers) or any(
                before[1] != after[0] for before, after in pairwise(widths)) or not are_places_of(
                self.pooling, self.places, widths[0][0]):
            raise ValueError("its layers do not fit together")


def reading_head(path: Path) -> AbstractContextManager[None]:
    """Raise ModelError for what goes wrong while the head of an artifact is read."""
    return reading(path, "the head of a matlens artifact", ModelError, "Make it again with: matlens export RUN")


def pooling_in(arrays: Mapping[str, Any]) -> tuple[Pooling, int | None]:
    """Return pooling and places of the arrays of a file. Raises KeyError or ValueError."""
    pooling = str(arrays["pooling"])
    if pooling not in get_args(Pooling):
        raise ValueError(f"its pooling is {pooling}")
    return pooling, int(arrays["places"]) if "places" in arrays else None  # type: ignore[return-value]


def are_places_of(pooling: Pooling, places: int | None, inputs: int) -> bool:
    """Return whether a pooling to so many numbers can have so many channels that tell of places."""
    return places is None if pooling != "statistics" else places is not None and 0 <= places <= inputs


def refuse_other_layers(ours: Head, given: Head, title: str) -> None:
    """Raise ModelError where a head, given to a model, has other layers than the model's own."""
    shapes, wanted = ([layer.kernel.shape for layer in head.layers] for head in (given, ours))
    if shapes != wanted or (given.pooling, given.places) != (ours.pooling, ours.places):
        raise ModelError(f"The head of {title} has the layers {wanted}, and it was given {shapes}.")


def softmax(logits: Array) -> Array:
    """Return the softmax over the last axis, float32."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)


def _apply(activation: Activation, values: Array) -> Array:
    if activation == "relu":
        return np.maximum(values, 0)
    return softmax(values) if activation == "softmax" else values


def _through(activation: Activation, outputs: Array, slope: Array) -> Array:
    """Return the gradient before an activation, from the one behind it and the activation's own outputs."""
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
