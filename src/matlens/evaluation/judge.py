"""From saved predictions to results and pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.data.splits import Split
from matlens.errors import RunFolderError
from matlens.evaluation.displays import plot_confusion_matrix, plot_roc_curves, plot_training_curves
from matlens.evaluation.metrics import compute_classification_metrics, compute_confusion_matrix, compute_roc_curves
from matlens.evaluation.predictions import Predictions, predict_part
from matlens.evaluation.results import Results
from matlens.features.artifact import Artifact
from matlens.features.cache import feature_parts, kept_features, rows_of
from matlens.files import read_json
from matlens.models.catalogue import model_info
from matlens.training.run_folder import RunFolder


def scores(predictions: Predictions, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of Results that follow from predictions alone."""
    roc = compute_roc_curves(predictions.labels, predictions.probabilities, class_names)
    return {
        **compute_classification_metrics(predictions.labels, predictions.predicted, class_names),
        "confusion_matrix": compute_confusion_matrix(predictions.labels, predictions.predicted, class_names).tolist(),
        "roc_auc": {"per_class": {name: curve["auc"] for name, curve in roc["per_class"].items()},
                    "micro": roc["micro"]["auc"], "macro": roc["macro"]["auc"]},
        "class_names": class_names,
        "n_test": len(predictions.labels),
    }


def evaluate(folder: RunFolder, name: str, on_progress: Callable[[int, int], None] = lambda done, total: None,
             ) -> Results:
    """Judge a trained model of a run: predictions (made once), results and their pictures.

    Raises:
        RunFolderError, DataError or ModelError: what is there does not fit together, or is damaged.
    """
    split, settings = folder.split, folder.settings
    training = _training_record(folder, name)
    if training["split_hash"] != split.hash:
        raise RunFolderError(f"{name} in {folder.path} was trained on another split than split.json. Train it again "
                             "in a new folder.")
    saved = folder.predictions_file(name)
    if not saved.exists():
        kept = _kept_test_features(folder, training, split)
        predict_part(Artifact.open(folder.artifact(name)), split, folder.data_root,
                     keep_truncated=settings.keep_truncated, features=kept, on_progress=on_progress).write(saved)
    predictions = Predictions.read(saved)
    results = Results(
        model_name=name, split_hash=split.hash, protocol=split.protocol, train_on=split.train_on, seed=settings.seed,
        pretrained=training["pretrained"], parameters=training["parameters"],
        trainable_parameters=training["trainable_parameters"], img_size=settings.img_size,
        epochs=training["epochs"], best_epoch=training["best_epoch"],
        precision=training.get("precision", "float32"), batch_size=settings.batch_size,
        micro_batch=training.get("micro_batch") or settings.batch_size, seconds=training["seconds"],
        prediction_photos_per_second=predictions.photos_per_second, peak_rss_bytes=training["peak_rss_bytes"],
        versions={**folder.about["versions"], **training["versions"]}, remarks=(*training["remarks"], *split.remarks),
        **scores(predictions, split.class_names))
    title = model_info(name).title
    plot_training_curves(training["history"], title, folder.picture(name, "training_curves"))
    plot_confusion_matrix(results.confusion_matrix, split.class_names, title,
                          save_path=folder.picture(name, "confusion_matrix"))
    plot_roc_curves(compute_roc_curves(predictions.labels, predictions.probabilities, split.class_names), title,
                    save_path=folder.picture(name, "roc_curves"))
    results.write(folder.results_file(name))
    return results


def _kept_test_features(folder: RunFolder, training: dict[str, Any], split: Split) -> npt.NDArray[np.float32] | None:
    """The test part's features from the training, if they are still kept."""
    if not training.get("features_key"):
        return None
    digests = feature_parts(split, 1, pooled=True)[0].digests
    every = kept_features(folder.settings.cache_dir, training["features_key"], len(digests))
    return None if every is None else every[rows_of(split.part("test"), digests)]


def _training_record(folder: RunFolder, name: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = read_json(folder.training_file(name))
        return record
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder.training_file(name)} is missing or damaged; train {name} again.") from error
