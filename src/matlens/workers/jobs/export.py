"""The job `export`: make the artifact of a trained model again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matlens.runs.run import Run
from matlens.workers.exporting import export_artifact
from matlens.workers.frameworks import load_trained
from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class ExportTask:
    """The trained model of a run that is exported."""

    run_dir: Path
    model: str


@job("export")
def export(task: ExportTask, tell: Tell) -> None:
    """Load the model from its file and write its artifact."""
    run = Run.open(task.run_dir)
    export_artifact(run, task.model, load_trained(run, task.model))
