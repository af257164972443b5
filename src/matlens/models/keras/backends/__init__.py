"""What is particular to each of Keras' back ends, behind `backends.base.Backend`: one file for each back end."""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache

import keras

from matlens.models.keras.backends.base import Backend

__all__ = ["Backend", "backend"]


@lru_cache(maxsize=1)
def backend() -> Backend:
    """Return the back end that Keras runs on in this process; one without a file here has only what all share."""
    module = f"{__name__}.{keras.backend.backend()}"
    if importlib.util.find_spec(module) is None:
        return Backend()
    special: Backend = importlib.import_module(module).BACKEND
    return special
