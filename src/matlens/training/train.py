"""Train one model of a run: plan its stages, prepare them, and execute them here or in a child process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matlens.data.imbalance import remarks_on
from matlens.data.prepare import Prepared
from matlens.errors import ConversionError, CrashedError, DeviceError, KilledError, WorkerError
from matlens.features.conversion import TrunkConversions
from matlens.features.precision.comparison import PrecisionComparison
from matlens.models.preflight import explained, trouble_in
from matlens.models.registry import spec_of
from matlens.models.weights import FoundWeights
from matlens.runs.run import Run
from matlens.settings.files import called
from matlens.settings.schema import DECLARED, Settings
from matlens.system.batching import batch_bounds
from matlens.system.console import Reporter
from matlens.system.transport import OnEvent, run_job
from matlens.system.untrusted import open_regular
from matlens.training.checkpoints import forget_states
from matlens.training.frozen import FrozenFeatures
from matlens.training.history import Epoch
from matlens.training.plan import plan
from matlens.training.progress import ChildProgress
from matlens.training.stages.base import HeadStage, NetworkStage, Stage, TrainedHead
from matlens.training.strong import STRONG
from matlens.training.tasks import TrainTask

_LAST_WORDS = 1 << 16
"""Bytes of a log that are searched for what ended a process."""


@dataclass(frozen=True)
class TrainingInputs:
    """A run whose photos are divided and decoded, with the weights and trunks that its models begin from."""

    run: Run
    prepared: Prepared
    weights: Mapping[str, FoundWeights]
    conversions: TrunkConversions


def train(inputs: TrainingInputs, model: str, reporter: Reporter) -> None:
    """Train one model, unless that is done.

    Raises:
        KilledError: the system killed the child process; the message says how to go on with less memory.
        MatlensError: whatever else the training raised.
    """
    run, weights = inputs.run, inputs.weights[model]
    if run.is_trained(model):
        reporter.say(f"{spec_of(model).title}: already trained")
        forget_states(run.paths, model)
        return
    if ignored := ignored_settings(run.settings, weights.path):
        reporter.warn(f"{model}: {' and '.join(ignored)} {'have' if len(ignored) > 1 else 'has'} no effect. From "
                      "random weights the whole network is trained on photos, from the first epoch on.")
    frozen = FrozenFeatures(run, model, weights.path, inputs.prepared, inputs.conversions, reporter,
                            precision=run.settings.feature_precision)
    stages = _long_enough(plan(run.settings, spec_of(model), weights.path), frozen)
    try:
        task = _begun(inputs, frozen, _prepared(stages, frozen))
    except ConversionError as error:
        if any(stage.needs_features for stage in stages):
            raise ConversionError(f"{error} The recipe {run.settings.recipe} needs its features. Train the model with "
                                  "--recipe guide, which then takes photos.") from error
        reporter.warn(f"{model}: {error} So it is trained the slower way, on photos in each epoch. (--no-feature-cache "
                      "does that from the start.)")
        task = _begun(inputs, frozen, [stage.on_photos() for stage in stages],
                      f"trained on photos in each epoch, without cached features: {error}")
    if task is not None:
        _train_in_child(inputs, task, reporter)


def ignored_settings(settings: Settings, weights: Path | None) -> list[str]:
    """Name the settings that only a pretrained trunk can follow, as a user calls them, where there is none."""
    if weights is not None or settings.recipe != "guide":
        return []
    asked = {"finetune_epochs": settings.finetune_epochs > 0, "cut": settings.cut is not None,
             "views": settings.views > 1}
    return [f"{called(key, DECLARED)} {getattr(settings, key)}" for key, is_asked in asked.items() if is_asked]


def _begun(inputs: TrainingInputs, frozen: FrozenFeatures, stages: Sequence[Stage], *more: str) -> TrainTask | None:
    """Train a head that comes first, here. Returns what is left to a child process; None where nothing is.

    more: remarks, beside those that settings and stages give.

    Raises:
        ConversionError: the trunk whose features the head is trained on differs from its framework, or cannot be
            converted.
    """
    run, model, weights = inputs.run, frozen.model, inputs.weights[frozen.model]
    remarks = (*_remarks(run.settings, weights, any(stage.is_on_features for stage in stages)),
               *remarks_on(run.settings, inputs.prepared.split), *more)
    epochs: tuple[Epoch, ...] = ()
    if isinstance(head_stage := stages[0], HeadStage):
        stages = stages[1:]
        trained, compared = head_stage.train(frozen, is_last=not stages), None
        if frozen.precision != "float32":
            frozen, trained, compared = _checked(head_stage, frozen, trained, is_last=not stages)
            remarks = (*remarks, compared.remark)
        if not stages:
            head_stage.finish(frozen, trained, (*remarks, *frozen.remarks), compared)
            return None
        epochs = tuple(trained.history)
    return TrainTask(run.path.resolve(), model, inputs.prepared.store.folder.resolve(), tuple(stages),
                     weights.path.resolve() if weights.path else None, epochs, (*remarks, *frozen.remarks),
                     frozen.clock.seconds, device=run.settings.device)


def _checked(stage: HeadStage, frozen: FrozenFeatures, trained: TrainedHead, *, is_last: bool,
             ) -> tuple[FrozenFeatures, TrainedHead, PrecisionComparison]:
    """Keep a head that was trained on features in fewer bits, or train it again on float32's if validation suffers."""
    compared = frozen.compared(trained.head)
    if compared.holds:
        frozen.reporter.say(f"  {compared.remark}")
        return frozen, trained, compared
    compared, frozen = dataclasses.replace(compared, used="float32"), frozen.in_float32()
    frozen.reporter.warn(f"{frozen.model}: {compared.remark}. Its head is trained again.")
    return frozen, stage.train(frozen, is_last=is_last), compared


def _long_enough(stages: Sequence[Stage], frozen: FrozenFeatures) -> Sequence[Stage]:
    """Give stages of the recipe `strong` the epochs that its fewest steps take, unless the user chose their number."""
    settings, photos = frozen.run.settings, len(frozen.prepared.split.part("train"))
    if settings.epochs(frozen.model) != Settings(recipe="strong").max_epochs:
        return stages
    return [dataclasses.replace(stage, epochs=STRONG.epochs(stage.epochs, len(batch_bounds(
                stage.photos_an_epoch(photos), settings.batch_size))))
            if isinstance(stage, NetworkStage) and stage.recipe == "strong" else stage for stage in stages]


def _prepared(stages: Sequence[Stage], frozen: FrozenFeatures) -> Sequence[Stage]:
    """Prepare the stages, or return those on photos where there is no room for what one of them trains on."""
    prepared = [stage.prepare(frozen) for stage in stages]
    complete = [stage for stage in prepared if stage is not None]
    return complete if len(complete) == len(stages) else [stage.on_photos() for stage in stages]


def _train_in_child(inputs: TrainingInputs, task: TrainTask, reporter: Reporter) -> None:
    run, settings, title = inputs.run, inputs.run.settings, spec_of(task.model).title
    stages = [stage for stage in task.stages if isinstance(stage, NetworkStage)]
    if len(stages) < len(task.stages):
        raise WorkerError(f"The plan for {task.model} has a stage in the parent process that is not its first one.")
    # The stages of one task take equally many photos: several train on photos, on activations there is but one.
    photos, epochs = stages[0].photos_an_epoch(len(inputs.prepared.split.part("train"))), sum(
        stage.epochs for stage in stages)
    steps, cut_layer = len(batch_bounds(photos, settings.batch_size)), stages[-1].cut_layer
    reporter.say(f"{title}: training {epochs} epoch{'s' * (epochs > 1)} on {photos} photos"
                 + (f" from {task.weights_file.name}" if task.weights_file else " from random weights")
                 + (f", from {cut_layer} on" if cut_layer else ""))
    with reporter.progress(title, steps * epochs) as advance:
        progress = ChildProgress(run, task.model, reporter, advance, steps, len(task.history))
        while True:
            try:
                _run_naming_device(task, run.paths.log_file(task.model), progress.hear)
                return
            except KilledError as error:
                why = str(error).rstrip(".")
                at_once = (progress.micro_batch or settings.batch_size) // 2
                if not settings.auto_batch or at_once == 0:
                    raise KilledError(f"{why}. Or go on with the same command and --batch-size auto; or begin with a "
                                      "smaller --batch-size or --img-size in another folder (--out)") from error
                reporter.warn(f"{task.model}: {why}. With --batch-size auto it goes on, {at_once} photos at once.")
                progress.micro_batch = at_once
                task = dataclasses.replace(task, micro_batch=at_once)


def _run_naming_device(task: TrainTask, log_file: Path, hear: OnEvent) -> None:
    """Run the job `train`. Where its process ends without a word, but its log tells of a device, name that.

    A driver may end a process that it has failed. Raises DeviceError for that; else what `run_job` raises.
    """
    before = log_file.stat().st_size if log_file.exists() else 0
    try:
        run_job("train", task, log_file, hear)
    except CrashedError as error:
        with open_regular(log_file) as log:
            log.seek(max(before, log_file.stat().st_size - _LAST_WORDS))
            lines = log.read().decode("utf-8", errors="replace").splitlines()
        # Where there is no GPU, TensorFlow's start says so, whatever ends the process later.
        trouble = next((kind for line in reversed(lines) if (kind := trouble_in(line)) not in (None, "absent")), None)
        if trouble is None:
            raise
        device = task.device or "the GPU"
        raise DeviceError(f"{explained(trouble, device, 'The framework')} ({error})") from error


def _remarks(settings: Settings, weights: FoundWeights, on_features: bool) -> tuple[str, ...]:
    """List what a reader of the results must know of the training."""
    remarks = [weights.remark] if weights.remark else []
    if settings.train_on == "train+val":
        remarks.append("trained on the validation photos, too, to the last epoch")
    if settings.recipe == "strong":
        remarks.append("recipe strong: probabilities are means over the photo and its mirror image")
    if on_features and settings.views > 1:
        remarks.append(f"trained on {settings.views} fixed views of each photo (view 0 as it is)")
    elif on_features or not settings.augment:
        remarks.append("trained without augmentation")
    return tuple(remarks)
