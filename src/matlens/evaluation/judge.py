"""From saved predictions to results and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from matlens.data.split.splits import Split
from matlens.errors import RunError
from matlens.evaluation.displays.classes import ClassScores, ConfusedPairs
from matlens.evaluation.displays.confidence import CoverageCurve, ReliabilityDiagram
from matlens.evaluation.displays.curves import ConfusionMatrix, RocCurves, TrainingCurves
from matlens.evaluation.material_groups import FILE_NAME, MaterialGroups
from matlens.evaluation.metrics.classification import compute_roc_curves
from matlens.evaluation.metrics.scores import scores
from matlens.evaluation.part_predictions import PartPredictions, photos_to_predict
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord
from matlens.system.figures import save_figure
from matlens.types import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Display(Protocol):
    def draw(self) -> Figure:
        """A figure of what is held."""


def evaluate(folder: Run, name: str, on_progress: Progress = lambda done, total: None, *,
             every_picture: bool = False, svg: bool = False) -> Results:
    """Judge a trained model of a run: predictions (made once), results and their pictures.

    A run draws those that its report shows; with `every_picture` all are drawn, which takes a second or two longer, and
    with `svg` as SVG besides PNG.

    on_progress hears of photos predicted, of `photos_to_predict` in all.

    Raises:
        RunError, ResultsError, DataError or ModelError: what is there does not fit together, or is damaged.
    """
    split, settings = folder.split, folder.settings
    training = TrainingRecord.read(folder, name)
    if training.split_hash != split.hash:
        raise RunError(f"{name} in {folder.path} was trained on another split than split.json. Train it again "
                             "in a new folder.")
    missing = photos_to_predict(folder, name)
    parts = PartPredictions(folder, name, training, on_progress)
    predictions = parts.test()
    validation, no_validation = parts.validation(missing - photos_to_predict(folder, name))
    training = TrainingRecord.read(folder, name)  # with the time of predictions, if they were made now
    results = Results(
        model_name=name, split_hash=split.hash, protocol=split.protocol, train_on=split.train_on, seed=settings.seed,
        pretrained=training.pretrained, parameters=training.parameters,
        trainable_parameters=training.trainable_parameters, img_size=settings.img_size,
        epochs=training.epochs, best_epoch=training.best_epoch,
        precision=training.arithmetic, batch_size=settings.batch_size,
        micro_batch=training.micro_batch or settings.batch_size,
        seconds=training.seconds, peak_rss_bytes=training.peak_rss_bytes,
        versions={**folder.content["versions"], **training.versions}, remarks=(*training.remarks, *split.remarks),
        **scores(predictions, split.class_names, groups=groups_of(folder, split), validation=validation,
                 no_validation=no_validation))
    displays = _pictures(results, predictions, training.history) | (_more_pictures(results) if every_picture else {})
    for kind, display in displays.items():
        figure = display.draw()
        save_figure(figure, folder.paths.picture(name, kind))
        if svg:
            save_figure(figure, folder.paths.picture(name, kind).with_suffix(".svg"))
    results.write(folder.paths.results_file(name))
    return results


def _pictures(results: Results, predictions: Predictions, history: dict[str, list[float]]) -> dict[str, _Display]:
    """Pictures by the kind that stands in the file's name."""
    title, names = spec_of(results.model_name).title, results.class_names
    roc = compute_roc_curves(predictions.labels, predictions.probabilities, names)
    return {"training_curves": TrainingCurves.from_history(history, title),
            "confusion_matrix": ConfusionMatrix.from_matrix(results.confusion_matrix, names, title),
            "roc_curves": RocCurves.from_roc_data(roc, title)}


def _more_pictures(results: Results) -> dict[str, _Display]:
    title = spec_of(results.model_name).title
    displays: dict[str, _Display] = {
        "class_scores": ClassScores.from_results(results.per_class, results.intervals["per_class"], title),
        "confused_pairs": ConfusedPairs.from_results(results.confused_pairs, title)}
    if results.coverage:
        displays["coverage"] = CoverageCurve.from_coverage(results.coverage, title)
    if results.calibration:
        displays["reliability"] = ReliabilityDiagram.from_calibration(results.calibration, title)
    return displays


def groups_of(folder: Run, split: Split) -> MaterialGroups | None:
    """The run's groups of materials: those it was given, else MINC-2500's for its classes. Raises SettingsError."""
    given = folder.path / FILE_NAME
    return MaterialGroups.read(given, split.class_names) if given.exists() else MaterialGroups.known(split.class_names)
