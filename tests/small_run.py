"""A finished run without a framework, of networks so plain that their answers can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from builders import write_training
from matlens.data.batches import read_photos
from matlens.data.prepare import prepare
from matlens.evaluation.judge import evaluate
from matlens.features.artifact import write_artifact
from matlens.features.engine import TrunkEngine
from matlens.models.head import Dense, Head
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

SIDE, CELL = 48, 8
PLACES = SIDE // CELL
GREY, SCALE = 51, 40.0
"""The ground of all photos (0.2), and the head's factor."""

NAMES = ("mobilenetv2_transfer", "inception_v1")
CLASSES = ("blue", "green", "red")
CHANNEL = {"red": 0, "green": 1, "blue": 2}


def patched(colour: str, corner: tuple[int, int], level: int = 255) -> np.ndarray:
    """A grey photo with a patch of 2 x 2 cells in a corner, where one colour channel is at `level`."""
    photo = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    top, left = (position * (SIDE - 2 * CELL) for position in corner)
    photo[top:top + 2 * CELL, left:left + 2 * CELL, CHANNEL[colour]] = level
    return photo


def probability(level: int = 255, scale: float = SCALE) -> float:
    """Of the patch's colour: its logit is ahead of the others by scale x (level - GREY) / 255 x 4 of 36 places."""
    ahead = np.exp(scale * (level - GREY) / 255 * 4 / PLACES**2)
    return float(ahead / (ahead + 2))


def write_photos(root: Path) -> None:
    """A prepared directory. Of the test photos of each class four are plain, one is faint and one is not labelled so.

    The one that is named wrong.png in a class shows the next class' colour.
    """
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for number, name in enumerate(CLASSES):
        for part, n in (("train", 2), ("val", 2), ("test", 4)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(n):
                level = {"train": 250, "val": 245, "test": 255}[part] - 2 * index
                Image.fromarray(patched(name, corners[index], level)).save(folder / f"{index}.png")
        test = root / "test" / name
        Image.fromarray(patched(name, (0, 0), 80)).save(test / "faint.png")
        Image.fromarray(patched(CLASSES[(number + 1) % 3], (1, 1), 200)).save(test / "wrong.png")


def write_trunk(folder: Path) -> None:
    """Feature maps are the means of cells: (B, 48, 48, 3) to (B, 6, 6, 3)."""
    import openvino
    from openvino import opset13 as ops

    photos = ops.parameter([-1, SIDE, SIDE, 3], np.float32)
    cells = ops.reshape(photos, np.array([-1, PLACES, CELL, PLACES, CELL, 3]), special_zero=False)
    maps = ops.reduce_mean(cells, np.array([2, 4]))
    openvino.save_model(openvino.Model([maps], [photos]), folder / "trunk.xml", compress_to_fp16=False)


def make_run(path: Path, **options: Any) -> Run:
    """Both models know the colours; the second half as surely. Both are judged. options: more settings."""
    write_photos(path / "photos")
    settings = Settings.load(options={"data_dir": path / "photos", "img_size": SIDE, "models": ",".join(NAMES),
                                      "cache_dir": path / "cache", **options})
    prepared = prepare(settings, Reporter(quiet=True))
    split = prepared.split
    folder = Run.begin(path / "run", settings, prepared.source.root, split)
    assert split.class_names == CLASSES
    photos = next(read_photos(folder.data_root, split.part("val")[:4], (SIDE, SIDE)))
    write_trunk(path)
    engine = TrunkEngine(path / "trunk.xml")
    for name, scale in zip(NAMES, (SCALE, SCALE / 2), strict=True):
        kernel = np.zeros((3, 3), np.float32)
        for number, colour in enumerate(CLASSES):
            kernel[CHANNEL[colour], number] = scale
        head = Head("avg", (Dense(kernel, np.zeros(3, np.float32), "softmax"),))

        def export_trunk(target: Path, head: Head = head) -> Head:
            write_trunk(target)
            return head

        write_artifact(folder.paths.artifact(name), export_trunk,
                       lambda images, head=head: head.probabilities(engine.features(images)),
                       photos, name, CLASSES)
        write_training(folder, name, parameters=9, trainable_parameters=9, epochs=1, best_epoch=1, seconds={},
                       history={"loss": [1.0], "val_loss": [1.0], "accuracy": [0.5], "val_accuracy": [0.5]})
        evaluate(folder, name)
    return folder
