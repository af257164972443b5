"""`matlens export`: the portable artifacts of trained models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from matlens.cli.options import Device, Models, Quiet, RunArgument, chosen_device, chosen_models

if TYPE_CHECKING:
    from matlens.runs.run import Run
    from matlens.system.console import Reporter


def export(run: RunArgument, models: Models = None,
           int8: Annotated[bool, typer.Option("--int8", help="Make INT8 versions of the artifacts instead: faster, for "
                                              "matlens predict --int8. Needs nncf.")] = False,
           max_drop: Annotated[float, typer.Option(min=0, max=100, help="With --int8: percentage points of validation "
                                                   "accuracy that may be lost.")] = 1.0,
           device: Device = None, quiet: Quiet = False) -> None:
    """Make the portable artifact again from the model file, and compare it with the framework's own output."""
    from matlens.evaluation.part_predictions import are_outdated
    from matlens.features.artifact import Artifact
    from matlens.jobs.judged import novelty_kept, restore_calibration
    from matlens.runs.run import Run
    from matlens.system.console import Reporter, command
    from matlens.system.transport import run_job
    from matlens.workers.jobs.export import ExportTask

    reporter, folder = Reporter(quiet), Run.open(run)
    if int8:
        for name in folder.trained_models(chosen_models(models)):
            _export_int8(folder, name, max_drop, reporter)
        return
    for name in chosen_models(models) or folder.model_names:
        novelty = novelty_kept(folder, name)
        run_job("export", ExportTask(folder.path.resolve(), name, chosen_device(device)), folder.paths.log_file(name))
        artifact = Artifact.open(folder.paths.artifact(name))
        reporter.result(f"{artifact.folder}: probabilities within {artifact.parity:.1g} of the framework's")
        restore_calibration(folder, name, reporter, novelty)
        if are_outdated(folder, name):
            reporter.result("  The saved predictions are still its framework's. Replace them by its own with: "
                            f"{command('evaluate', folder.path, '--models', name)}")


def _export_int8(folder: Run, name: str, max_drop: float, reporter: Reporter) -> None:
    from matlens.system.transport import run_job
    from matlens.workers.jobs.quantise import QuantiseTask

    def tell(event: dict[str, Any]) -> None:
        reporter.result(
            f"{folder.paths.int8_artifact(name)}: accuracy {100 * event['int8_accuracy']:.1f} %, float32's "
            f"{100 * event['float32_accuracy']:.1f} %, on {event['n_photos']} validation photos; the same class for "
            f"{100 * event['agreement']:.1f} %")

    reporter.say(f"{name}: INT8 from training photos, judged on validation photos")
    run_job("quantise", QuantiseTask(folder.path.resolve(), name, max_drop), folder.paths.log_file(name), tell)
