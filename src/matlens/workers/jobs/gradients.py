"""The job `gradients`: differentiate a trained model at any of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matlens.data.pixels.values import as_floats
from matlens.runs.run import Run
from matlens.workers.frameworks import load_trained
from matlens.workers.registry import Tell, job

_AT_ONCE = 8
"""Photos that are differentiated together: at an early layer one takes some 25 MB."""


@dataclass(frozen=True)
class GradientsTask:
    """The layer of a trained model of a run, and the photos and classes for which it is differentiated.

    layer: "" for the one that Grad-CAM looks at.
    photos: an .npz of `photos` (N, H, W, 3), uint8 or float32 in [0, 1], and `classes` (N,) int64. The answers go to
        its folder.
    """

    run_dir: Path
    model: str
    layer: str
    photos: Path


@job("gradients")
def gradients(task: GradientsTask, tell: Tell) -> None:
    """Write feature maps and gradients at the layer, some photos a file. Tells of `gradients`: each `file`."""
    classifier = load_trained(Run.open(task.run_dir), task.model)
    with np.load(task.photos, allow_pickle=False) as file:
        photos, classes = file["photos"], file["classes"]
    for start in range(0, len(photos), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        features, slopes = classifier.features_and_gradients(as_floats(photos[some]), classes[some],
                                                                 task.layer or classifier.last_conv_layer_name)
        path = task.photos.with_name(f"{start}.npz")
        np.savez(path, features=features, gradients=slopes)
        tell("gradients", file=str(path))
