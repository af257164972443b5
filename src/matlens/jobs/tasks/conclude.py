"""The job `conclude`: compare the models of a run, and write its report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class ConcludeTask:
    """A run whose models are trained.

    settings: as `workers.telling.packed` writes them. tried: the models that were to be trained now. failures: why
        some of them failed, by name.
    """

    run_dir: Path
    settings: str
    tried: tuple[str, ...]
    failures: dict[str, str]


@job("conclude")
def conclude(task: ConcludeTask, tell: Tell) -> None:
    """Do what the main job does once its models are trained. Tells of lines, and of `concluded`: `has_results`."""
    from matlens.jobs.run import conclude as conclude_run
    from matlens.runs.run import Run
    from matlens.workers.telling import TellingReporter, unpacked

    run = dataclasses.replace(Run.open(task.run_dir), settings=unpacked(task.settings))
    tell("concluded", has_results=conclude_run(run, task.tried, task.failures, TellingReporter(tell)))
