"""PyTorch. Nothing else in matlens imports torch or torchvision, except Keras on PyTorch."""

from __future__ import annotations

import os
from typing import Any

from matlens.system.devices import openmp_environment, usable_cores

os.environ.update(openmp_environment())

import torch

# Never more than PyTorch chose, which leaves a core's second thread alone and heeds OMP_NUM_THREADS.
torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))

__all__ = ["room"]


def __getattr__(name: str) -> Any:
    """Make the room when it is first asked for: what Keras on PyTorch takes from here needs no torchvision."""
    if name != "room":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from matlens.models.torch.room import TorchRoom

    globals()["room"] = TorchRoom()
    return globals()["room"]
