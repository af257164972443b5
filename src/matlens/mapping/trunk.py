"""A trunk over a whole photo at once, of any size: convolutions do not care how large a photo is.

A vision transformer's position embeddings do, and so do layers that flatten a map. What cannot be computed so is
computed in windows (`windows`).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from matlens.features.artifact import Artifact
from matlens.features.engine import TrunkEngine
from matlens.system.openvino import import_openvino
from matlens.types import Array, Pixels

_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
_TRIED = 1024
"""Pixels of sides for which a trunk is asked how many places it has; nothing is computed."""

_WHOLE = ("avg",)
"""The pooling of heads that take the mean over any places."""


class WholeTrunk:
    """A compiled trunk for photos of any size.

    step: the distance of its places in pixels. Sizes of photos are multiples of it.
    """

    def __init__(self, compiled: Any, step: int) -> None:
        self._compiled, self.step = compiled, step

    def features(self, photo: Pixels) -> Array | None:
        """Compute the feature map (h, w, K) float32 of a photo (H, W, 3) uint8; None where the trunk cannot."""
        try:
            maps = np.array(self._compiled(photo[None])[0], dtype=np.float32)
        except (RuntimeError, ValueError, TypeError, IndexError):  # MemoryError tells of the machine
            return None
        expected = tuple(length / self.step for length in photo.shape[:2])
        fits = maps.ndim == 4 and len(maps) == 1 and all(
            abs(places - wanted) <= 3 for places, wanted in zip(maps.shape[1:3], expected, strict=True))
        return np.asarray(maps[0]) if fits and np.isfinite(maps).all() else None


def whole_trunk(artifact: Artifact) -> WholeTrunk | None:
    """Return an artifact's trunk for photos of any size; None where it takes no other than it was trained on.

    Also None where the head does not take the mean over places, or where a framework computes the features.
    """
    if artifact.head.pooling not in _WHOLE or not isinstance(artifact.trunk, TrunkEngine):
        return None
    file = artifact.folder / "trunk.xml"
    return _whole(str(file), file.with_suffix(".bin").stat().st_mtime_ns, artifact.img_size)


@lru_cache(maxsize=4)
def _whole(model_file: str, changed: int, trained: tuple[int, int]) -> WholeTrunk | None:
    openvino = import_openvino()
    from openvino.preprocess import PrePostProcessor

    core = openvino.Core()
    try:
        model = core.read_model(str(Path(model_file)))
        step = _step(model, trained)
        if step is None:
            return None
        model.reshape([1, -1, -1, 3])
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8)
        steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
        return WholeTrunk(core.compile_model(steps.build(), "CPU", _FLOAT32), step)
    except RuntimeError:
        return None


def _step(model: Any, trained: tuple[int, int]) -> int | None:
    """Return by how many pixels a photo must grow for a place more; None where the map does not grow with the photo.

    Raises RuntimeError where an operation refuses another size.
    """
    maps = []
    for size in (trained, (_TRIED, 2 * _TRIED), (2 * _TRIED, 3 * _TRIED)):
        model.reshape([1, *size, 3])
        maps.append(tuple(int(length) for length in model.output(0).shape))
    small, large, larger = maps
    grown = (larger[1] - large[1], larger[2] - large[2])
    if small[0] != 1 or large[0] != 1 or min(small[1:3]) < 2 or grown[0] != grown[1] or grown[0] < 1:
        return None  # a single place tells of none
    return round(_TRIED / grown[0])


def resized(photo: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a photo at another size (height, width): areas are averaged where it shrinks."""
    if photo.shape[:2] == size:
        return photo
    shrinks = size[0] * size[1] < photo.shape[0] * photo.shape[1]
    return np.asarray(cv2.resize(photo, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR),
                      dtype=np.uint8)
