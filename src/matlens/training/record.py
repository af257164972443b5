"""What a training leaves beside the model: `<name>_training.json`, and what goes into the model file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.splits import Split
from matlens.features.artifact import Artifact
from matlens.models.catalogue import model_info
from matlens.models.precision import Precision
from matlens.settings import Settings
from matlens.training.history import History
from matlens.training.resources import peak_rss_bytes


class Clock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str, at_least: float = 0.0) -> None:
        """A stage has ended now. at_least: what is known of it from an earlier process, too."""
        now = time.perf_counter()
        self.seconds[stage] = round(max(now - self._last, at_least), 3)
        self._last = now


def about_model(name: str, split: Split, settings: Settings) -> dict[str, Any]:
    """What a model file says of itself."""
    return {"model_name": name, "class_names": split.class_names, "img_size": settings.img_size,
            "alpha": settings.alpha, "input": model_info(name).input}


def training_record(name: str, history: History, split: Split, artifact: Artifact, seconds: dict[str, float], *,
                    parameters: tuple[int, int], weights_file: Path | None, remarks: Sequence[str],
                    versions: dict[str, str], precision: Precision = "float32", views: int | None = None,
                    features_key: str | None = None, cut: str | None = None,
                    micro_batch: int | None = None) -> dict[str, Any]:
    """The content of `<name>_training.json`.

    views: how many fixed views of each photo; None where photos were varied anew in each epoch, or not at all.
    features_key: of the features that a head was trained on; None where anything else was trained.
    cut: the layer after which the network was trained; None where all of it was, or its head alone.
    micro_batch: how many photos of a batch were computed at once, if memory did not hold the whole.
    """
    total, trainable = parameters
    if precision != "float32":
        remarks = [*remarks, f"trained in mixed precision ({precision})"]
    if micro_batch is not None:
        remarks = [*remarks, f"memory was short: batches went through in parts of {micro_batch}, which batch "
                             "normalisation, where it was trained, saw apart"]
    return {
        "model_name": name, "history": history.history, "best_epoch": history.best.number,
        "epochs": len(history.epochs), "photos_per_second": float(np.median([e.photos_per_second for e in history])),
        "parameters": total, "trainable_parameters": trainable, "pretrained": weights_file is not None,
        "weights_file": weights_file.name if weights_file else None, "views": views,
        "features_key": features_key, "cut": cut, "split_hash": split.hash,
        "parity": artifact.parity, "precision": precision, "micro_batch": micro_batch,
        "remarks": list(remarks), "seconds": seconds,
        "peak_rss_bytes": peak_rss_bytes(), "versions": versions}
