"""The job `robustness`: measure a trained model of a run on degraded photos."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class RobustnessTask:
    """A trained model of a run.

    settings: of the run, as `workers.telling.packed` writes them. data_root: where its photos are now. photos: how many
        test photos at most.
    """

    run_dir: Path
    settings: str
    data_root: Path
    model: str
    photos: int


@job("robustness")
def robustness(task: RobustnessTask, tell: Tell) -> None:
    """Measure it as `matlens evaluate --robustness` does. Tells of lines and progress."""
    from matlens.jobs.measure import measure_robustness_of
    from matlens.runs.run import Run
    from matlens.workers.telling import TellingReporter, unpacked

    run = dataclasses.replace(Run.open(task.run_dir), settings=unpacked(task.settings), data_root=task.data_root)
    measure_robustness_of(run, task.model, task.photos, TellingReporter(tell))
