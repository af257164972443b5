"""The job `confirm`: compare the draft of a trunk with the model's framework."""

from __future__ import annotations

from matlens.features.conversion import TrunkTask
from matlens.features.trunks import confirm_trunk, draft_trunk
from matlens.models.protocol import on_working_device
from matlens.workers.frameworks import open_framework
from matlens.workers.registry import Tell, job


@job("confirm")
def confirm(task: TrunkTask, tell: Tell) -> None:
    """Write the trunk into the cache if its draft computes what the framework does, with an untrained model file.

    Where there is no draft, it is made here. Tells of a `warning` where it computes more slowly than it could.
    """
    order, cache_dir = task.order, task.cache_dir
    room = open_framework(order.build.model)
    classifier = room.build(on_working_device(room, order.build)[0])
    if not order.draft(cache_dir).exists() and (warning := draft_trunk(classifier, order, cache_dir)):
        tell("warning", text=warning)
    confirm_trunk(classifier, order, cache_dir, room.versions())
