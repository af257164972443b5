"""Seeding: once for a training process, and around the building of one model in a notebook."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from matlens.models.frameworks import FRAMEWORKS
from matlens.models.protocol import Room


def seed_everything(seed: int, *, deterministic: bool = False, room: Room | None = None) -> None:
    """Seed Python, NumPy and a framework; ask the framework for deterministic operations if wanted.

    Args:
        room: the framework's interface; by default those of all frameworks that this process has imported.
    """
    os.environ["PYTHONHASHSEED"] = str(seed)  # for child processes
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- libraries that use the global state are what this is for
    for open_room in [room] if room is not None else _open_rooms():
        open_room.seed(seed, deterministic)


def _open_rooms() -> list[Room]:
    modules = [sys.modules[framework.room] for framework in FRAMEWORKS.values() if framework.room in sys.modules]
    return [module.room for module in modules if "room" in vars(module)]  # one may be open in part, for another


@contextmanager
def seeded(room: Room, seed: int) -> Iterator[None]:
    """Seed a framework for what is built inside, and restore Python's and NumPy's own generators afterwards.

    Keras draws its layers' seeds from Python's generator, so models that are built inside are the same each time.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- restored below
    try:
        room.seed(seed, False)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
