"""Artifacts so plain that their maps can be worked out: the features of a place are the mean colours of its cell."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from matlens.features.artifact import Artifact, write_artifact
from matlens.features.engine import TrunkEngine
from matlens.models.head import AnyHead, Dense, Head

SIDE, CELL = 48, 8
CLASSES = ("blue", "green", "red")
COLOURS = {"blue": (20, 30, 230), "green": (20, 220, 40), "red": (230, 30, 20)}
SCALE = 30.0


def write_convolution(folder: Path) -> None:
    """(B, 48, 48, 3) to (B, 6, 6, 3), which takes photos of any size."""
    import openvino
    from openvino import opset13 as ops

    photos = ops.parameter([-1, SIDE, SIDE, 3], np.float32)
    first = ops.transpose(photos, np.array([0, 3, 1, 2]))
    kernel = np.zeros((3, 3, CELL, CELL), np.float32)
    kernel[range(3), range(3)] = 1 / CELL**2
    cells = ops.convolution(first, ops.constant(kernel), [CELL, CELL], [0, 0], [0, 0], [1, 1])
    maps = ops.transpose(cells, np.array([0, 2, 3, 1]))
    openvino.save_model(openvino.Model([maps], [photos]), folder / "trunk.xml", compress_to_fp16=False)


def write_rigid(folder: Path) -> None:
    """The same for one size alone: cells are cut out by a fixed shape."""
    import openvino
    from openvino import opset13 as ops

    photos, places = ops.parameter([-1, SIDE, SIDE, 3], np.float32), SIDE // CELL
    cells = ops.reshape(photos, np.array([-1, places, CELL, places, CELL, 3]), special_zero=False)
    maps = ops.reduce_mean(cells, np.array([2, 4]))
    openvino.save_model(openvino.Model([maps], [photos]), folder / "trunk.xml", compress_to_fp16=False)


def colour_head() -> Head:
    """The class of the strongest colour."""
    kernel = np.zeros((3, 3), np.float32)
    for number, name in enumerate(CLASSES):
        kernel[int(np.argmax(COLOURS[name])), number] = SCALE
    return Head("avg", (Dense(kernel, np.zeros(3, np.float32), "softmax"),))


def colour_artifact(folder: Path, *, rigid: bool = False, head: AnyHead | None = None,
                    class_names: Sequence[str] = CLASSES) -> Artifact:
    """Write an artifact of these colours."""
    chosen = head or colour_head()

    def export_trunk(target: Path) -> AnyHead:
        (write_rigid if rigid else write_convolution)(target)
        return chosen

    folder.parent.mkdir(parents=True, exist_ok=True)
    write_convolution(folder.parent)
    engine = TrunkEngine(folder.parent / "trunk.xml")
    seed = int(hashlib.sha256(folder.name.encode()).hexdigest()[:8], 16)
    photos = np.random.default_rng(seed).random((2, SIDE, SIDE, 3), dtype=np.float32)
    return write_artifact(folder, export_trunk, lambda images: chosen.probabilities(engine.features(images)), photos,
                          "colours", tuple(class_names))


def flat(name: str, height: int, width: int) -> np.ndarray:
    """A photo of one colour."""
    return np.full((height, width, 3), COLOURS[name], np.uint8)


def halves(left: str, right: str, height: int = 96, width: int = 160) -> np.ndarray:
    """A photo of two colours that meet in the middle."""
    return np.concatenate([flat(left, height, width // 2), flat(right, height, width - width // 2)], axis=1)
