"""The protocols that the code of each framework implements. The rest of the package knows these and NumPy arrays only.

A `Room` is the interface of a framework: `models/keras/` and `models/torch/` each have one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from matlens.errors import ModelError
from matlens.models.frameworks import BACK_ENDS, FRAMEWORKS, FrameworkName
from matlens.models.head import Head
from matlens.models.heads.stages import ProbedFeatures
from matlens.models.precision import Precision, Wish
from matlens.models.preflight import Preflight
from matlens.models.registry import spec_of
from matlens.system.untrusted import quoted
from matlens.types import Array, Batch, Labels, OnStep, Pixels, Scores

if TYPE_CHECKING:
    from matlens.models.averaging import WeightAverage
    from matlens.models.micro_batches import MicroBatches

LAYERS_TO_UNFREEZE = 40
"""Of a backbone's layers, the last so many are trained in the guide's second stage."""

FINETUNING_LEARNING_RATE = 1e-5
"""Adam's in the guide's second stage."""


@dataclass(frozen=True)
class BuildOrder:
    """What to build. Raises ModelError for a model, an option of it or a photo size that there is not.

    weights_file: ImageNet weights, or None for random ones.
    options: the backbone's own options, where they differ from the spec's defaults.
    precision: the arithmetic to train in; "auto" leaves it to the framework.
    device: "cpu", "cuda", "cuda:1" or "mps"; None leaves it to the framework, which takes a GPU if there is one.
    linear_head: whether the head is one dense layer on pooled features, in place of the spec's own.
    features: what such a head sees: the last layer, or the statistics of several depths too (`heads.stages`).
    """

    model: str
    num_classes: int
    img_size: tuple[int, int] = (224, 224)
    weights_file: Path | None = None
    options: Mapping[str, float | int | str] = field(default_factory=dict)
    precision: Wish = "float32"
    device: str | None = None
    linear_head: bool = False
    features: ProbedFeatures = "last"

    def __post_init__(self) -> None:
        spec = spec_of(self.model)
        spec.all_options(self.options)
        spec.refuse_size(self.img_size)


class Trainable(Protocol):
    """What the training loop needs of a network, or of a head."""

    learning_rate: float

    @property
    def trains_statistics(self) -> bool:
        """Whether batch normalisation is trained, so that its statistics must be recomputed before validation."""

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """Train once on each batch; batches may be drawn ahead. `on_step` hears of each step before the next begins."""

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Set batch normalisation's mean and variance to their averages over these photos."""

    def validate(self, batches: Iterable[Batch], *, macro_f1: bool = False) -> Scores:
        """Return loss and accuracy without training. macro_f1: that, too; it may take a pass of its own."""

    def snapshot(self) -> Any:
        """Return the present weights, for `restore`."""

    def restore(self, snapshot: Any) -> None:
        """Set the weights to those of a snapshot."""


class Resumable(Trainable, Protocol):
    """A training that can be interrupted and continued in another process. Dropout follows from (seed, step)."""

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """Return the present weights as arrays."""

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return by name what training needs besides weights and learning rate: the optimiser's variables, steps."""

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the state that `snapshot` and `training_state` returned. Raises ModelError for another network's."""


class Tunable(Resumable, Protocol):
    """What the recipe `strong` needs besides."""

    def use_adamw(self, weight_decay: float) -> None:
        """Replace the optimiser by AdamW (Loshchilov and Hutter 2019); the learning rate stays."""

    def average(self) -> WeightAverage:
        """Begin a moving average of the weights, which begins as they are now. On a GPU it stays there."""


class Classifier(Trainable, Protocol):
    """A compiled network: photos (B, H, W, 3) in [0, 1] to class probabilities (B, C).

    `train_epoch`, `validate` and `recompute_statistics` take photos as float arrays or as `BytePhotos`, whichever
    `takes_bytes` says. Everything but `train_epoch` is computed in true float32, on a GPU too (without TF32).
    """

    @property
    def num_classes(self) -> int:
        """C, the number of outputs."""

    @property
    def takes_bytes(self) -> bool:
        """Whether batches of photos should come as `BytePhotos`: a GPU makes floats of bytes, and varies them, itself.

        Batches of either kind are accepted in any case.
        """

    @property
    def device(self) -> Any:
        """Where it runs; str() gives a name such as "cpu" or "cuda:0"."""

    @property
    def precision(self) -> Precision:
        """The arithmetic of `train_epoch`; everything else is float32."""

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the photos that it takes; None where it takes any."""

    @property
    def last_conv_layer_name(self) -> str:
        """The layer that Grad-CAM looks at: the trunk's last."""

    @property
    def parameters(self) -> tuple[int, int]:
        """(all, trainable) numbers in the network, as it predicts."""

    def predict(self, images: Array) -> Array:
        """Map photos (B, H, W, 3) in [0, 1] to probabilities (B, C) float32."""

    def features(self, images: Array) -> Array:
        """Map photos (B, H, W, 3) in [0, 1] to the trunk's feature maps (B, h, w, K) float32."""

    def features_and_gradients(self, images: Array, classes: Labels, layer: str) -> tuple[Array, Array]:
        """Return any layer's output (B, h, w, K), and there the gradient of each photo's logit of class `classes[i]`.

        The framework differentiates. Raises ModelError for a layer without feature maps.
        """

    def head(self) -> Head:
        """Return a copy of what follows the trunk."""

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the model file of the guide, whole or not at all, with `about` (class names ...)."""

    def export_trunk(self, folder: Path) -> Head:
        """Write the trunk as folder/trunk.xml and .bin (OpenVINO), and return the head.

        The trunk maps (B, H, W, 3) float32 in [0, 1] to feature maps (B, h, w, K) float32.
        """


class Divisible(Classifier, Tunable, Protocol):
    """A classifier that can also be cut inside its trunk: at a layer whose output is all that later layers take.

    micro_batches: decides how many photos it computes at once; what follows a cut shares it.
    """

    micro_batches: MicroBatches

    def features(self, images: Array, until: str | None = None) -> Array:
        """As in `Classifier`; `until` a layer: that layer's output. Raises ModelError for a layer that is no cut."""

    def sent(self, pixels: Pixels) -> Any:
        """Begin to copy photos (B, H, W, 3) uint8 to the device; return what `features_of` takes in their place.

        It may be called in a thread while features of other photos are computed. What it returns has a length, can be
        sliced, and is for one use. Where nothing is copied, it is the photos.
        """

    def features_of(self, pixels: Any, until: str | None, pooled: bool) -> Array:
        """Map photos (B, H, W, 3) uint8 to the trunk's features, or to a layer's output where `until` names one.

        pixels: photos, or what `sent` made of them.

        Returns maps (B, h, w, K) float32; `pooled`: their means over places (B, K) float32, computed on the device.
        On a GPU it may compute in TF32 or float16 where that stays within 1e-3 of the largest feature.
        Raises ModelError for a layer that is no cut.
        """

    def export_trunk(self, folder: Path, until: str | None = None) -> Head:
        """As in `Classifier`; `until` a layer: the front of the trunk, up to that layer's output."""

    def set_head(self, head: Head) -> None:
        """Put the weights of a head in place of the present ones. Raises ModelError for a head of other layers."""

    def shift_logits(self, by: Array) -> None:
        """Add (C,) float32 to the biases of the last layer: class scores are higher by that from then on.

        Raises ModelError where the last layer has no biases.
        """

    def begin_finetuning(self, cut: str | None = None) -> None:
        """Begin the guide's second stage: unfreeze the end of the backbone, or what follows the cut; lower the rate."""

    def cut_for_finetuning(self) -> str:
        """Return the layer after which the guide's second stage can train on cached activations. Raises ModelError."""

    def after(self, cut: str) -> Tunable:
        """Return what follows the cut, to be trained on its activations (B, h, w, K); it shares the weights."""


class Room(Protocol):
    """The interface of a framework: it seeds, builds and loads. Importing a room imports its framework."""

    def seed(self, seed: int, deterministic: bool) -> None:
        """Seed the framework's generators, and ask for deterministic operations where wanted."""

    def build(self, order: BuildOrder) -> Divisible:
        """Build a compiled network. Raises ModelError, WeightsError or DeviceError."""

    def load(self, path: Path, order: BuildOrder) -> Divisible:
        """Build a network and take its weights from a model file. Raises ModelError."""

    def preflight(self, device: str | None) -> Preflight:
        """Compute a small convolution forward and backward, and a matrix product, on the device that is asked for.

        `models.preflight.preflight` does all of it but the framework's own calls. Nothing is computed on a CPU, and no
        generator is advanced.

        Args:
            device: as in `BuildOrder`. None takes the first GPU, and the CPU where there is none or where it fails;
                the warning then says why.

        Raises:
            DeviceError: a device that was named fails or does not exist; the message says why and what to do.
        """

    def versions(self) -> dict[str, str]:
        """Return the framework's packages and their versions."""


def open_room(name: FrameworkName) -> Room:
    """Import a framework, and return its interface. A process opens one framework only.

    Raises:
        ModelError: the framework is not installed, or is asked to run on what there is not.
    """
    framework = FRAMEWORKS[name]
    below = framework.runs_on()
    if below is not None and below not in BACK_ENDS:
        raise ModelError(f"Keras has no back end {quoted(below)} (KERAS_BACKEND). Choose tensorflow, torch or jax, "
                         "such as: export KERAS_BACKEND=tensorflow")
    missing = framework.missing_packages()
    if missing:
        raise ModelError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed; "
                         f"install with: pip install 'matlens[{framework.extra}]'")
    room: Room = importlib.import_module(framework.room).room
    return room


def on_working_device(room: Room, order: BuildOrder) -> tuple[BuildOrder, Preflight]:
    """Try the device of an order, and return the order for a device that computes.

    An order that leaves the device to the framework stays as it is where all is well.

    Raises:
        DeviceError: see `Room.preflight`.
    """
    found = room.preflight(order.device)
    if order.device is None and not found.warning:
        return order, found
    return replace(order, device=found.device), found


def room_of(model: str) -> Room:
    """Import the framework of a model, named by the model. Raises ModelError."""
    framework = spec_of(model).framework  # first: it may load a plug-in that replaces how rooms are opened
    return open_room(framework)
