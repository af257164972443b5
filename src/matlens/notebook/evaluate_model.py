"""The guide's evaluation of a model that a notebook holds: by the same metrics as `matlens run`'s."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from matlens.data.batches import PhotoBatches, as_batch, source_of
from matlens.errors import DataError, ModelError, SettingsError
from matlens.evaluation.metrics.scores import judge
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results, a_photo
from matlens.notebook.adapters import classifier_of, framework_behind, is_keras, refuse_other_size
from matlens.notebook.label_space import class_names_for
from matlens.runs.provenance import installed_versions, package_versions
from matlens.settings.knobs import notebook_setting
from matlens.system.resources import peak_rss_bytes
from matlens.training.history import History
from matlens.types import Array, Labels

NO_VALIDATION = "evaluate_model was given no validation photos (val_ds), so there is no temperature."


class PredictionsAndLabels(NamedTuple):
    """Probabilities (N, C) float32 and class numbers (N,) int64. Row i of both is one photo."""

    predictions: Array
    labels: Labels


def get_predictions_and_labels(model: Any, dataset: Iterable[Any], class_names: Sequence[str] | None = None,
                               ) -> PredictionsAndLabels:
    """Predict a dataset in one pass, so that predictions and labels are of the same photos, shuffled or not.

    Args:
        model: a Keras model, an InceptionV1Wrapper, or anything whose `predict` maps photos (B, H, W, 3) to
            probabilities (B, C).
        dataset: (images, one-hot labels) batches: what `build_datasets` returns, or any iterable.
        class_names: to check that the model has so many outputs.

    Raises:
        ModelError: a model that gives anything but (B, C) numbers, C the data's classes.
        DataError: no photos.
    """
    probabilities: list[Array] = []
    labels: list[Labels] = []
    predict = _predictor(model)
    for batch in source_of(dataset):
        images, given_labels = as_batch(batch, "the dataset")
        one_hot = np.asarray(given_labels)
        predicted = np.asarray(predict(images), dtype=np.float32)
        if predicted.shape != one_hot.shape:
            raise ModelError(f"The model answers photos whose labels are {one_hot.shape} with an array of shape "
                             f"{predicted.shape}; both must be (photos, classes).")
        if not np.isfinite(predicted).all():
            raise ModelError("The model answers with values that are no numbers (NaN or infinite): it diverged in "
                             "training.")
        probabilities.append(predicted)
        labels.append(np.asarray(one_hot.argmax(axis=1), dtype=np.int64))
    if not probabilities:
        raise DataError("The dataset gave no batch; there is nothing to predict.")
    answer = PredictionsAndLabels(np.concatenate(probabilities), np.concatenate(labels))
    if class_names is not None and len(class_names) != answer.predictions.shape[1]:
        raise ModelError(f"{len(class_names)} class names for a model of {answer.predictions.shape[1]} classes.")
    return answer


def evaluate_model(model: Any, test_ds: Iterable[Any], model_name: str, class_names: Sequence[str] | None = None,
                   save_dir: str | Path | None = None, *, history: History | None = None,
                   val_ds: Iterable[Any] | None = None) -> dict[str, Any]:
    """Judge a model, and save its results as save_dir/<model_name>_results.json.

    The probabilities go into save_dir/<model_name>_predictions.npz, so that every figure can be computed again.

    Args:
        model, test_ds: as in `get_predictions_and_labels`.
        class_names: by default the dataset's.
        save_dir: by default REPORTS_DIR.
        history: what `train_model` returned, so that epochs and training time stand in the results.
        val_ds: validation photos, not trained on, for the temperature that calibrates the probabilities.

    Returns:
        What the JSON holds: accuracy, macro_precision, macro_recall, macro_f1, per_class, classification_report,
        confusion_matrix, roc_auc, class_names, n_test, ... (docs/formats.md), as `compare_models` takes it.

    Raises:
        ModelError, DataError: as in `get_predictions_and_labels`.
        SettingsError: a model_name that is no file name.
    """
    if not model_name or Path(model_name).name != model_name:
        raise SettingsError(f"model_name={model_name!r} is no file name.")
    clock = _TimedModel(model)
    started = time.perf_counter()
    answer = get_predictions_and_labels(clock, test_ds, class_names)
    seconds = time.perf_counter() - started
    n, classes = answer.predictions.shape
    source = source_of(test_ds)
    ours = source if isinstance(source, PhotoBatches) else None
    split = ours.split if ours else None
    names = class_names_for(classes, class_names or getattr(test_ds, "class_names", None))
    if len(set(names)) != len(names):
        raise SettingsError(f"Two classes have the same name in class_names: {', '.join(names)}.")
    if ours and split and not ours.shuffle:
        paths = tuple(photo.path for photo in split.part(ours.part))
    else:
        paths = tuple(map(str, range(n)))
    predictions = Predictions(answer.predictions, answer.labels, paths, clock.photos_per_second)
    validation = _validation(model, val_ds, names) if val_ds is not None else None
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
    folder = Path(save_dir) if save_dir is not None else notebook_setting("reports_dir")
    predictions.write(folder / f"{model_name}_predictions.npz")
    results.write(folder / f"{model_name}_results.json")
    return results.to_json()


def _validation(model: Any, val_ds: Iterable[Any], names: tuple[str, ...]) -> Predictions:
    probabilities, labels = get_predictions_and_labels(model, val_ds, names)
    return Predictions(probabilities, labels, tuple(map(str, range(len(labels)))))


class _TimedModel:
    """A model whose predictions are timed."""

    def __init__(self, model: Any) -> None:
        self._predict = _predictor(model)
        self._calls: list[tuple[int, float]] = []

    def predict(self, images: Any) -> Any:
        started = time.perf_counter()
        answers = self._predict(images)
        self._calls.append((len(images), time.perf_counter() - started))
        return answers

    @property
    def photos_per_second(self) -> float | None:
        """The rate, without the first batch, in which a framework compiles; None where there was no other."""
        photos, seconds = (sum(values) for values in zip(*self._calls[1:], strict=True)) if self._calls[1:] else (0, 0)
        return round(photos / seconds, 1) if seconds else None


def _predictor(model: Any) -> Callable[[Any], Any]:
    """Return the function that gives a model's probabilities. Raises ModelError for what is no model."""
    if is_keras(model):
        classifier = classifier_of(model)

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
