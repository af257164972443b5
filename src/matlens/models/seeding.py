"""Seeding: once for a training process, and around the making of one model in a notebook."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
    opened = ("matlens.models.keras", "matlens.models.torch")
    for each in [room] if room is not None else [sys.modules[name].room for name in opened if name in sys.modules]:
        each.seed(seed, deterministic)


@contextmanager
def seeded(room: Room, seed: int) -> Iterator[None]:
    """Seed a framework for what is made inside; Python's and NumPy's own generators go on as if nothing had been.

    Keras takes its layers' seeds from Python's generator, so models made inside are the same each time.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- to be put back
    try:
        room.seed(seed, False)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
