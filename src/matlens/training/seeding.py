"""The one function that seeds everything."""

from __future__ import annotations

import os
import random
import sys

import numpy as np

from matlens.models.protocol import Room


def seed_everything(seed: int, *, deterministic: bool = False, room: Room | None = None) -> None:
    """Seed Python, NumPy and a framework; ask the framework for deterministic operations if wanted.

    Args:
        room: the framework's room; by default those that are open in this process.
    """
    os.environ["PYTHONHASHSEED"] = str(seed)  # for child processes
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- libraries that use the global state are what this is for
    opened = ("matlens.models.on_keras", "matlens.models.on_torch")
    for each in [room] if room is not None else [sys.modules[name].room for name in opened if name in sys.modules]:
        each.seed(seed, deterministic)
