"""Pass on what an evaluation found: warnings to the user, and to the artifact what `matlens predict` takes from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matlens.data.imbalance import may_need_balance
from matlens.errors import MatlensError, ResultsError
from matlens.evaluation.metrics.calibration import in_words
from matlens.evaluation.novelty.learn import Learned
from matlens.evaluation.novelty.learn import in_words as in_words_of_novelty
from matlens.evaluation.results import Results
from matlens.evaluation.trouble import OF_BALANCE
from matlens.features.artifact import Artifact
from matlens.features.beside import calibrate_artifact, note_novelty
from matlens.features.calibrator import Calibrator
from matlens.features.novelty.stored import Novelty
from matlens.runs.run import Run
from matlens.settings.repetition import run_command
from matlens.system.console import Reporter
from matlens.system.untrusted import inside

_DESCRIPTION = "artifact.json"


def pass_on(run: Run, results: Results, reporter: Reporter, learned: Learned | None = None) -> None:
    """Print the warnings of a judged model's training, and keep its calibration. With quiet, hints are left out.

    learned: what the evaluation learned of unknown photos; None leaves what the artifact has.
    """
    for warning in results.warnings:
        tell = reporter.say if warning["kind"] == "last_epoch_best" else reporter.warn
        tell(f"{results.model_name}: {warning['text']}")
    if may_need_balance(run.settings, run.split) and OF_BALANCE & {warning["kind"] for warning in results.warnings}:
        reporter.say(f"  To train it with balanced classes: {_balanced_command(run, results.model_name)}")
    keep_calibration(run, results, reporter)
    if learned is not None:
        reporter.say(f"  {in_words_of_novelty(learned.figures)}")
        keep_novelty(run, results.model_name, learned.novelty, reporter)


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
    chosen = calibration.get("calibrator")

    def calibrate(folder: Path, copies: list[Path]) -> None:
        calibrate_artifact(folder, Calibrator.from_json(chosen) if chosen else None, copies)

    _put_beside(run, name, calibrate,
                "gets no calibration, so that matlens predict gives the network's own probabilities", reporter)


def keep_novelty(run: Run, name: str, novelty: Novelty | None, reporter: Reporter) -> None:
    """Give the artifact of a model, and its INT8 version, what is known of unknown photos, likewise."""
    _put_beside(run, name, lambda folder, copies: note_novelty(folder, novelty, copies),
                "does not learn which photos it does not know", reporter)


def _put_beside(run: Run, name: str, put: Callable[[Path, list[Path]], None], lost: str, reporter: Reporter) -> None:
    """Call `put` with the artifact's folder, if there is one, and its INT8 version's; warn of what is `lost` else."""
    folder, int8 = run.paths.artifact(name), run.paths.int8_artifact(name)
    if not (folder / _DESCRIPTION).exists():
        return
    try:
        copies = [int8] if (int8 / _DESCRIPTION).exists() else []
        for place in (folder, *copies):
            inside(run.path, (place / _DESCRIPTION).relative_to(run.path).as_posix())
        put(folder, copies)
    except (MatlensError, OSError, ValueError) as error:
        reporter.warn(f"{name}: {folder} {lost}: {error}")


def novelty_kept(run: Run, name: str) -> Novelty | None:
    """Return what a model's artifact knows of unknown photos, before it is made again; None where it cannot be read."""
    try:
        return Artifact.open(run.paths.artifact(name), marked_too=True).novelty
    except MatlensError:
        return None


def restore_calibration(run: Run, name: str, reporter: Reporter, novelty: Novelty | None = None) -> None:
    """Give an artifact that was just exported again the calibration of the model's results, if it was judged.

    novelty: what it knew of unknown photos before.
    """
    if novelty is not None:
        keep_novelty(run, name, novelty, reporter)
    if not run.paths.results_file(name).exists():
        return
    try:
        keep_calibration(run, Results.read(run.paths.results_file(name)), reporter)
    except ResultsError as error:
        reporter.warn(str(error))
