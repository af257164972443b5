"""A model's own process: `python -m matlens.workers.main`, started by `training.child`.

Reads one task (JSON, a line) from standard input, trains, and tells of it on standard output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.batches import PhotoBatches, part_batches, read_photos
from matlens.data.split.splits import Split
from matlens.errors import CacheError, MatlensError, ModelError
from matlens.features.activations import Activations
from matlens.features.artifact import Artifact, write_artifact
from matlens.features.trunks import LAST_LAYERS
from matlens.models.protocol import BuildOrder, Classifier, Divisible, Pace, Resumable, Tunable, room_of
from matlens.models.registry import spec_of
from matlens.models.seeding import seed_everything
from matlens.runs.run import Run
from matlens.system.files import why_unwritable, write_json
from matlens.system.openvino import without_telemetry
from matlens.training.checkpoints import Checkpoints, StageStates, checkpoints_of, forget_states
from matlens.training.feature_batches import FeatureBatches
from matlens.training.history import Epoch, History
from matlens.training.loop import fit
from matlens.training.record import Clock, about_model, training_record
from matlens.training.strong import STRONG, fit_strong
from matlens.training.tasks import ExportTask, FeaturesTask, GradientsTask, QuantiseTask, TrainTask, TrunkTask
from matlens.types import Scores
from matlens.workers.trunk_jobs import confirm, draft, features, gradients, open_store, quantise

_PARITY_PHOTOS = 8

_NOT_NEEDED = ("matplotlib", "matplotlib.pyplot", "pandas", "sklearn")
"""Keras imports them if it can, which is a third of its start, for wrappers and pictures that nothing here uses."""


class _Events:
    """Events as JSON lines; also the loop's Progress."""

    def __init__(self) -> None:
        # Frameworks print to standard output; only events may, so it becomes standard error for all others.
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._pace = Pace()

    def send(self, event: str, **content: Any) -> None:
        self._out.write(json.dumps({"event": event, **content}) + "\n")
        self._out.flush()

    def on_step(self, epoch: int, step: int, scores: Scores) -> None:
        self.send("step", epoch=epoch, step=step, loss=scores.loss, accuracy=scores.accuracy)

    def photos(self, done: int) -> None:
        if self._pace.due():
            self.send("photos", done=done)

    def on_epoch(self, epoch: Epoch, improved: bool) -> None:
        self.send("epoch", improved=improved, **dataclasses.asdict(epoch))


@dataclass(frozen=True)
class _Listener:
    """Tells what becomes of states (`checkpoints.Listener`), and of batches that do not fit."""

    events: _Events

    def on_resume(self, epoch: int) -> None:
        self.events.send("resumed", epoch=epoch)

    def on_warning(self, text: str) -> None:
        self.events.send("warning", text=text)

    def on_halved(self, size: int) -> None:
        self.events.send("halved", size=size)


def train(task: TrainTask, events: _Events) -> None:
    """Train one model and leave model file, artifact and, last, the record of its training."""
    clock = Clock()
    folder = Run.open(Path(task.run_dir))
    settings, split = folder.settings, folder.split
    room = room_of(task.model)
    seed_everything(settings.seed, deterministic=settings.deterministic, room=room)
    clock.lap("start")
    order = _order(folder, split, task.model, task.weights_file)
    order = dataclasses.replace(order, precision=settings.precision)
    classifier = room.load(folder.paths.model_file(task.model), order) if task.epochs_before else room.build(order)
    classifier.micro_batches.limit(task.micro_batch)
    classifier.micro_batches.on_halved = _Listener(events).on_halved
    clock.lap("build")
    checkpoints = checkpoints_of(folder, task.model, _Listener(events), [
        task.weights_file and Path(task.weights_file).name, task.cut, task.cut_layer, len(task.train_views)])
    history = _fit_stages(classifier, *_batches(folder, split, task), events, folder, split, task, checkpoints)
    clock.lap("train", sum(epoch.seconds for epoch in history.epochs[len(task.epochs_before):]))
    artifact = _export(folder, split, task.model, classifier)
    clock.lap("export")
    weights_file = Path(task.weights_file) if task.weights_file else None
    write_json(folder.paths.training_file(task.model), training_record(
        task.model, history, split, artifact, {**task.seconds, **clock.seconds}, parameters=classifier.parameters,
        weights_file=weights_file, remarks=task.remarks, versions=room.versions(),
        precision=classifier.precision, views=settings.views if task.train_views else None,
        cut=task.cut_layer or task.cut, micro_batch=classifier.micro_batches.size))
    forget_states(folder.paths, task.model)


def export(task: ExportTask) -> None:
    """Load a trained model from its file and write its artifact anew."""
    folder = Run.open(Path(task.run_dir))
    _export(folder, folder.split, task.model, _load(folder, task.model))


def _load(folder: Run, model: str) -> Classifier:
    try:
        return room_of(model).load(folder.paths.model_file(model), _order(folder, folder.split, model))
    except ModelError as error:
        raise ModelError(f"{error} Without that file, the same command of matlens run trains {model} anew.") from error


def _order(folder: Run, split: Split, model: str, weights_file: str | None = None) -> BuildOrder:
    settings = folder.settings
    return BuildOrder(model, len(split.class_names), settings.img_size, Path(weights_file) if weights_file else None,
                      settings.options_of(model))


def _export(folder: Run, split: Split, model: str, classifier: Classifier) -> Artifact:
    photos = next(read_photos(folder.data_root, split.part("val")[:_PARITY_PHOTOS], folder.settings.img_size,
                              keep_truncated=folder.settings.keep_truncated))
    return write_artifact(folder.paths.artifact(model), classifier.export_trunk, classifier.predict, photos, model,
                          split.class_names, mirrored=folder.settings.recipe == "strong")


_Batches = PhotoBatches | FeatureBatches


def _batches(folder: Run, split: Split, task: TrainTask) -> tuple[_Batches, _Batches]:
    """Of training and validation: photos, or activations of them."""
    settings = folder.settings
    if not task.train_views:
        store = open_store(task.store)
        return (part_batches(split, "train", store, settings.batch_size, seed=settings.seed, shuffle=True,
                             augmented=settings.augment),
                part_batches(split, "val", store, settings.batch_size))

    def kept(part: str, folders: Sequence[str]) -> FeatureBatches:
        views = [Activations.open(Path(each)) for each in folders]
        if None in views:
            raise CacheError(f"Kept activations in {folders[0]} are gone. Run the same command again.")
        return FeatureBatches(tuple(view for view in views if view is not None), split.labels(split.part(part)),
                              len(split.class_names), settings.batch_size, settings.seed, shuffle=part == "train",
                              by_turns=settings.recipe == "strong")

    return kept("train", task.train_views), kept("val", [task.val_view])


def _fit_stages(classifier: Divisible, train_batches: _Batches, val_batches: _Batches, events: _Events,
                folder: Run, split: Split, task: TrainTask, checkpoints: Checkpoints) -> History:
    """The guide's training, and its second stage of fine-tuning where asked for; or the recipe `strong`."""
    settings = folder.settings
    about, keep_last = about_model(task.model, split, settings), split.train_on == "train+val"

    def save() -> None:
        classifier.save(folder.paths.model_file(task.model), about)

    def begin_finetuning() -> Tunable:
        classifier.begin_finetuning(None if task.cut == LAST_LAYERS else task.cut)
        return classifier.after(task.cut_layer) if task.cut_layer else classifier

    if settings.recipe == "strong":
        network: Tunable = classifier
        if task.cut:
            network = begin_finetuning()
            network.learning_rate = STRONG.learning_rate
        return fit_strong(network, train_batches, val_batches, events, epochs=settings.epochs(task.model),
                          steps=len(train_batches), save_best=save,
                          history=History(keep_last=keep_last), checkpoints=checkpoints)

    def stage(network: Resumable, first: int, epochs: int, history: History | None, states: StageStates) -> History:
        return fit(network, train_batches, val_batches, events, epochs=first + epochs, initial_epoch=first,
                   early_stopping_patience=settings.early_stopping_patience,
                   reduce_lr_patience=settings.reduce_lr_patience, history=history, save_best=save, states=states)

    if task.cut and spec_of(task.model).head is None:  # no first stage: frozen up to the cut from the start
        network = begin_finetuning()
        return stage(network, 0, settings.epochs(task.model) + settings.finetune_epochs, History(keep_last=keep_last),
                     checkpoints.of("train", network))
    history = History([Epoch.from_json(each) for each in task.epochs_before], keep_last)
    if not history.epochs:
        history = stage(classifier, 0, settings.epochs(task.model), history, checkpoints.of("train", classifier))
    if settings.finetune_epochs and task.weights_file is not None:
        network = begin_finetuning()
        history = stage(network, history.epochs[-1].number, settings.finetune_epochs, history,
                        checkpoints.of("finetune", network))
    return history


def _die_with_parent() -> None:
    sys.stdin.read()  # returns when the parent closes it, or is gone
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # a library's forks, too
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def main() -> int:
    """Do one task; 0 if it ended well."""
    for name in _NOT_NEEDED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # makes its import fail
    without_telemetry()  # Keras imports OpenVINO by itself where that is its backend
    events = _Events()
    content = json.loads(sys.stdin.readline())
    kind = content.pop("kind")
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        if kind == "train":
            train(TrainTask(**content), events)
        elif kind == "features":
            features(FeaturesTask(**content), events)
        elif kind == "draft":
            draft(TrunkTask(**content))
        elif kind == "confirm":
            confirm(TrunkTask(**content))
        elif kind == "quantise":
            quantise(QuantiseTask(**content), events)
        elif kind == "gradients":
            wanted = GradientsTask(**content)
            gradients(_load(Run.open(Path(wanted.run_dir)), wanted.model), wanted, events)
        else:
            export(ExportTask(**content))
        events.send("done")
    except Exception as error:  # noqa: BLE001 -- told to the parent, which raises it
        # Told first: on a full disk the log cannot be written.
        known = isinstance(error, MatlensError)
        unwritten = None if known else why_unwritable(error)
        events.send("failed", kind="WriteError" if unwritten else type(error).__name__,
                    message=f"Cannot write: {unwritten[1]} ({error})" if unwritten else str(error))
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return 2 if isinstance(error, MatlensError) else 1
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    # Frameworks' threads can hang or crash on the way out; everything is written by now.
    sys.stderr.flush()
    os._exit(code)
