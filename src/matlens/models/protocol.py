"""What both rooms answer to. The rest of the package knows these and NumPy arrays only."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError
from matlens.models.head import Head
from matlens.models.precision import Precision, Wish
from matlens.models.registry import spec_of
from matlens.models.spec import Framework
from matlens.types import Batch, OnStep, Scores

if TYPE_CHECKING:
    from matlens.models.micro_batches import MicroBatches



LAYERS_TO_UNFREEZE = 40
"""Of a backbone's layers, the last so many are trained in the guide's second stage."""






class Pace:
    """Says when to tell of a step: the first time, then at most five times a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time again."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + 0.2
        return True


@dataclass(frozen=True)
class BuildOrder:
    """What to build.

    weights_file: ImageNet weights, or None for random ones.
    options: the backbone's own options, as far as they are not the spec's defaults.
    precision: what to train in; auto is the room's choice.
    """

    model: str
    num_classes: int
    img_size: tuple[int, int] = (224, 224)
    weights_file: Path | None = None
    options: Mapping[str, float | int | str] = field(default_factory=dict)
    precision: Wish = "float32"

    def to_json(self) -> dict[str, Any]:
        """For a child process."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {**values, "options": dict(self.options),
                "weights_file": str(self.weights_file) if self.weights_file else None}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> BuildOrder:
        """What `to_json` gave."""
        file = content["weights_file"]
        return cls(**{**content, "img_size": tuple(content["img_size"]), "weights_file": Path(file) if file else None})


class Trainable(Protocol):
    """What the training loop needs of a network, or of a head."""

    learning_rate: float

    @property
    def trains_statistics(self) -> bool:
        """Whether batch normalisation is trained, so its statistics want recomputing before validation."""

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """One pass of training."""

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Set batch normalisation's mean and variance to their averages over these photos."""

    def validate(self, batches: Iterable[Batch]) -> Scores:
        """Loss and accuracy without training."""

    def snapshot(self) -> Any:
        """The weights as they are now, for `restore`."""

    def restore(self, snapshot: Any) -> None:
        """Bring weights back."""


class Resumable(Trainable, Protocol):
    """What can be interrupted and gone on with in another process. Dropout follows from (seed, step)."""

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """As above, as arrays."""

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """What training goes on from besides weights and learning rate, by name: the optimiser's variables, steps."""

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Be as when `snapshot` and `training_state` gave these. Raises ModelError where they are another network's."""


class Tunable(Resumable, Protocol):
    """What the recipe `strong` needs besides."""

    def use_adamw(self, weight_decay: float) -> None:
        """Replace the optimiser by AdamW (Loshchilov and Hutter 2019); the learning rate stays."""


class Classifier(Trainable, Protocol):
    """A compiled network: photos (B, H, W, 3) in [0, 1] to class probabilities (B, C)."""

    @property
    def num_classes(self) -> int:
        """C, the number of outputs."""

    @property
    def precision(self) -> Precision:
        """What `train_epoch` computes in; all else is float32."""

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the photos that it takes; None where any will do."""

    @property
    def last_conv_layer_name(self) -> str:
        """The layer that Grad-CAM looks at: the trunk's last."""

    @property
    def parameters(self) -> tuple[int, int]:
        """(all, trainable) numbers in the network, as it predicts."""

    def predict(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(B, H, W, 3) in [0, 1] to (B, C) float32 probabilities."""

    def features(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(B, H, W, 3) in [0, 1] to the trunk's feature maps (B, h, w, K) float32."""

    def features_and_gradients(self, images: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], layer: str,
                               ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Any layer's output (B, h, w, K), and there the gradient of each photo's logit of class `classes[i]`, by the
        framework's own differentiation. Raises ModelError."""

    def head(self) -> Head:
        """What follows the trunk, as it is now."""

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the model file of the guide, whole or not at all; `about` (class names ...) goes along."""

    def export_trunk(self, folder: Path) -> Head:
        """Write the trunk as folder/trunk.xml and .bin (OpenVINO), and return the head.

        The trunk maps (B, H, W, 3) float32 in [0, 1] to feature maps (B, h, w, K) float32.
        """


class Divisible(Classifier, Tunable, Protocol):
    """A classifier that can also be cut inside its trunk: at a layer whose output alone goes on to the later ones.

    micro_batches: how many photos it computes at once; what follows a cut shares them.
    """

    micro_batches: MicroBatches

    def features(self, images: npt.NDArray[np.float32], until: str | None = None) -> npt.NDArray[np.float32]:
        """As above; `until` a layer: that layer's output. Raises ModelError for a layer that is no cut."""

    def export_trunk(self, folder: Path, until: str | None = None) -> Head:
        """As above; `until` a layer: the front of the trunk, up to that layer's output."""

    def begin_finetuning(self, cut: str | None = None) -> None:
        """The guide's second stage: unfreeze the end of the backbone (or what follows the cut), lower the rate."""

    def cut_for_finetuning(self) -> str:
        """The layer after which the guide's second stage can begin with kept activations. Raises ModelError."""

    def after(self, cut: str) -> Tunable:
        """What follows the cut, as something to train on its activations (B, h, w, K); it shares the weights."""


class Room(Protocol):
    """A framework behind one door. Importing a room imports its framework."""

    def seed(self, seed: int, deterministic: bool) -> None:
        """Seed the framework's generators, and ask for deterministic operations."""

    def build(self, order: BuildOrder) -> Divisible:
        """A fresh, compiled network. Raises ModelError or WeightsError."""

    def load(self, path: Path, order: BuildOrder) -> Divisible:
        """A trained network from its file. Raises ModelError."""

    def has_gpu(self) -> bool:
        """Whether the framework sees a GPU."""

    def versions(self) -> dict[str, str]:
        """The framework's packages and their versions."""


_EXTRAS: dict[Framework, Sequence[str]] = {"keras": ("keras", "tensorflow"), "torch": ("torch", "torchvision")}


def open_room(name: Framework) -> Room:
    """Import a room, and its framework with it. One process opens one room.

    Raises:
        ModelError: the framework is not installed.
    """
    import importlib
    import importlib.util

    missing = [package for package in _EXTRAS[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed; "
                         f"install with: pip install 'matlens[{name}]'")
    room: Room = importlib.import_module(f"matlens.models.{name}").room
    return room


def room_of(model: str) -> Room:
    """The room of a model by name. Raises ModelError."""
    return open_room(spec_of(model).framework)
