"""What a child process is asked to do: plain values, sent as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainTask:
    """What to train: a model of a run whose split and store are made.

    weights_file: ImageNet's, or None.
    cut: train only what follows this layer (or LAST_LAYERS); None trains what the guide does.
    cut_layer, train_views, val_view: folders of activations at the cut, by view, if they are kept.
    epochs_before: the history of a head that was trained already and lies in the model file.
    seconds: what the parent has spent on this model.
    micro_batch: compute no more photos at once; None as many as a batch has.
    """

    run_dir: str
    model: str
    store: str
    weights_file: str | None = None
    remarks: tuple[str, ...] = ()
    cut: str | None = None
    cut_layer: str | None = None
    train_views: tuple[str, ...] = ()
    val_view: str = ""
    epochs_before: tuple[dict[str, Any], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    micro_batch: int | None = None


@dataclass(frozen=True)
class TrunkTask:
    """Which trunk to draft or to confirm."""

    order: dict[str, Any]
    cache_dir: str


@dataclass(frozen=True)
class FeaturesTask:
    """Of which trunk to compute what the run needs."""

    order: dict[str, Any]
    run_dir: str
    store: str
    gpu_only: bool


@dataclass(frozen=True)
class ExportTask:
    """Which trained model of a run to export anew."""

    run_dir: str
    model: str


@dataclass(frozen=True)
class QuantiseTask:
    """Which trained model of a run to make an INT8 artifact of.

    max_drop: percentage points of validation accuracy that may be lost.
    """

    run_dir: str
    model: str
    max_drop: float


@dataclass(frozen=True)
class GradientsTask:
    """At which layer of a trained model of a run to differentiate, and for what.

    photos: an .npz of `photos` (N, H, W, 3) uint8 and `classes` (N,) int64. What is found goes to the same folder.
    """

    run_dir: str
    model: str
    layer: str
    photos: str
