"""What matlens knows of a model before any framework is loaded: one declaration, from which everything else follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

from matlens.errors import ModelError
from matlens.models.frameworks import FRAMEWORKS, Framework, FrameworkName
from matlens.models.head import Pooling
from matlens.models.preprocess import Preprocess
from matlens.system.registry import LAST

KERAS_DRAFT: Mapping[str, str] = MappingProxyType({"KERAS_BACKEND": "openvino"})
"""Keras' OpenVINO back end builds and writes a trunk in a second, TensorFlow needs seven."""

_NAME = re.compile(r"(?!all$)[A-Za-z0-9][\w.+/-]*(?<!_val)(?<!\.int8)", re.ASCII)
"""What can stand in a file's name on any system, in a list with commas, and beside the files of other models."""

Options = Mapping[str, float | int | str]
"""A backbone's own options by name, such as MobileNetV2's `alpha`."""


class NetworkOrder(Protocol):
    """What a function that builds a network is told: the part of `models.protocol.BuildOrder` that concerns it."""

    @property
    def num_classes(self) -> int:
        """C, the number of outputs."""

    @property
    def img_size(self) -> tuple[int, int]:
        """(height, width) of the photos."""

    @property
    def weights_file(self) -> Path | None:
        """The file of pretrained weights; None for random ones."""

    @property
    def options(self) -> Options:
        """The backbone's own options, where they differ from the spec's defaults."""

    @property
    def device(self) -> str | None:
        """Such as "cpu" or "cuda:1"; None leaves it to the framework."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of pretrained weights.

    name, url: may hold `{side}` (the photo's first side in pixels) and the backbone's options, such as `{alpha}`.
    hash: `md5:...`, `sha256:...` (the first digits are enough), or empty where none was published.
    sides: the photo sides for which there is such a file; empty: it fits photos of any size.
    options: the backbone's options for which there is such a file; those that are not named do not matter.
    hub: the repository on the Hugging Face hub that has it, such as "timm/resnet18.a1_in1k", whose copy in that hub's
        cache on this machine is used too; empty: none.
    package: the folder of an installed Python package that holds the file, such as "acme_weights/models"; empty: none.
    """

    name: str
    url: str
    hash: str = ""
    sides: tuple[int, ...] = ()
    options: Options = field(default_factory=lambda: MappingProxyType({}), hash=False)
    hub: str = ""
    package: str = ""

    def fits(self, options: Options, side: int) -> bool:
        """Return whether there is such a file for a backbone of these options, and photos of this side in pixels."""
        return (not self.sides or side in self.sides) and all(
            options[name] == value for name, value in self.options.items())

    def resolved(self, options: Options, side: int) -> WeightsFile:
        """Return the file with its placeholders filled in."""
        values = {**options, "side": side}
        return WeightsFile(self.name.format(**values), self.url.format(**values), self.hash, hub=self.hub,
                           package=self.package)


@dataclass(frozen=True)
class MLP:
    """The new head of a transfer model: Dense(hidden_units, relu), Dropout(dropout), Dense(classes, softmax).

    learning_rate: Adam's, while the backbone is frozen.
    """

    hidden_units: int
    dropout: float
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ModelSpec:
    """A model, declared once. Raises ValueError, which names the model, where the declaration is incomplete.

    name: by which it is asked for, and by which its files are called: letters, digits, . + - _ and /. It is not `all`,
        and does not end in `_val` or `.int8`, as other files of a model do.
    title: for people.
    framework: that which builds it.
    backbone: a network of a library by name (in Keras keras.applications, in PyTorch timm), put under `head`.
    network: builds a network where no backbone is named; called in a process that may import the framework, so it
        imports there. In Keras it returns a function from the preprocessed photos (a Keras tensor (B, H, W, 3)) to
        class probabilities (B, C); in PyTorch a `models.torch.network.DividedModule`.
    options: the backbone's own options, with their defaults.
    limits: of options that are numbers: the value that they must exceed, and the greatest.
    choices: of options that are words: those that they can be.
    preprocess: from RGB in [0, 1] to what the network takes; None where it takes that. It becomes part of the model.
    weights: the files of its pretrained weights, the best first; None where there are none.
    licence: of these weights, as SPDX writes it, such as "Apache-2.0"; empty where none is known.
    published_side: the side of the photos that these weights were trained on, in pixels; None where it is not known.
    head: what is trained on a frozen backbone; None where the whole network is trained.
    pooling: how the head begins: the mean over places, or VGG19's 2 x 2 maximum; of a vision transformer the mean over
        patches, its class token, or both. The option `pooling`, where there is one, chooses another.
    learning_rate: Adam's where there is no `head`.
    strong_cut: the layer after which the recipe `strong` trains.
    smallest_side: of a photo, in pixels.
    multiple_of: what each side of a photo is a multiple of, in pixels.
    sizes: the photo sizes (height, width) that it takes; empty: any from `smallest_side` on.
    input: what the model file takes, in words, for those who open it elsewhere.
    draft_environment: variables under which a process converts the trunk fastest; another one without them compares the
        two. Empty where there is no such shortcut.
    demo_epochs: how many epochs `matlens demo` trains it, where that is more than for the others.
    in_default_run: whether `matlens run` trains it where no models are named.
    rank: where it stands in lists of models.
    """

    name: str
    title: str
    framework: FrameworkName
    backbone: str | None = None
    network: Callable[[NetworkOrder], Any] | None = None
    options: Options = field(default_factory=lambda: MappingProxyType({}))
    limits: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    preprocess: Preprocess | None = None
    weights: tuple[WeightsFile, ...] | None = None
    licence: str = ""
    published_side: int | None = None
    head: MLP | None = None
    pooling: Pooling = "avg"
    learning_rate: float = 1e-3
    strong_cut: str | None = None
    smallest_side: int = 32
    multiple_of: int = 1
    sizes: tuple[tuple[int, int], ...] = ()
    input: str = "RGB, float32 in [0, 1], (B, H, W, 3); preprocessing is inside the model"
    draft_environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    demo_epochs: int | None = None
    in_default_run: bool = False
    rank: int = LAST

    def __post_init__(self) -> None:
        problem = next((words for is_wrong, words in self._problems() if is_wrong), None)
        if problem is not None:
            raise ValueError(f"the model '{self.name.strip() or self.title}' {problem}")

    def _problems(self) -> list[tuple[bool, str]]:
        framework = FRAMEWORKS.get(self.framework)
        return [
            (not self.name.strip(), "has no name"),
            (not _NAME.fullmatch(self.name), "cannot have this name: names are letters, digits, . + - _ and /, begin "
             "with a letter or digit, do not end in _val or .int8, and are not all"),
            (not self.title.strip(), "has no title"),
            (framework is None, f"names the framework '{self.framework}'; there are {', '.join(FRAMEWORKS)}"),
            (self.backbone is None and self.network is None, "has neither a backbone nor a network: nothing builds it"),
            (self.backbone is not None and self.network is not None, "has both a backbone and a network: give one"),
            (self.backbone is not None and self.head is None, "has a backbone and no head to put on it"),
            (self.backbone is not None and self.pooling == "max_flatten",
             "has a backbone, whose pooling cannot be 'max_flatten'"),
            (self.head is not None and self.backbone is None, "has a head but no backbone to put it on"),
            (any(type(default) not in (float, int, str) for default in self.options.values()),
             "has an option whose default is neither a number nor a word"),
            (not self.limits.keys() <= self.options.keys(), "has limits of options that it does not have"),
            (any(self.options.get(name) not in words for name, words in self.choices.items()),
             "has an option whose default is not among its choices"),
            (self.weights is not None and not self.weights, "has an empty list of weights: give None or files"),
            (self.strong_cut is not None and self.weights is None,
             "has a strong_cut but no weights, so nothing before the cut could be frozen"),
            (any(len(size) != 2 or min(size) < self.smallest_side for size in self.sizes),
             f"has a size that is no (height, width) of at least smallest_side, {self.smallest_side}"),
        ]

    @property
    def suffix(self) -> str:
        """The ending of its model file, such as ".h5"."""
        return self.of_framework.suffix

    @property
    def of_framework(self) -> Framework:
        """What matlens knows of its framework."""
        return FRAMEWORKS[self.framework]

    def all_options(self, options: Options) -> Options:
        """Return the backbone's options: those given, each as the type of its default, and the defaults.

        Raises:
            ModelError: the model has no such option, or the value is not of its kind.
        """
        chosen = dict(self.options)
        for name, value in options.items():
            if name not in self.options:
                known = f"it has {', '.join(self.options)}" if self.options else "it has none"
                raise ModelError(f"{self.name} has no option '{name}'; {known}.")
            try:
                chosen[name] = type(self.options[name])(value)
            except ValueError as error:
                raise ModelError(f"{self.name} takes {name} as a {type(self.options[name]).__name__}, not {value!r}."
                                 ) from error
            if chosen[name] not in self.choices.get(name, (chosen[name],)):
                raise ModelError(f"{self.name} has no {name} {value!r}; choose from {', '.join(self.choices[name])}.")
        return chosen

    def pooling_of(self, options: Options) -> Pooling:
        """Return how the head begins with these options. Raises ModelError for options that it does not have."""
        return cast(Pooling, self.all_options(options).get("pooling", self.pooling))

    def refuse_size(self, img_size: tuple[int, int]) -> None:
        """Raise ModelError, which names the model and what it takes, for photos of a size that it cannot take."""
        given = f"{img_size[0]} x {img_size[1]}"
        if self.sizes and tuple(img_size) not in self.sizes:
            known = ", ".join(f"{height} x {width}" for height, width in self.sizes)
            raise ModelError(f"{self.name} takes photos of {known} pixels, not of {given}. Use "
                             f"--img-size {self.sizes[0][0]}.")
        smallest = -(-self.smallest_side // self.multiple_of) * self.multiple_of
        if min(img_size) < self.smallest_side:
            raise ModelError(f"{self.name} takes photos of {self.smallest_side} pixels or more a side, not of {given}. "
                             f"Use --img-size {smallest} or a larger one.")
        if any(side % self.multiple_of for side in img_size):
            fitting = max(smallest, img_size[0] // self.multiple_of * self.multiple_of)
            raise ModelError(f"{self.name} takes photos whose sides are multiples of {self.multiple_of} pixels, not "
                             f"{given}. Use --img-size {fitting}.")

    def weights_files(self, options: Options, side: int) -> tuple[WeightsFile, ...]:
        """Return the files of its pretrained weights for a photo's side in pixels, the best first.

        Raises ModelError for options that it does not have.
        """
        values = self.all_options(options)
        files = [file.resolved(values, side) for file in self.weights or () if file.fits(values, side)]
        return tuple(dict.fromkeys(files))
