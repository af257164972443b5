"""A throw-away file that adds a job which waits for a file, and one that fails."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from matlens.errors import WeightsError
from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class WaitTask:
    """A file that is waited for."""

    file: Path


@job("wait")
def wait(task: WaitTask, tell: Tell) -> None:
    """Tell of `waiting`: the process, and its cores. Then wait for the file, for five minutes at most."""
    tell("waiting", pid=os.getpid(), cores=sorted(os.sched_getaffinity(0)),
         threads=os.environ.get("OMP_NUM_THREADS"))
    for number in range(3000):
        if task.file.exists():
            break
        tell("progress", title="waiting", total=3000, done=number, words="")
        time.sleep(0.1)
    tell("waited", content=task.file.read_text())


@job("refuse")
def refuse(task: WaitTask, tell: Tell) -> None:
    """Raise an error of matlens'."""
    raise WeightsError(f"there are no weights in {task.file}")
