"""Heat maps at any layer of a trained model: its framework differentiates, in a process of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.explanation.explain import AtLayer
from matlens.explanation.gradcam import from_gradients
from matlens.explanation.methods import MethodName
from matlens.runs.run import Run
from matlens.system.transport import Event, run_job
from matlens.types import Array, Pixels
from matlens.workers.jobs.gradients import GradientsTask


def at_layer(folder: Run, name: str, layer: str, method: MethodName = "gradcam") -> AtLayer:
    """What makes heat maps at a layer of the model `name`, such as `block_13_expand_relu`.

    Calling it raises ModelError where the layer is not there or gives no feature map (the message names some that do),
    or where the framework is not installed.
    """
    def maps(photos: Pixels, classes: npt.NDArray[np.int64]) -> Array:
        found: list[Array] = []

        def hear(event: Event) -> None:
            path = Path(event["file"])
            with np.load(path, allow_pickle=False) as file:
                found.append(from_gradients(file["features"], file["gradients"], method))
            path.unlink()

        with tempfile.TemporaryDirectory(prefix="matlens-") as scratch:
            given = Path(scratch) / "photos.npz"
            np.savez(given, photos=photos, classes=classes)
            task = GradientsTask(folder.path.resolve(), name, layer, given.resolve())
            run_job("gradients", task, folder.paths.log_file(name), hear)
        return np.concatenate(found)

    return maps
