"""Files of weights: read as tensors, never as code."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from matlens.errors import ModelError, WeightsError
from matlens.models.torch.network import DividedModule
from matlens.system.files import whole_file
from matlens.system.untrusted import open_regular, reading, refuse_bomb

_ANY = (Exception,)
"""torch.load and load_state_dict raise nearly anything on a file of somebody else's."""


def tensors_in(path: Path, device: torch.device | str) -> Any:
    """Read a file with torch.load's restricted unpickler; it may hold no more than it has bytes."""
    with open_regular(path) as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                refuse_bomb(archive, path.stat().st_size)
        file.seek(0)
        return torch.load(file, map_location=device, weights_only=True)


def load_pretrained(module: nn.Module, path: Path, title: str) -> None:
    """Load a published file of weights into a module that has the published classes. Raises WeightsError."""
    with reading(path, f"a file of {title}'s weights", WeightsError,
                 "Name a file of them, or use pretrained=False (--weights none).", _ANY):
        module.load_state_dict(tensors_in(path, "cpu"))


def save_state(network: DividedModule, path: Path) -> None:
    """Write the state dict (.pth), whole or not at all, without auxiliary classifiers."""
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save(network.state_dict(), file)  # given a path, torch would write its name into the file


def load_state(network: DividedModule, path: Path, device: torch.device, title: str) -> None:
    """Read a state dict of the same network; what else is in it is ignored. Nothing but tensors is ever unpickled.

    Raises ModelError for another file, and then leaves the network as it is.
    """
    with reading(path, f"a file of the weights of {title}", ModelError,
                 "Name a file of this network with as many classes.", _ANY):
        state, ours = tensors_in(path, device), network.state_dict()
        for name, values in ours.items():  # before anything is copied
            if state[name].shape != values.shape:
                raise ValueError(f"{name} is {tuple(state[name].shape)} there, {tuple(values.shape)} here")
        network.module.load_state_dict({name: state[name] for name in ours}, strict=False)
