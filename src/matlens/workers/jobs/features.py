"""The job `features`: compute the features of a frozen trunk in the model's framework."""

from __future__ import annotations

from matlens.features.cache import FeatureCache, feature_parts
from matlens.features.engine import FrameworkEngine
from matlens.features.trunks import resolved_layer
from matlens.models.protocol import on_working_device
from matlens.runs.run import Run
from matlens.training.frozen import FeaturesTask
from matlens.types import Pace
from matlens.workers.frameworks import open_framework, open_store
from matlens.workers.registry import Tell, job


@job("features")
def features(task: FeaturesTask, tell: Tell) -> None:
    """Compute what a run needs of a trunk, and cache it; nothing where `gpu_only` finds no GPU that computes.

    Tells of `photos`: the number `done` so far; and of a `warning`: why a GPU is not used.

    Raises:
        DeviceError: the device that the order names does not compute.
    """
    order = task.order
    room = open_framework(order.build.model)
    build, found = on_working_device(room, order.build)
    if found.warning:
        tell("warning", text=found.warning)
    if task.gpu_only and found.device == "cpu":
        return
    run = Run.open(task.run_dir)
    store, classifier = open_store(task.store), room.build(build)
    until = resolved_layer(classifier, order)
    cache = FeatureCache(task.cache_dir, order.key, order.build.model, store,
                         lambda pooled: FrameworkEngine(classifier, order.build.img_size, pooled=pooled, until=until),
                         "framework")
    pace, done = Pace(), 0
    for part in feature_parts(run.split, run.settings.views, pooled=until is None):
        def on_progress(now: int, total: int, before: int = done) -> None:
            if pace.due():
                tell("photos", done=before + now)

        if until is None:
            cache.features(part.digests, part.view, on_progress)
        else:
            cache.activations(part.digests, part.view, run.settings.activations, on_progress)
        done += len(part.digests)
