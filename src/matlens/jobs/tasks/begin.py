"""The job `begin`: read, decode and divide the photos of a run, and make its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class BeginTask:
    """A run that begins, or goes on.

    settings: as `workers.telling.packed` writes them. split_hash: of the split that it must have; "" for any.
    """

    settings: str
    out: Path
    split_hash: str


@job("begin")
def begin(task: BeginTask, tell: Tell) -> None:
    """Begin the run. The process that asks must hold the lock on its folder.

    Tells of lines and progress, and of `begun`: `settings` as the run has them, `store` with the decoded photos, and
    `split_hash`.
    """
    from matlens.jobs.run import start
    from matlens.workers.telling import TellingReporter, packed, unpacked

    begun = start(unpacked(task.settings), task.out, TellingReporter(tell), task.split_hash or None, convert=False)
    tell("begun", settings=packed(begun.run.settings), store=str(begun.prepared.store.folder.resolve()),
         split_hash=begun.run.split.hash)
