"""Runs, splits and results for tests: one place makes them, so a change of theirs changes one place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from matlens.data.split.splits import Photo, Split
from matlens.runs.run import Run
from matlens.settings.schema import Settings

CLASSES = ("a", "b")

OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "dataset_name": {"dataset_name": "someone/set"}, "data_dir": {"data_dir": "elsewhere"},
    "output_dir": {"output_dir": "out"}, "models_dir": {"models_dir": "out"}, "reports_dir": {"reports_dir": "out"},
    "protocol": {"protocol": "minc:2"}, "groups": {"protocol": "kfold:5:1", "groups": "(scene[0-9]+)_'x'"},
    "train_on": {"train_on": "train+val"}, "keep_truncated": {"keep_truncated": True},
    "material_groups": {"material_groups": "material_groups.toml"},
    "models": {"models": "inception_v1,mobilenetv2_transfer"}, "weights": {"weights": "none"},
    "weights_dir": {"weights_dir": "weights"},
    "model_options": {"model_options": {"mobilenetv2_transfer": {"alpha": 0.5}}},
    "img_size": {"img_size": 96}, "recipe": {"recipe": "strong"}, "max_epochs": {"max_epochs": 7},
    "epochs_of": {"epochs_of": {"vgg19_scratch": 30}}, "auto_batch": {"auto_batch": True},
    "batch_size": {"batch_size": 8}, "finetune_epochs": {"finetune_epochs": 2},
    "cut": {"finetune_epochs": 1, "cut": "block_9_add"}, "augment": {"augment": False},
    "feature_cache": {"feature_cache": False}, "views": {"views": 3},
    "early_stopping_patience": {"early_stopping_patience": 2}, "reduce_lr_patience": {"reduce_lr_patience": 2},
    "seed": {"seed": 7}, "deterministic": {"deterministic": True}, "precision": {"precision": "bfloat16"},
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
        (Path(__file__).parent / "first_version" / "settings.json").read_text("utf-8"))
    return content


def record_as_first_version(run: Run, recorded: dict[str, Any], **changes: object) -> None:
    """Rewrite a run's run.json with settings as the first version recorded them."""
    content = json.loads(run.paths.run_file.read_text("utf-8"))
    run.paths.run_file.write_text(json.dumps({**content, "settings": recorded, **changes}), "utf-8")
