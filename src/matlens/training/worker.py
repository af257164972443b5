"""A model's own process: `python -m matlens.training.worker`, started by `training.child`.

Reads one task (JSON, a line) from standard input, trains, and tells of it on standard output.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from matlens.data.pipeline import PhotoBatches, part_batches, read_photos
from matlens.data.splits import Split
from matlens.data.store import PixelStore
from matlens.errors import MatlensError, RunFolderError
from matlens.features.artifact import Artifact, write_artifact
from matlens.features.trunks import convert_trunk
from matlens.files import write_json
from matlens.models.protocol import BuildOrder, Classifier, Scores, room_of
from matlens.models.seeding import seed_everything
from matlens.training.history import Epoch, History
from matlens.training.loop import fit
from matlens.training.record import Clock, about_model, training_record
from matlens.training.run_folder import RunFolder

_PARITY_PHOTOS = 8


class _Events:
    """Events as JSON lines; also the loop's Progress."""

    def __init__(self) -> None:
        # Frameworks print to standard output; only events may, so it becomes standard error for all others.
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, event: str, **content: Any) -> None:
        self._out.write(json.dumps({"event": event, **content}) + "\n")
        self._out.flush()

    def on_step(self, epoch: int, step: int, scores: Scores) -> None:
        self.send("step", epoch=epoch, step=step, loss=scores.loss, accuracy=scores.accuracy)

    def on_epoch(self, epoch: Epoch, improved: bool) -> None:
        self.send("epoch", improved=improved, **dataclasses.asdict(epoch))


@dataclasses.dataclass(frozen=True)
class TrainTask:
    """What to train: a model of a run whose split and store are made. weights_file: ImageNet's, or None."""

    run_dir: str
    model: str
    store: str
    weights_file: str | None = None
    remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ConvertTask:
    """Which frozen trunk to convert, and into which folder."""

    order: dict[str, Any]
    folder: str


@dataclasses.dataclass(frozen=True)
class ExportTask:
    """Which trained model of a run to export anew."""

    run_dir: str
    model: str


def train(task: TrainTask, events: _Events) -> None:
    """Train one model and leave model file, artifact and, last, the record of its training."""
    clock = Clock()
    folder = RunFolder.open(Path(task.run_dir))
    settings, split = folder.settings, folder.split
    store = PixelStore.open(Path(task.store))
    if store is None:
        raise RunFolderError(f"The pixel store {task.store} is gone. Run the same command again.")
    room = room_of(task.model)
    seed_everything(settings.seed, deterministic=settings.deterministic, room=room)
    clock.lap("start")
    order = _order(folder, split, task.model, task.weights_file)
    classifier = room.build(dataclasses.replace(order, precision=settings.precision))
    clock.lap("build")

    train_batches = part_batches(split, "train", store, settings.batch_size, seed=settings.seed, shuffle=True,
                                 augmented=settings.augment)
    val_batches = part_batches(split, "val", store, settings.batch_size)
    history = _fit_stages(classifier, train_batches, val_batches, events, folder, split, task)
    clock.lap("train")
    artifact = _export(folder, split, task.model, classifier)
    clock.lap("export")
    weights_file = Path(task.weights_file) if task.weights_file else None
    write_json(folder.training_file(task.model), training_record(
        task.model, history, split, artifact, clock, parameters=classifier.parameters, weights_file=weights_file,
        remarks=task.remarks, versions=room.versions(), precision=classifier.precision))


def convert(task: ConvertTask) -> None:
    """Convert a pretrained trunk, with a model file whose head is untrained."""
    order = BuildOrder.from_json(task.order)
    room = room_of(order.model)
    convert_trunk(room.build(order), order, Path(task.folder), room.versions())


def export(task: ExportTask) -> None:
    """Load a trained model from its file and write its artifact anew."""
    folder = RunFolder.open(Path(task.run_dir))
    split = folder.split
    classifier = room_of(task.model).load(folder.model_file(task.model), _order(folder, split, task.model))
    _export(folder, split, task.model, classifier)


def _order(folder: RunFolder, split: Split, model: str, weights_file: str | None = None) -> BuildOrder:
    settings = folder.settings
    return BuildOrder(model, len(split.class_names), settings.img_size, Path(weights_file) if weights_file else None,
                      settings.alpha)


def _export(folder: RunFolder, split: Split, model: str, classifier: Classifier) -> Artifact:
    photos = next(read_photos(folder.data_root, split.part("val")[:_PARITY_PHOTOS], folder.settings.img_size,
                              keep_truncated=folder.settings.keep_truncated))
    return write_artifact(folder.artifact(model), classifier.export_trunk, classifier.predict, photos, model,
                          split.class_names)


def _fit_stages(classifier: Classifier, train_batches: PhotoBatches, val_batches: PhotoBatches, events: _Events,
                folder: RunFolder, split: Split, task: TrainTask) -> History:
    """The guide's training, and its second stage of fine-tuning where asked for."""
    settings = folder.settings
    about = about_model(task.model, split, settings)

    def stage(first: int, epochs: int, history: History | None = None) -> History:
        return fit(classifier, train_batches, val_batches, events, epochs=first + epochs, initial_epoch=first,
                   early_stopping_patience=settings.early_stopping_patience,
                   reduce_lr_patience=settings.reduce_lr_patience, history=history,
                   save_best=lambda: classifier.save(folder.model_file(task.model), about))

    history = stage(0, settings.epochs(task.model))
    if settings.finetune_epochs and task.weights_file is not None:
        classifier.begin_finetuning()
        history = stage(history.epochs[-1].number, settings.finetune_epochs, history)
    return history


def _die_with_parent() -> None:
    sys.stdin.read()  # returns when the parent closes it, or is gone
    os._exit(1)


def main() -> int:
    """Do one task; 0 if it ended well."""
    events = _Events()
    content = json.loads(sys.stdin.readline())
    kind = content.pop("kind")
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        if kind == "train":
            train(TrainTask(**content), events)
        elif kind == "convert":
            convert(ConvertTask(**content))
        else:
            export(ExportTask(**content))
        events.send("done")
    except Exception as error:  # noqa: BLE001 -- told to the parent, which raises it
        traceback.print_exc()
        events.send("failed", kind=type(error).__name__, message=str(error))
        return 2 if isinstance(error, MatlensError) else 1
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    # Frameworks' threads can hang or crash on the way out; everything is written by now.
    sys.stderr.flush()
    os._exit(code)
