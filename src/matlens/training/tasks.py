"""What the job `train` is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from matlens.training.history import Epoch
from matlens.training.stages.base import AnyStage


@dataclass(frozen=True)
class TrainTask:
    """A model of a run, and the stages that are left of its training.

    store: the folder of the decoded photos.
    weights_file: the file of pretrained weights; None for random ones.
    stages: in their order; each is a `NetworkStage` that is prepared.
    history: the epochs of a head that was trained before; it lies in the model file.
    remarks: of the training, for its record.
    seconds: by step, of what the parent has done for this model.
    micro_batch: the largest number of photos to compute at once; None: whole batches.
    device: to train on; None leaves it to the framework.
    """

    run_dir: Path
    model: str
    store: Path
    stages: tuple[AnyStage, ...]
    weights_file: Path | None = None
    history: tuple[Epoch, ...] = ()
    remarks: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    micro_batch: int | None = None
    device: str | None = None
