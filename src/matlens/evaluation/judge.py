"""From saved predictions to results and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from matlens.data.imbalance import may_need_balance
from matlens.errors import MatlensError, RunError
from matlens.evaluation.displays.classes import ClassScores, ConfusedPairs
from matlens.evaluation.displays.confidence import CoverageCurve, ReliabilityDiagram
from matlens.evaluation.displays.curves import ConfusionMatrix, RocCurves, TrainingCurves
from matlens.evaluation.material_groups import FILE_NAME, MaterialGroups
from matlens.evaluation.metrics.scores import Judgement, judge
from matlens.evaluation.novelty.learn import Learned, learn_novelty
from matlens.evaluation.part_predictions import PartPredictions, are_outdated, photos_to_predict
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.evaluation.trouble import troubles
from matlens.features.neighbours import near_neighbours
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord
from matlens.system.figures import save_figure
from matlens.types import Progress, unheard
from matlens.workers.trained import remark_on_artifact

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Display(Protocol):
    def draw(self) -> Figure:
        """Draw what the display holds."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation worked out, for whoever goes on with it.

    results: as they are saved. predictions: of the test part. roc_curves: as `compute_roc_curves` gives them.
    learned: what the model does not know.
    """

    results: Results
    predictions: Predictions
    roc_curves: Mapping[str, Any]
    learned: Learned


def evaluate(run: Run, name: str, on_progress: Progress = unheard, *, every_picture: bool = False, svg: bool = False,
             ) -> Evaluation:
    """Judge a trained model of a run: predict its test part (once), and save its results and their pictures.

    A run draws those pictures that its report shows; with `every_picture` all are drawn, which takes a second or two
    longer, and with `svg` as SVG besides PNG.

    on_progress: called with the photos predicted so far, of `photos_to_predict` in all.

    Raises:
        RunError, ResultsError, DataError or ModelError: what is there does not fit together, or is damaged.
    """
    split, settings = run.split, run.settings
    training = TrainingRecord.read(run, name)
    if training.split_hash != split.hash:
        raise RunError(f"{name} in {run.path} was trained on another split than split.json. Train it again in a new "
                       "folder.")
    missing = photos_to_predict(run, name)
    parts = PartPredictions(run, name, training, on_progress, outdated=(outdated := are_outdated(run, name)))
    predictions = parts.test()
    validation, no_validation = parts.validation(
        len(split.part("test")) if outdated else missing - photos_to_predict(run, name))
    parts.note_predictor()
    mark = remark_on_artifact(run, name)
    training = TrainingRecord.read(run, name)  # with the time of predictions, if they were made now
    features = parts.feature_rows(split.photos)
    with ThreadPoolExecutor(1, "matlens-novelty") as beside:  # pictures take one core, and this takes the other
        learning = beside.submit(learn_novelty, parts, predictions, validation, no_validation, _earlier(run, name))
        neighbours = None if features is None else near_neighbours(split, features)
        judgement = judge(predictions, split.class_names, groups=groups_of(run), validation=validation,
                          no_validation=no_validation)
        results = _results(run, name, training, judgement, remarks=[mark] if mark else [], warnings=troubles(
            training, predictions, validation, split.class_names, neighbours,
            may_need_balance=may_need_balance(settings, split)))
        displays = _pictures(results, judgement.roc_curves, training) | (
            _more_pictures(results) if every_picture else {})
        for kind, display in displays.items():
            figure = display.draw()
            save_figure(figure, run.paths.picture(name, kind))
            if svg:
                save_figure(figure, run.paths.picture(name, kind).with_suffix(".svg"))
        learned = learning.result()
    results = dataclasses.replace(results, novelty=learned.figures)
    results.write(run.paths.results_file(name))
    return Evaluation(results, predictions, judgement.roc_curves, learned)


def _results(run: Run, name: str, training: TrainingRecord, judgement: Judgement, *, remarks: Sequence[str],
             warnings: list[dict[str, str]]) -> Results:
    """Put together what is known of a model, but for what it does not know."""
    split, settings = run.split, run.settings
    return Results(
        model_name=name, split_hash=split.hash, protocol=split.protocol, train_on=split.train_on, seed=settings.seed,
        pretrained=training.pretrained, weights_sha256=training.weights_sha256, parameters=training.parameters,
        trainable_parameters=training.trainable_parameters, img_size=settings.img_size,
        epochs=training.epochs, best_epoch=training.best_epoch, strength=training.strength,
        neighbours=training.neighbours,
        arithmetic=training.arithmetic, batch_size=settings.batch_size,
        feature_precision=training.feature_precision.model_dump() if training.feature_precision else None,
        micro_batch=training.micro_batch or settings.batch_size,
        seconds=training.seconds, peak_rss_bytes=training.peak_rss_bytes,
        versions={**run.versions, **training.versions},
        remarks=(*training.remarks, *split.remarks, *remarks, *judgement.remarks), warnings=warnings,
        **judgement.fields)


def _earlier(run: Run, name: str) -> dict[str, Any] | None:
    """Return what earlier results of the model say of unknown photos; None where there are none."""
    try:
        return Results.read(run.paths.results_file(name)).novelty
    except MatlensError:
        return None


def _pictures(results: Results, roc_curves: Mapping[str, Any], training: TrainingRecord) -> dict[str, _Display]:
    """Collect the pictures that each run draws, by the kind that stands in the file's name."""
    title = spec_of(results.model_name).title
    return {"training_curves": TrainingCurves.from_history(training.history, title, training.best_epoch),
            "confusion_matrix": ConfusionMatrix.from_matrix(results.confusion_matrix, results.class_names, title),
            "roc_curves": RocCurves.from_roc_data(roc_curves, title)}


def _more_pictures(results: Results) -> dict[str, _Display]:
    """Collect the pictures that `matlens evaluate` adds, likewise."""
    title = spec_of(results.model_name).title
    displays: dict[str, _Display] = {
        "class_scores": ClassScores.from_results(results.per_class, results.intervals["per_class"], title),
        "confused_pairs": ConfusedPairs.from_results(results.confused_pairs, title)}
    if results.coverage:
        displays["coverage"] = CoverageCurve.from_coverage(results.coverage, results.n_test, title)
    if results.calibration:
        displays["reliability"] = ReliabilityDiagram.from_calibration(results.calibration, title)
    return displays


def groups_of(run: Run) -> MaterialGroups | None:
    """Return the run's groups of materials: those it was given, else MINC-2500's for its classes.

    Raises SettingsError.
    """
    given, class_names = run.path / FILE_NAME, run.split.class_names
    return MaterialGroups.read(given, class_names) if given.exists() else MaterialGroups.known(class_names)
