"""The job `model`: train one model of a run that has begun, judge and explain it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from matlens.errors import CacheError
from matlens.workers.registry import Tell, job

if TYPE_CHECKING:
    from matlens.runs.run import Run
    from matlens.system.console import Reporter
    from matlens.training.train import TrainingInputs


@dataclass(frozen=True)
class ModelTask:
    """A model of a run.

    settings: of the run, as `workers.telling.packed` writes them. store: the folder of its decoded photos.
    """

    run_dir: Path
    settings: str
    model: str
    store: Path


@job("model")
def model(task: ModelTask, tell: Tell) -> None:
    """Train and judge the model, unless that is done, in the way of the main job. Tells of lines and progress."""
    from matlens.jobs.run import judge
    from matlens.runs.run import Run
    from matlens.training.train import train
    from matlens.workers.telling import TellingReporter, unpacked

    reporter = TellingReporter(tell)
    run = dataclasses.replace(Run.open(task.run_dir), settings=unpacked(task.settings))
    train(_inputs(run, task, reporter), task.model, reporter)
    judge(run, task.model, reporter)


def _inputs(run: Run, task: ModelTask, reporter: Reporter) -> TrainingInputs:
    """Find what the training begins from, as `jobs.run.start` did for all models. Raises what that raises."""
    from matlens.data.pixels.store import PixelStore
    from matlens.data.prepare import Prepared
    from matlens.data.source.sources import open_source
    from matlens.features.conversion import TrunkConversions
    from matlens.jobs.machine import refuse_device, refuse_too_large
    from matlens.models.registry import spec_of
    from matlens.models.weights import find_weights
    from matlens.system.caches import opened_or_made
    from matlens.training.plan import trunk_orders
    from matlens.training.train import TrainingInputs

    settings, name = run.settings, task.model
    weights = find_weights(spec_of(name), settings.weights, settings.weights_dir, options=settings.options_of(name),
                           side=settings.img_size[0])
    untrained = {} if run.is_trained(name) else {name: weights.path}
    for path in untrained.values():
        refuse_too_large(settings, name, path)
    refuse_device(settings.device, untrained)

    def gone() -> NoReturn:
        raise CacheError(f"The decoded photos in {task.store} are gone. Run the same command again.")

    store = opened_or_made(task.store, "the decoded photos", PixelStore.open, gone, reporter.say)
    orders = trunk_orders(settings, untrained, len(run.split.class_names))
    return TrainingInputs(run, Prepared(open_source(settings.data_dir), run.split, store), {name: weights},
                          TrunkConversions(orders, settings.cache_dir, reporter.say, reporter.warn))
