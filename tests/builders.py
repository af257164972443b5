"""Runs, splits and results for tests: one place makes them, so a change of theirs changes one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from matlens.data.split.splits import Photo, Split
from matlens.evaluation.label_quality import LabelIssues, Suspect
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.features.activations import Activations, activation_shards
from matlens.models.registry import file_stem
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.files import checksum, write_json
from matlens.types import Progress

CLASSES = ("a", "b")
FIRST_VERSION = Path(__file__).parent / "data_of_versions" / "first"
"""What the first version left: see the README.md above."""

OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "dataset_name": {"dataset_name": "someone/set"}, "data_dir": {"data_dir": "elsewhere"},
    "data_address": {"data_dir": "elsewhere", "data_address": "s3://bucket/photos"},
    "output_dir": {"output_dir": "out"}, "models_dir": {"models_dir": "out"}, "reports_dir": {"reports_dir": "out"},
    "protocol": {"protocol": "minc:2"}, "groups": {"protocol": "kfold:5:1", "groups": "(scene[0-9]+)_'x'"},
    "train_on": {"train_on": "train+val"}, "keep_truncated": {"keep_truncated": True},
    "corrections": {"corrections": {"wood/1.jpg": ["0" * 64, "wood", "paper"]}},
    "material_groups": {"material_groups": "material_groups.toml"}, "margin": {"margin": 2.5},
    "choose_on": {"choose_on": "val"},
    "models": {"models": "inception_v1,mobilenetv2_transfer"}, "weights": {"weights": "none"},
    "weights_dir": {"weights_dir": "weights"},
    "model_options": {"model_options": {"mobilenetv2_transfer": {"alpha": 0.5}}},
    "img_size": {"img_size": 96}, "recipe": {"recipe": "strong"}, "head": {"recipe": "probe", "head": "knn"},
    "features": {"recipe": "probe", "features": "multi"}, "max_epochs": {"max_epochs": 7},
    "epochs_of": {"epochs_of": {"vgg19_scratch": 30}}, "auto_batch": {"auto_batch": True},
    "batch_size": {"batch_size": 8}, "finetune_epochs": {"finetune_epochs": 2},
    "cut": {"finetune_epochs": 1, "cut": "block_9_add"}, "augment": {"augment": False},
    "feature_cache": {"feature_cache": False}, "views": {"views": 3},
    "class_weights": {"class_weights": "balanced"}, "sampling": {"sampling": "balanced"},
    "logit_adjustment": {"logit_adjustment": 1.5}, "choose_by": {"choose_by": "macro_f1"},
    "early_stopping_patience": {"early_stopping_patience": 2}, "reduce_lr_patience": {"reduce_lr_patience": 2},
    "seed": {"seed": 7}, "split_seed": {"split_seed": 7}, "seeds": {"seeds": 3},
    "deterministic": {"deterministic": True}, "device": {"device": "cuda:1"}, "on": {"on": "ray://head:10001"},
    "task_cpus": {"on": "ray", "task_cpus": 2}, "precision": {"precision": "bfloat16"},
    "feature_precision": {"feature_precision": "bfloat16"},
    "activations": {"activations": "float32"}, "features_on": {"features_on": "framework"},
    "cache_dir": {"cache_dir": "cache"}, "cache_limit": {"cache_limit": 3.5}}
"""For each setting, options that give it another value than its default; the setting is the last of them."""


def split_of(class_names: tuple[str, ...] = CLASSES, per_class: int = 2, **changes: object) -> Split:
    """A split with so many photos of each class in each part; there are no such files."""
    photos = tuple(Photo(f"{part}/{name}/{number}.jpg", name, part, f"{part}-{name}-{number}")
                   for part in ("train", "val", "test") for name in class_names for number in range(per_class))
    return Split("random", class_names, photos, **changes)  # type: ignore[arg-type]


def begin_run(path: Path, settings: Settings | None = None, split: Split | None = None, data_root: Path | None = None,
              ) -> Run:
    """The folder of a run in which nothing was trained yet."""
    return Run.begin(path, settings or Settings(), data_root or path.parent, split or split_of())


def tree_hash(folder: Path) -> str:
    """Hash what lies in a folder, names and contents."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            whole.update(path.read_bytes())
    return whole.hexdigest()


def of_first_version() -> list[dict[str, dict[str, Any]]]:
    """Return settings of the first version: the options that were given, and what its run.json recorded of them."""
    content: list[dict[str, dict[str, Any]]] = json.loads(
        (FIRST_VERSION / "settings.json").read_text("utf-8"))
    return content


def record_as_first_version(run: Run, recorded: dict[str, Any], **changes: object) -> None:
    """Rewrite a run's run.json with settings as the first version recorded them."""
    content = json.loads(run.paths.run_file.read_text("utf-8"))
    run.paths.run_file.write_text(json.dumps({**content, "settings": recorded, **changes}), "utf-8")


# Predictions, results and what a run leaves of a judged model


def digest_of(content: str) -> str:
    """The SHA-256 of a photo that holds these words."""
    return hashlib.sha256(content.encode()).hexdigest()


def predictions_of(probabilities: npt.ArrayLike, labels: npt.ArrayLike, prefix: str = "") -> Predictions:
    """Predictions of photos that are called 0, 1, 2, ..., and whose contents are their names."""
    numbers = np.asarray(labels, np.int64)
    paths = tuple(f"{prefix}{number}" for number in range(len(numbers)))
    return Predictions(np.asarray(probabilities, np.float32), numbers, paths, None, tuple(map(digest_of, paths)))


def drawn_predictions(n: int, classes: int, seed: int = 0, strength: float = 1.5, labels: npt.ArrayLike | None = None,
                      ) -> Predictions:
    """Probabilities of a model that is right the more often, the larger `strength` is; 0 is guessing."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(classes, size=n) if labels is None else np.asarray(labels, np.int64)
    raised = np.exp(rng.normal(size=(n, classes)) + strength * np.eye(classes)[numbers])
    return predictions_of(raised / raised.sum(axis=1, keepdims=True), numbers)


def certain_predictions(answers: npt.ArrayLike, labels: npt.ArrayLike, classes: int) -> Predictions:
    """Answers with probability 1."""
    return predictions_of(np.eye(classes)[np.asarray(answers)], labels)


CLASS_SCORE = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}


def results_of(name: str = "m", accuracy: float = 0.8, n: int = 100, classes: tuple[str, ...] = CLASSES,
               **changes: Any) -> Results:
    """Results of a model with one accuracy and the same macro scores; `changes` are further fields."""
    fields: dict[str, Any] = {
        "macro_precision": accuracy, "macro_recall": accuracy, "macro_f1": accuracy,
        "per_class": dict.fromkeys(classes, CLASS_SCORE), "classification_report": "", "confusion_matrix": [],
        "roc_auc": {"macro": 0.9}, "split_hash": "c0ffee", "protocol": "random"} | changes
    return Results(name, classes, n, accuracy, **{"photos_hash": digest_of(f"{fields['split_hash']} {n}")} | fields)


def write_training(run: Run, name: str, **changes: Any) -> None:
    """What a training leaves beside the model file, and the folder of an artifact; nothing was trained."""
    curves = {"loss": [1.0, 0.5], "val_loss": [1.0, 0.6], "accuracy": [0.4, 0.5], "val_accuracy": [0.4, 0.5]}
    write_json(run.paths.training_file(name), {
        "history": curves, "pretrained": True, "parameters": 10, "trainable_parameters": 5, "epochs": 2,
        "best_epoch": 2, "seconds": {"train": 1.0}, "peak_rss_bytes": 1, "versions": {}, "remarks": [],
        "split_hash": run.split.hash, **changes})
    run.paths.model_file(name).write_bytes(b"model")
    run.paths.artifact(name).mkdir(exist_ok=True)


def cached_activations(folder: Path, values: npt.NDArray[np.float32], dtype: str = "float32",
                       order: Sequence[int] = ()) -> Activations:
    """Keep activations (N, h, w, K) in a cache at `folder`, computed in this order, and open them.

    They are of photos in another order than that of their contents, as those of a split are.
    """
    digests = [digest_of(str(row)) for row in range(len(values))]
    number = {digest: row for row, digest in enumerate(digests)}

    def compute(chosen: tuple[str, ...], keep: Callable[[int, npt.NDArray[np.float32]], None], _: Progress) -> None:
        for row in order or range(len(chosen)):
            keep(row, values[number[chosen[row]]])

    made = activation_shards(folder, "rules", digests, lambda: values.shape[1:], dtype, compute,
                             {"model": "some_model"}).opened_or_made()
    opened = Activations.open(made.folder)
    assert opened is not None
    return opened


def png(width: int = 40, height: int = 20) -> bytes:
    """A black picture."""
    content = BytesIO()
    Image.new("RGB", (width, height)).save(content, "PNG")
    return content.getvalue()


PICTURES = ("training_curves", "confusion_matrix", "roc_curves", "gradcam")


def report_folder(folder: Path, judged: list[Results], classes: tuple[str, ...] = ("glass", "wood"), left_out: int = 0,
                  asked: list[str] | None = None, pictures: tuple[str, ...] = PICTURES,
                  suspects: tuple[Suspect, ...] = ()) -> Path:
    """As much of a run's folder as its page needs, without a split that matlens made.

    The suspects' photos are of the split where they are there.
    """
    photos = [{"path": f"{name}/{part}{i}.jpg", "class": name, "part": part, "sha256": "0"}
              for name in classes for part, n in (("train", 3), ("val", 2), ("test", 1)) for i in range(n)]
    shown = ((path, folder / "photos" / path) for path in (suspect.path for suspect in suspects))
    photos += [{"path": path, "class": classes[0], "part": "test", "sha256": checksum(file)}
               for path, file in shown if file.is_file()]
    write_json(folder / "split.json", {
        "protocol": "random", "class_names": classes, "hash": "c0ffee", "photos": photos,
        "left_out": [{"path": f"bad{i}.jpg", "reason": "0 bytes"} for i in range(left_out)]})
    write_json(folder / "run.json", {
        "settings": {"img_size": [224, 224], "paths": {"data": "d"}}, "versions": {"numpy": "2.4.6"},
        "models": asked or [results.model_name for results in judged], "data_root": str(folder / "photos")})
    LabelIssues(tuple(results.model_name for results in judged), 100, suspects).write(
        folder / "reports" / "label_issues.json")
    for results in judged:
        stem = file_stem(results.model_name)
        results.write(folder / "reports" / f"{stem}_results.json")
        for kind in pictures:
            (folder / "reports" / f"{stem}_{kind}.png").write_bytes(png())
    return folder
