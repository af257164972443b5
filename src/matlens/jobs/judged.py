"""Pass on what an evaluation found: warnings to the user, and the calibration to the artifact for `matlens predict`."""

from __future__ import annotations

from matlens.data.imbalance import may_need_balance
from matlens.errors import MatlensError, ResultsError
from matlens.evaluation.metrics.calibration import in_words
from matlens.evaluation.results import Results
from matlens.evaluation.trouble import OF_BALANCE
from matlens.features.artifact import calibrate_artifact
from matlens.features.calibrator import Calibrator
from matlens.runs.run import Run
from matlens.settings.repetition import run_command
from matlens.system.console import Reporter
from matlens.system.untrusted import inside

_DESCRIPTION = "artifact.json"


def pass_on(run: Run, results: Results, reporter: Reporter) -> None:
    """Print the warnings of a judged model's training, and keep its calibration. With quiet, hints are left out."""
    for warning in results.warnings:
        tell = reporter.say if warning["kind"] == "last_epoch_best" else reporter.warn
        tell(f"{results.model_name}: {warning['text']}")
    if may_need_balance(run.settings, run.split) and OF_BALANCE & {warning["kind"] for warning in results.warnings}:
        reporter.say(f"  To train it with balanced classes: {_balanced_command(run, results.model_name)}")
    keep_calibration(run, results, reporter)


def _balanced_command(run: Run, model: str) -> str | None:
    """Return the command that trains one model of a run again with class weights, beside the run."""
    settings = run.settings
    asked = settings.model_dump(mode="json") | {"models": [model], "class_weights": "balanced", "seeds": None}
    return run_command(asked, run.data_root, "--out", run.path.with_name(f"{run.title}-balanced"))[0]


def keep_calibration(run: Run, results: Results, reporter: Reporter) -> None:
    """Give the artifact of a judged model, and its INT8 version, the calibration of its results, and say which it is.

    An earlier calibration is removed where none was chosen. A run without an artifact stays as it is; one whose
    artifact is damaged, or lies elsewhere, gets a warning.
    """
    name, calibration = results.model_name, results.calibration
    if calibration is None:
        return
    reporter.say(f"  {in_words(calibration)}")
    chosen, folder, int8 = calibration.get("calibrator"), run.paths.artifact(name), run.paths.int8_artifact(name)
    if not (folder / _DESCRIPTION).exists():
        return
    try:
        copies = [int8] if (int8 / _DESCRIPTION).exists() else []
        for place in (folder, *copies):
            inside(run.path, (place / _DESCRIPTION).relative_to(run.path).as_posix())
        calibrate_artifact(folder, Calibrator.from_json(chosen) if chosen else None, copies)
    except (MatlensError, OSError, ValueError) as error:
        reporter.warn(f"{name}: {folder} gets no calibration, so that matlens predict gives the network's own "
                      f"probabilities: {error}")


def restore_calibration(run: Run, name: str, reporter: Reporter) -> None:
    """Give an artifact that was just exported again the calibration of the model's results, if it was judged."""
    if not run.paths.results_file(name).exists():
        return
    try:
        keep_calibration(run, Results.read(run.paths.results_file(name)), reporter)
    except ResultsError as error:
        reporter.warn(str(error))
