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
        model.reshape([1, *trained, 3])
        grid = [int(model.output(0).shape[axis]) for axis in (1, 2)]
        step = round(max(length / places for length, places in zip(trained, grid, strict=True)))
        if min(grid) < 2 or step < 1:  # a single place tells of none
            return None
        for sides in (2, 3):  # other sizes of maps follow, or an operation refuses them
            model.reshape([1, sides * trained[0], (sides + 1) * trained[1], 3])
            shape = model.output(0).shape
            if shape[0] != 1 or abs(shape[1] - sides * grid[0]) > 2 * sides or abs(
                    shape[2] - (sides + 1) * grid[1]) > 2 * (sides + 1):
                return None
        model.reshape([1, -1, -1, 3])
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8)
        steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
        return WholeTrunk(core.compile_model(steps.build(), "CPU", _FLOAT32), step)
    except RuntimeError:
        return None


def resized(photo: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a photo at another size (height, width): areas are averaged where it shrinks."""
    if photo.shape[:2] == size:
        return photo
    shrinks = size[0] * size[1] < photo.shape[0] * photo.shape[1]
    return np.asarray(cv2.resize(photo, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR),
                      dtype=np.uint8)
