"""Write what a training leaves beside the model: `<name>_training.json`, and the description in the model file."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.split.splits import Split
from matlens.features.artifact import Artifact
from matlens.features.precision.comparison import PrecisionComparison
from matlens.models.precision import Precision
from matlens.models.registry import spec_of
from matlens.settings.schema import Settings
from matlens.system.files import checksum
from matlens.system.resources import peak_rss_bytes
from matlens.training.history import History


class Clock:
    """Measures wall-clock seconds by step of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str, at_least: float = 0.0) -> None:
        """Record that a step has ended now. at_least: its seconds in an earlier process, too, as far as recorded."""
        now = time.perf_counter()
        self.seconds[step] = round(max(now - self._last, at_least), 3)
        self._last = now


def about_model(name: str, split: Split, settings: Settings) -> dict[str, Any]:
    """Describe a model for its file."""
    return {"model_name": name, "class_names": split.class_names, "img_size": settings.img_size,
            "options": settings.options_of(name), "input": spec_of(name).input}


def training_record(name: str, history: History, split: Split, artifact: Artifact, seconds: Mapping[str, float], *,
                    parameters: tuple[int, int], weights_file: Path | None, remarks: Sequence[str],
                    versions: Mapping[str, str], arithmetic: Precision = "float32", views: int | None = None,
                    features_key: str | None = None, judged_features_key: str | None = None,
                    feature_precision: PrecisionComparison | None = None, cut: str | None = None,
                    micro_batch: int | None = None, device: str = "cpu") -> dict[str, Any]:
    """Make the content of `<name>_training.json`.

    Args:
        arithmetic: in which the training steps were computed.
        views: the number of fixed views of each photo; None where each epoch varied the photos, or none did.
        features_key: of the features on which a head was trained; None where anything else was trained.
        judged_features_key: of those that are float32 where `features_key` names shorter ones.
        feature_precision: what features in fewer bits cost; None where they were not asked for.
        cut: the layer after which the network was trained; None where all of it was, or its head alone.
        micro_batch: the number of photos of a batch that were computed at once, if memory did not hold the whole.
        device: on which the network was trained.
    """
    total, trainable = parameters
    if arithmetic != "float32":
        remarks = [*remarks, f"trained in mixed precision ({arithmetic})"]
    if micro_batch is not None:
        remarks = [*remarks, f"memory was short: batches went through in parts of {micro_batch}, which batch "
                             "normalisation, where it was trained, saw apart"]
    shorter = {} if feature_precision is None else {
        "judged_features_key": judged_features_key, "feature_precision": dataclasses.asdict(feature_precision)}
    return {
        "model_name": name, "history": history.history, "best_epoch": history.best.number,
        "epochs": len(history.epochs), "head_epochs": history.head_epochs,
        "photos_per_second": float(np.median([e.photos_per_second for e in history])),
        "parameters": total, "trainable_parameters": trainable, "pretrained": weights_file is not None,
        "weights_file": weights_file.name if weights_file else None,
        "weights_sha256": checksum(weights_file) if weights_file else None, "views": views,
        "features_key": features_key, **shorter, "cut": cut, "split_hash": split.hash,
        "parity": artifact.parity, "arithmetic": arithmetic, "micro_batch": micro_batch, "device": device,
        "remarks": list(remarks), "seconds": dict(seconds),
        "peak_rss_bytes": peak_rss_bytes(), "versions": dict(versions)}
