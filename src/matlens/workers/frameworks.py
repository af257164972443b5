"""Open a model's framework in a child process, and what jobs build and load with it."""

from __future__ import annotations

import sys
from pathlib import Path

from matlens.data.pixels.store import PixelStore
from matlens.errors import CacheError, ModelError
from matlens.features.artifact import Artifact
from matlens.models.heads.knn import KnnHead
from matlens.models.protocol import Room, on_working_device, room_of
from matlens.runs.orders import build_order
from matlens.runs.run import Run
from matlens.workers.voting import Trained, Voting

NOT_NEEDED = ("matplotlib", "matplotlib.pyplot", "pandas", "sklearn")
"""Keras imports them if it can, which is a third of its start, for wrappers and pictures that no job uses."""


def open_framework(model: str) -> Room:
    """Import the framework of a model. Raises ModelError if it is not installed."""
    spare_imports(*NOT_NEEDED)
    return room_of(model)


def spare_imports(*packages: str) -> None:
    """Make the import of packages fail in this process, where a library takes them only if it finds them."""
    for name in packages:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # makes its import fail


def load_trained(run: Run, model: str, device: str | None = None) -> Trained:
    """Load a trained model of a run from its file, on a device that computes. Raises ModelError or DeviceError.

    Where training photos vote, the artifact gives the head, whether it is marked or not.
    """
    room = open_framework(model)
    order, _ = on_working_device(room, build_order(run.settings, model, len(run.split.class_names), device=device))
    try:
        classifier = room.load(run.paths.model_file(model), order)
    except ModelError as error:
        raise ModelError(f"{error} Without that file, the same command of matlens run trains {model} again."
                         ) from error
    if run.settings.head == "knn":
        head = Artifact.open(run.paths.artifact(model), marked_too=True).head
        return Voting(classifier, head, model) if isinstance(head, KnnHead) else classifier
    return classifier


def open_store(folder: Path) -> PixelStore:
    """Open the decoded photos of a run. Raises CacheError where they are gone."""
    store = PixelStore.open(folder)
    if store is None:
        raise CacheError(f"The pixel store {folder} is gone. Run the same command again.")
    return store
