"""The job `draft`: convert a pretrained trunk in the fastest way."""

from __future__ import annotations

from matlens.features.conversion import TrunkTask
from matlens.features.trunks import draft_trunk
from matlens.models.protocol import on_working_device
from matlens.workers.frameworks import open_framework
from matlens.workers.registry import Tell, job


@job("draft")
def draft(task: TrunkTask, tell: Tell) -> None:
    """Write a draft of the trunk into the cache. Tells of a `warning` where it computes more slowly than it could."""
    room = open_framework(task.order.build.model)
    build, _ = on_working_device(room, task.order.build)
    if warning := draft_trunk(room.build(build), task.order, task.cache_dir):
        tell("warning", text=warning)
