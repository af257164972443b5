"""What matlens knows of a model before any framework is loaded: one declaration, from which everything else follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from matlens.system.registry import LAST

if TYPE_CHECKING:
    from matlens.models.protocol import BuildOrder

Framework = Literal["keras", "torch"]

KERAS_DRAFT: Mapping[str, str] = MappingProxyType({"KERAS_BACKEND": "openvino"})
"""Keras' OpenVINO backend builds and writes a trunk in a second, TensorFlow needs seven."""

Options = Mapping[str, float | int | str]
"""A backbone's own options by name, such as MobileNetV2's `alpha`."""

WeightsFiles = Callable[[Options, int], tuple["WeightsFile", ...]]
"""From options and a photo's side in pixels to the files that hold the pretrained weights, the best first."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of pretrained weights.

    hash: `md5:...`, `sha256:...` (the first digits are enough), or empty where none was published.
    """

    name: str
    url: str
    hash: str = ""


@dataclass(frozen=True)
class MLP:
    """The new head of a transfer model: Dense(hidden_units, relu), Dropout(dropout), Dense(classes, softmax)."""

    hidden_units: int
    dropout: float
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ModelSpec:
    """A model, declared once.

    name: by which it is asked for, and by which its files are called.
    title: for people.
    framework: in whose room it is built.
    suffix: of the file that it leaves in `models/`.
    build: makes the classifier of an order; called in a process that may import the framework, so it imports there.
    input: what the model file takes, in words, for those who open it elsewhere.
    options: the backbone's own options, with their defaults.
    limits: of options that are numbers: the value that they must exceed, and the greatest.
    weights: the files of its pretrained weights; None where there are none.
    head: what is trained on a frozen trunk that ends in average pooling; None where the whole network is trained.
    strong_cut: the layer after which the recipe `strong` trains.
    smallest_side: of a photo, in pixels.
    draft_environment: variables under which a process converts the trunk fastest; another one without them compares the
        two. Empty where there is no such shortcut.
    in_default_run: whether `matlens run` trains it where no models are named.
    rank: where it stands in lists of models.
    """

    name: str
    title: str
    framework: Framework
    suffix: str
    build: Callable[[BuildOrder], Any]
    input: str = "RGB, float32 in [0, 1], (B, H, W, 3); preprocessing is inside the model"
    options: Options = field(default_factory=lambda: MappingProxyType({}))
    limits: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    weights: WeightsFiles | None = None
    head: MLP | None = None
    strong_cut: str | None = None
    smallest_side: int = 32
    draft_environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    in_default_run: bool = False
    rank: int = LAST

    def __post_init__(self) -> None:
        for what in ("name", "title", "framework", "suffix"):
            if not getattr(self, what):
                raise ValueError(f"the model '{self.name or self.title}' has no {what}")

    def weights_files(self, options: Options, side: int) -> tuple[WeightsFile, ...]:
        """The files of its pretrained weights for a photo's side in pixels; none where there are none."""
        return () if self.weights is None else self.weights({**self.options, **options}, side)
