"""The job `put_head`: put a trained head into a model, and write its file."""

from __future__ import annotations

import json

from matlens.features.model_file import HeadTask
from matlens.models.head import Head
from matlens.models.protocol import on_working_device
from matlens.workers.frameworks import open_framework
from matlens.workers.registry import Tell, job


@job("put_head")
def put_head(task: HeadTask, tell: Tell) -> None:
    """Load a model with an untrained head, and write it with the trained one. Raises ModelError or DeviceError."""
    room = open_framework(task.order.model)
    classifier = room.load(task.template, on_working_device(room, task.order)[0])
    classifier.set_head(Head.load(task.head))
    classifier.save(task.model_file, json.loads(task.about))
