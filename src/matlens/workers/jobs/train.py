"""The job `train`: execute the stages of a training that need the model's framework."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from matlens.data.imbalance import logit_shift
from matlens.models.preflight import Preflight
from matlens.models.protocol import on_working_device
from matlens.models.seeding import seed_everything
from matlens.runs.orders import build_order
from matlens.runs.run import Run
from matlens.system.files import write_json
from matlens.training.checkpoints import checkpoints_of, forget_states
from matlens.training.history import Epoch, History
from matlens.training.record import Clock, training_record
from matlens.training.stages.base import NetworkStage, NetworkTraining
from matlens.training.tasks import TrainTask
from matlens.types import Scores
from matlens.workers.exporting import export_artifact
from matlens.workers.frameworks import open_framework, open_store
from matlens.workers.registry import Tell, job
from matlens.workers.trained import remark_on_artifact


@dataclass(frozen=True)
class _Events:
    """Tells what the training loop and the states report: a `TrainingListener` and a `ResumptionListener`."""

    tell: Tell

    def on_step(self, epoch: int, step: int, scores: Scores) -> None:
        self.tell("step", epoch=epoch, step=step, loss=scores.loss, accuracy=scores.accuracy)

    def on_epoch(self, epoch: Epoch, improved: bool) -> None:
        self.tell("epoch", improved=improved, **dataclasses.asdict(epoch))

    def on_resume(self, epoch: int) -> None:
        self.tell("resumed", epoch=epoch)

    def on_warning(self, text: str) -> None:
        self.tell("warning", text=text)

    def on_halved(self, size: int) -> None:
        self.tell("halved", size=size)


@job("train")
def train(task: TrainTask, tell: Tell) -> None:
    """Train one model, and leave model file, artifact and, last, the record of the training.

    The device is tried first. An artifact that differs from the framework, or cannot be made, is marked: the training
    is not lost to it.

    Tells of `step`, `epoch`, `resumed` (at an epoch), `warning`, and `halved`: photos that are computed at once.
    """
    clock, events = Clock(), _Events(tell)
    run, model = Run.open(task.run_dir), task.model
    settings, split = run.settings, run.split
    room = open_framework(model)
    order, found = on_working_device(room, build_order(
        settings, model, len(split.class_names), task.weights_file, precision=settings.precision, device=task.device))
    if found.warning:
        events.on_warning(found.warning)
    seed_everything(settings.seed, deterministic=settings.deterministic, room=room)
    clock.lap("start")
    classifier = room.load(run.paths.model_file(model), order) if task.history else room.build(order)
    classifier.micro_batches.limit(task.micro_batch)
    classifier.micro_batches.on_halved = events.on_halved
    clock.lap("build")
    stages = [stage for stage in task.stages if isinstance(stage, NetworkStage)]
    last = stages[-1]
    checkpoints = checkpoints_of(run, model, events, [task.weights_file and task.weights_file.name, *last.decided_by])
    work = NetworkTraining(run, model, classifier, open_store(task.store), events, checkpoints)
    history = History(list(task.history), keep_last=split.train_on == "train+val", choose_by=settings.choose_by)
    shift = logit_shift(settings, split)
    if shift is not None:
        classifier.shift_logits(0 * shift)  # a network that cannot is refused before it is trained
    for stage in stages:
        history = stage.train(work, history)
    if shift is not None:
        classifier.shift_logits(shift)
        work.save()
    clock.lap("train", sum(epoch.seconds for epoch in history.epochs[len(task.history):]))
    artifact = export_artifact(run, model, classifier, keep_marked=True)
    if artifact.unconfirmed:
        events.on_warning(remark_on_artifact(run, model))
    clock.lap("export")
    write_json(run.paths.training_file(model), training_record(
        model, history, split, artifact, {**task.seconds, **clock.seconds}, parameters=classifier.parameters,
        weights_file=task.weights_file, remarks=(*task.remarks, *_on_device(found)), versions=room.versions(),
        arithmetic=classifier.precision, views=last.views or None, cut=last.trained_after,
        micro_batch=classifier.micro_batches.size, device=str(classifier.device)))
    forget_states(run.paths, model)


def _on_device(found: Preflight) -> list[str]:
    """Say, for the record, why the training did not run on the machine's first GPU."""
    return [f"trained on {found.device}: {found.warning}"] if found.warning else []
