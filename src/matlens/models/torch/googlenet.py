"""GoogLeNet (Inception V1; Szegedy et al. 2014) from torchvision."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torchvision.models import GoogLeNet

from matlens.errors import ModelError, WeightsError
from matlens.system.files import whole_file
from matlens.system.untrusted import refuse_bomb, size_of_regular

_AUXILIARY = ("aux1.", "aux2.")
_AT_ONCE = 32
"""Photos in one forward pass of `predict`."""


def to_input(images: Any, device: torch.device) -> torch.Tensor:
    """(B, H, W, 3) in [0, 1] to what GoogLeNet's weights were trained on: (B, 3, H, W) in [-1, 1].

    That is torchvision's normalisation by ImageNet's mean and deviation followed by GoogLeNet's own
    `transform_input`, which undoes it: (x - 0.5) / 0.5 in one step. So `transform_input` is off in the network.
    """
    return on_device(images, device).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last) * 2 - 1


def on_device(values: Any, device: torch.device) -> torch.Tensor:
    """An array or tensor as float32 there; to a GPU beside its work on the batch before."""
    tensor = torch.as_tensor(np.asarray(values, dtype=np.float32))
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # from other memory the copy would wait
    return tensor.to(device, non_blocking=True)


class GoogLeNetNetwork:
    """torchvision's GoogLeNet with our number of classes.

    Attributes:
        model: torchvision's GoogLeNet, with auxiliary classifiers of `num_classes` outputs for training.
        device: where it runs; a GPU if there is one.
        pretrained: whether it started from ImageNet weights; batch normalisation then stays in inference mode.
    """

    def __init__(self, num_classes: int, weights_file: Path | None = None, device: str | None = None) -> None:
        """Build it from a file of ImageNet weights or, without one, from random weights. Raises WeightsError."""
        self.num_classes = num_classes
        self.pretrained = weights_file is not None
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = _pretrained(weights_file) if weights_file is not None else _untrained()
        for classifier, name in ((self.model, "fc"), (self.model.aux1, "fc2"), (self.model.aux2, "fc2")):
            setattr(classifier, name, nn.Linear(getattr(classifier, name).in_features, num_classes))
        self.model.to(self.device, memory_format=torch.channels_last)
        self.model.eval()

    def predict(self, images: Any) -> npt.NDArray[np.float32]:
        """Probabilities (B, num_classes) float32 of photos (B, H, W, 3) in [0, 1] (array or tensor)."""
        self.model.eval()
        with torch.inference_mode():
            parts = [torch.softmax(self.model(to_input(images[start:start + _AT_ONCE], self.device)), dim=1)
                     for start in range(0, len(images), _AT_ONCE)]
        if not parts:
            return np.zeros((0, self.num_classes), dtype=np.float32)
        return torch.cat(parts).cpu().numpy()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Exactly that of `torchvision.models.googlenet(num_classes=C, aux_logits=False)`, on the CPU."""
        return {name: values.detach().cpu().contiguous() for name, values in self.model.state_dict().items()
                if not name.startswith(_AUXILIARY)}

    def save(self, path: str | Path) -> None:
        """Write the state dict (.pth), whole or not at all."""
        with whole_file(Path(path)) as partial, partial.open("wb") as file:
            torch.save(self.state_dict(), file)  # given a path, torch would write its name into the file

    def load(self, path: str | Path) -> None:
        """Read a state dict of a GoogLeNet with as many classes; auxiliary classifiers in it are passed over.

        Raises:
            ModelError: not such a file. Nothing but tensors is ever unpickled.
        """
        try:
            state = _tensors_in(Path(path), self.device)
            ours = self.state_dict()
            for name, values in ours.items():  # before anything is copied
                if state[name].shape != values.shape:
                    raise ModelError(f"{name} is {tuple(state[name].shape)} there, {tuple(values.shape)} here")
            self.model.load_state_dict({name: state[name] for name in ours}, strict=False)
        except Exception as error:  # torch.load and load_state_dict raise nearly anything on a foreign file
            raise ModelError(f"{path} does not hold a GoogLeNet with {self.num_classes} classes: {error}") from error

    def get_trainable_params_count(self) -> int:
        """Trainable numbers, without the auxiliary classifiers."""
        return sum(values.numel() for name, values in self.model.named_parameters()
                   if values.requires_grad and not name.startswith(_AUXILIARY))


def _tensors_in(path: Path, device: torch.device | str) -> Any:
    """What torch.load's restricted unpickler makes of a file, which may hold no more than it has bytes."""
    size = size_of_regular(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            refuse_bomb(archive, size)
    return torch.load(path, map_location=device, weights_only=True)


def _untrained() -> GoogLeNet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a change to come of torchvision's default
        return GoogLeNet(aux_logits=True, transform_input=False, init_weights=True)


def _pretrained(weights_file: Path) -> GoogLeNet:
    model = GoogLeNet(aux_logits=True, transform_input=False, init_weights=False)
    try:
        model.load_state_dict(_tensors_in(weights_file, "cpu"))
    except Exception as error:  # torch.load and load_state_dict raise nearly anything on a foreign file
        raise WeightsError(f"{weights_file} does not hold torchvision's GoogLeNet weights: {error}. Name a file of "
                           "them, or use pretrained=False (--weights none).") from error
    return model
