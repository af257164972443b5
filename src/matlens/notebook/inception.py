"""The guide's GoogLeNet wrapper, without PyTorch: the network is in this process, or in a child where it must be."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from matlens.errors import ModelError
from matlens.models.protocol import BuildOrder, room_of
from matlens.models.remote.client import RemoteClassifier
from matlens.models.seeding import seeded
from matlens.notebook.photos import PhotoCheck
from matlens.notebook.weights import weights_for_notebook
from matlens.settings.arguments import whole_number
from matlens.settings.knobs import knob, with_knobs
from matlens.system.files import read_json
from matlens.system.untrusted import reading
from matlens.types import Array

SEED = knob("seed")

MODEL = "inception_v1"
"""The name of its spec."""


@dataclass(frozen=True)
class Device:
    """Where a child process runs its network: `type` and `index`, as torch.device has them; str() gives "cuda:0"."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    @classmethod
    def named(cls, name: str) -> Device:
        """Read a name such as "cpu" or "cuda:0"."""
        kind, _, index = name.partition(":")
        return cls(kind, int(index) if index else None)


def must_go_to_a_child() -> bool:
    """Return whether importing torchvision here would crash: TensorFlow is loaded, and torchvision was not before."""
    return "tensorflow" in sys.modules and "torchvision" not in sys.modules


class InceptionV1Wrapper:
    """GoogLeNet (Inception V1; Szegedy et al. 2014) from torchvision, behind the guide's interface.

    It takes photos (B, H, W, 3) float32 in [0, 1]; normalisation is inside. Train it with `train_model`, which gives it
    the names of its classes as `class_names`; `save` and `load` write and read them beside the weights, as .json.

    Where TensorFlow is loaded already, PyTorch gets a process of its own, since torchvision would crash this one and
    the two would fight for a GPU's memory. All of this class works the same then, but for `model`.
    """

    input_range = (0, 1)
    """The range of the photos that it takes."""

    @with_knobs
    def __init__(self, num_classes: int = 23, pretrained: bool | Literal["auto"] = True, *,
                 weights_file: Path | str | None = None, weights_dir: Path | str | None = None,
                 device: str | None = None, seed: int = SEED, in_child: bool | None = None) -> None:
        """Build the network.

        Args:
            pretrained: start from ImageNet weights (from this machine, else downloaded); "auto" is the same, but goes
                on from random weights, with a warning, where there are none.
            weights_file: the file of ImageNet weights; by default matlens looks for it.
            weights_dir: a folder to look in before torch's own cache.
            device: such as "cpu"; by default a GPU if there is one.
            seed: of the initial weights and of dropout.
            in_child: whether PyTorch gets a process of its own; by default only where it must have one.

        Raises:
            WeightsError: pretrained, and the weights can be neither found nor downloaded, or do not fit.
        """
        num_classes = whole_number(num_classes, "num_classes", 1)
        order = BuildOrder(MODEL, num_classes, weights_file=_weights(pretrained, weights_file, weights_dir),
                           device=device)
        self.num_classes = num_classes
        self.class_names: tuple[str, ...] = ()
        self.pretrained = order.weights_file is not None
        self.in_child = must_go_to_a_child() if in_child is None else in_child
        self.classifier: Any
        if self.in_child:
            self.classifier = RemoteClassifier(order, seed)
            self.device: Any = Device.named(self.classifier.device)
        else:
            room = room_of(MODEL)
            with seeded(room, seed):
                self.classifier = room.build(order)
            self.device = self.classifier.device

    @property
    def model(self) -> Any:
        """torchvision's GoogLeNet, with auxiliary classifiers for training.

        Raises:
            ModelError: it lives in a child process.
        """
        if self.in_child:
            raise ModelError(
                "This GoogLeNet lives in a process of its own, because TensorFlow was loaded here before torchvision, "
                "so its torch.nn.Module cannot be touched from here. predict, save, load, train_model, evaluate_model "
                "and the Grad-CAM functions work. To get the module, build an InceptionV1Wrapper before anything of "
                "Keras is used, or save() it and open the file elsewhere.")
        return self.classifier.network.module

    def predict(self, images: Any) -> Array:
        """Return probabilities (B, num_classes) float32 of photos (B, H, W, 3) in [0, 1] (array or tensor).

        Raises ModelError for another shape, DataError for photos in [0, 255].
        """
        if np.size(images):
            PhotoCheck(self, "images").batch(images)
        photos = np.asarray(images, dtype=np.float32)
        if photos.ndim != 4 or photos.shape[-1] != 3:
            raise ModelError(f"predict takes photos (B, H, W, 3), not an array of shape {photos.shape}.")
        probabilities: Array = self.classifier.predict(photos)
        return probabilities

    def save(self, path: str | Path) -> None:
        """Write the state dict (.pth), whole or not at all: that of torchvision's googlenet(num_classes=C,
        aux_logits=False)."""
        if self.class_names:
            self.classifier.save(Path(path), {"class_names": list(self.class_names)})
        else:
            self.classifier.save_weights(Path(path))

    def load(self, path: str | Path) -> None:
        """Read a state dict of a GoogLeNet with as many classes; auxiliary classifiers in it are ignored.

        Raises:
            ModelError: not such a file. Nothing but tensors is ever unpickled.
        """
        self.classifier.load_weights(Path(path))
        self.class_names = _names_beside(Path(path), self.num_classes)

    def get_trainable_params_count(self) -> int:
        """Return how many numbers are trained, without the auxiliary classifiers."""
        return int(self.classifier.parameters[1])


def _names_beside(weights: Path, number: int) -> tuple[str, ...]:
    """Return the class names that stand beside a file of weights, as `save` writes them; empty where there are none.

    Raises ModelError.
    """
    path = weights.with_suffix(".json")
    if not path.is_file():
        return ()
    with reading(path, "the names of a model's classes", ModelError, f"Move it away, and {weights.name} opens without "
                 "names."):
        content = read_json(path)
        names = content.get("class_names") if isinstance(content, dict) else None
        if not names:
            return ()
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names) and len(names) == number):
            raise ValueError(f"it does not hold {number} names")
        return tuple(names)


def _weights(pretrained: bool | Literal["auto"], file: Path | str | None, folder: Path | str | None) -> Path | None:
    if not pretrained:
        return None
    if file is not None:
        return Path(file)
    return weights_for_notebook(MODEL, "auto" if pretrained == "auto" else "imagenet", folder)
