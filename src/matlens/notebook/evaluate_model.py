"""The guide's evaluation of a model that a notebook holds: by the same metrics as `matlens run`'s."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matlens.data.batches import PhotoBatches, as_batch, source_of
from matlens.data.split.splits import Photo, Split
from matlens.errors import DataError, ModelError
from matlens.evaluation.labels_and_scores import class_numbers
from matlens.evaluation.metrics.metric import percent
from matlens.evaluation.metrics.scores import judge
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results, a_photo
from matlens.models.frameworks import is_keras
from matlens.notebook.adapters import ADD_SIGMOID, classifier_of, framework_behind, refuse_logit, refuse_other_size
from matlens.notebook.class_names import agreed_names, classes_of, given_names, names_for, sources_of_names
from matlens.notebook.photos import PhotoCheck, refuse_endless
from matlens.runs.provenance import installed_versions, package_versions
from matlens.settings.arguments import folder_of, refuse_no_file_name
from matlens.system.console import html_table, listed
from matlens.system.resources import peak_rss_bytes
from matlens.system.untrusted import in_short
from matlens.training.history import History, refuse_no_history
from matlens.types import Array, Labels

NO_VALIDATION = "evaluate_model was given no validation photos (val_ds), so there is no temperature."


class PredictionsAndLabels(NamedTuple):
    """Probabilities (N, C) float32 and class numbers (N,) int64. Row i of both is one photo."""

    predictions: Array
    labels: Labels


class JudgedModel(dict[str, Any]):
    """What `evaluate_model` returns: the content of the JSON, which shows itself in short."""

    def __repr__(self) -> str:
        return (f"JudgedModel({self.get('model_name')}: accuracy {percent(self.get('accuracy'))}, "
                f"macro F1 {percent(self.get('macro_f1'))}, {self.get('n_test')} photos)")

    def _repr_html_(self) -> str:  # what a notebook shows
        rows = [(name, *(percent(of[score]) for score in ("precision", "recall", "f1")), int(of["support"]))
                for name, of in self.get("per_class", {}).items()]
        return html_table(("class", "precision", "recall", "F1", "photos"), rows, repr(self))


def get_predictions_and_labels(model: Any, dataset: Iterable[Any], class_names: Sequence[str] | None = None,
                               ) -> PredictionsAndLabels:
    """Predict a dataset in one pass, so that predictions and labels are of the same photos, shuffled or not.

    Args:
        model: a Keras model, an InceptionV1Wrapper, or anything whose `predict` maps photos (B, H, W, 3) to
            probabilities (B, C). One output p, as of a sigmoid, tells two classes apart: [1 - p, p].
        dataset: (images, labels) batches: what `build_datasets` returns, or any iterable. Images are in [0, 1], unless
            the model takes another range (by its first layer, or by an attribute `input_range = (0, 255)`). Labels are
            one-hot (B, C), or class numbers (B, 1).
        class_names: to check that the model has so many outputs, and that they are its own.

    Raises:
        ModelError: a model that gives anything but (B, C) numbers, C the data's classes.
        DataError: no photos, or photos of another range or size than the model takes.
        LabelsError: labels that are none of the classes, or names that are not the model's.
    """
    asked = _Asked(model, dataset, "dataset", class_names)
    return PredictionsAndLabels(asked.probabilities, asked.labels)


class _Asked:
    """What a model answers to a dataset, in one pass.

    Row i of `probabilities` (N, C) float32, of `labels` (N,) and of `digests` is one photo; `names` are its classes'.
    photos_per_second: without the first batch, in which a framework compiles; None where there was no other.
    """

    def __init__(self, model: Any, dataset: Iterable[Any], what: str, class_names: Sequence[str] | None) -> None:
        self._model, self._what = model, what
        class_names = given_names(class_names)  # once, since an iterator can be gone through once
        self.source = source_of(dataset, what)
        refuse_endless(self.source, what)
        agreed_names(sources_of_names(class_names, model, dataset))  # before photos are predicted for minutes
        known = isinstance(self.source, PhotoBatches) and not self.source.augmented
        self._photos = [] if not known or self.source.split is None else self._of_split(self.source.split)
        answers, labels, self.digests = self._pass()
        self.probabilities = np.concatenate(answers)
        if self.probabilities.shape[1] == 1:
            ones = self.probabilities.astype(np.float64)
            self.probabilities = np.concatenate([1 - ones, ones], axis=1).astype(np.float32)
        self.names = names_for(self.probabilities.shape[1], class_names, model, dataset)
        self.labels = class_numbers(np.concatenate(labels), what, self.names)

    @property
    def predictions(self) -> Predictions:
        """The answers with their photos: by their paths where they are of a split, else by their place."""
        if not self._photos:
            return Predictions(self.probabilities, self.labels, tuple(map(str, range(len(self.labels)))),
                               self.photos_per_second, self.digests)
        return Predictions(self.probabilities, self.labels, tuple(photo.path for photo in self._photos),
                           self.photos_per_second, tuple(photo.sha256 for photo in self._photos),
                           self.source.split.groups_of(self._photos))

    def _of_split(self, split: Split) -> list[Photo]:
        """Return the photos of a split's part in the order in which they come."""
        photos = split.part(self.source.part)
        return [photos[place] for place in self.source.order()] if len(photos) == len(self.source.rows) else []

    def _pass(self) -> tuple[list[Array], list[npt.NDArray[Any]], tuple[str, ...]]:
        predict, check = _predictor(self._model), PhotoCheck(self._model, self._what)
        answers: list[Array] = []
        labels: list[npt.NDArray[Any]] = []
        digests: list[str] = []
        calls: list[tuple[int, float]] = []
        for batch in self.source:
            images, given = as_batch(batch, self._what)
            check.batch(images)
            started = time.perf_counter()
            answer = _as_numbers(predict(images))
            calls.append((len(images), time.perf_counter() - started))
            answers.append(_checked_answer(answer, np.shape(given)))
            labels.append(np.asarray(given))
            if not self._photos:
                digests += map(_digest, np.asarray(images))
        if not answers:
            raise DataError(f"{self._what} gave no batch; there is nothing to predict. Give batches of (images, "
                            "labels).")
        for values in (labels, answers):
            if len(widths := {value.shape[1] for value in values}) > 1:
                raise DataError(f"Batches of {self._what} have labels or answers of "
                                f"{listed([*map(str, sorted(widths))])} columns. Give each a column for each class.")
        check.end()
        photos, seconds = (sum(values) for values in zip(*calls[1:], strict=True)) if calls[1:] else (0, 0)
        self.photos_per_second = round(photos / seconds, 1) if seconds else None
        return answers, labels, tuple(digests)


def _as_numbers(answer: Any) -> Array:
    """Return a model's answer as an array. Raises ModelError for words, and for rows of several lengths."""
    try:
        return np.asarray(answer, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ModelError(f"The model answers with a {type(answer).__name__} that is no array of numbers "
                         f"({in_short(str(error))}). Its predict must give probabilities (photos, classes).") from error


def _checked_answer(answer: Array, labels: tuple[int, ...]) -> Array:
    """Return a model's answer to a batch. Raises ModelError where it does not fit its labels' shape, or is none."""
    if answer.ndim != 2 or len(answer) != labels[0] or labels[1] not in (1, classes_of(answer.shape[1])):
        raise ModelError(f"The model answers photos whose labels are {labels} with an array of shape {answer.shape}; "
                         "both must be (photos, classes).")
    if not np.isfinite(answer).all():
        raise ModelError("The model answers with values that are no numbers (NaN or infinite): it diverged in "
                         "training. Train it with a lower learning rate.")
    if answer.shape[1] == 1 and not 0 <= answer.min() <= answer.max() <= 1:
        raise ModelError(f"The model's one output goes from {answer.min():g} to {answer.max():g}, and is no "
                         f"probability. {ADD_SIGMOID}")
    return answer


def _digest(image: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of a photo as a model sees it: its numbers, and their shape and type."""
    return hashlib.sha256(f"{image.shape} {image.dtype}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def evaluate_model(model: Any, test_ds: Iterable[Any], model_name: str, class_names: Sequence[str] | None = None,
                   save_dir: str | Path | None = None, *, history: History | None = None,
                   val_ds: Iterable[Any] | None = None) -> dict[str, Any]:
    """Judge a model, and save its results as save_dir/<model_name>_results.json.

    The probabilities go into save_dir/<model_name>_predictions.npz, so that every figure can be computed again.

    Args:
        model, test_ds: as in `get_predictions_and_labels`.
        class_names: by default the model's own, which it has from its training, or the dataset's.
        save_dir: by default REPORTS_DIR.
        history: what `train_model` returned, so that epochs and training time stand in the results.
        val_ds: validation photos, not trained on, for the temperature that calibrates the probabilities.

    Returns:
        What the JSON holds: accuracy, macro_precision, macro_recall, macro_f1, per_class, classification_report,
        confusion_matrix, roc_auc, class_names, n_test, ... (docs/formats.md), as `compare_models` takes it.

    Raises:
        ModelError, DataError, LabelsError: as in `get_predictions_and_labels`.
        SettingsError: a model_name that is no file name, or a history that is not `train_model`'s.
    """
    refuse_no_file_name(model_name, "model_name")
    folder = folder_of(save_dir, "save_dir", "reports_dir")
    refuse_no_history(history)
    class_names = given_names(class_names)
    started = time.perf_counter()
    asked = _Asked(model, test_ds, "test_ds", class_names)
    names, predictions = asked.names, asked.predictions
    seconds = time.perf_counter() - started
    validation = _Asked(model, val_ds, "val_ds", class_names).predictions if val_ds is not None else None
    ours = asked.source if isinstance(asked.source, PhotoBatches) else None
    split = ours.split if ours else None
    parameters = _parameters(model)
    results = Results(
        model_name=model_name, split_hash=split.hash if split else "", protocol=split.protocol if split else "",
        seed=ours.seed if ours else None, pretrained=getattr(model, "pretrained", None),
        parameters=parameters and parameters[0], trainable_parameters=parameters and parameters[1],
        img_size=ours.img_size if ours else None,
        epochs=len(history.epochs) if history else None, best_epoch=history.best.number if history else None,
        seconds={**({"train": round(sum(epoch.seconds for epoch in history), 3)} if history else {}),
                 "predict": round(seconds, 3), **a_photo(predictions.photos_per_second)},
        peak_rss_bytes=peak_rss_bytes(),
        versions=package_versions() | _framework_versions(model), **judge(
            predictions, names, validation=validation, no_validation="" if validation else NO_VALIDATION).fields)
    predictions.write(folder / f"{model_name}_predictions.npz")
    results.write(folder / f"{model_name}_results.json")
    return JudgedModel(results.to_json())


def _predictor(model: Any) -> Callable[[Any], Any]:
    """Return the function that gives a model's probabilities. Raises ModelError for what is no model."""
    if is_keras(model):
        classifier = classifier_of(model)
        refuse_logit(model, classifier)

        def predict(images: Any) -> Any:
            refuse_other_size(classifier, images)
            return model.predict_on_batch(images)

        return predict
    if not hasattr(model, "predict"):
        classifier_of(model)  # says what was given instead
    return lambda images: model.predict(np.asarray(images))


def _parameters(model: Any) -> tuple[int, int] | None:
    return None if framework_behind(model) is None else classifier_of(model).parameters


def _framework_versions(model: Any) -> dict[str, str]:
    framework = framework_behind(model)
    versions = installed_versions(framework.distributions) if framework else {}
    return {package.removesuffix("-cpu"): version for package, version in versions.items()}
