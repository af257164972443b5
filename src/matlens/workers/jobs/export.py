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
    """The trained model of a run that is exported.

    device: on which its framework computes what the export is compared with; None leaves it to the framework.
    """

    run_dir: Path
    model: str
    device: str | None = None


@job("export")
def export(task: ExportTask, tell: Tell) -> None:
    """Load the model from its file and write its artifact.

    Where that differs from the framework, or cannot be made, what was there before stays, and the error says why.
    """
    run = Run.open(task.run_dir)
    classifier = load_trained(run, task.model, task.device)
    export_artifact(run, task.model, classifier, keep_marked=False)
