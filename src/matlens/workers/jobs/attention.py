"""The job `attention`: read what the tokens of a trained vision transformer attend to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matlens.data.pixels.values import as_floats
from matlens.models.capabilities.attention import attention_of
from matlens.runs.run import Run
from matlens.workers.frameworks import load_trained
from matlens.workers.registry import Tell, job

_BYTES = 2**28
"""Of attention in one file: that of one photo may be 200 MB, in 24 blocks of 1,400 tokens."""

_AT_ONCE = 8
"""Photos in one file at most."""


@dataclass(frozen=True)
class AttentionTask:
    """A trained model of a run, and the photos whose attention is read.

    photos: an .npz of `photos` (N, H, W, 3) uint8 or float32 in [0, 1]. The answers go to its folder.
    """

    run_dir: Path
    model: str
    photos: Path


@job("attention")
def attention(task: AttentionTask, tell: Tell) -> None:
    """Write the attention of some photos a file. Tells of `attention`: each `file`."""
    classifier = load_trained(Run.open(task.run_dir), task.model)
    with np.load(task.photos, allow_pickle=False) as file:
        photos = file["photos"]
    start, at_once = 0, 1
    while start < len(photos):
        found = attention_of(classifier, as_floats(photos[start:start + at_once]), task.model)
        path = task.photos.with_name(f"{start}.npz")
        np.savez(path, blocks=found.blocks, pooled=found.pooled, grid=np.array(found.grid))
        tell("attention", file=str(path))
        start += at_once
        at_once = max(1, min(_AT_ONCE, _BYTES // found.blocks[0].nbytes))
