"""See what things are made of: train, judge, explain and compare image classifiers of materials.

    data ──► models ──► training ──► evaluation ──► explanation ──► comparison ──► report
    photos   trunk+head  run folder  predictions    heat maps       table          page

`run`, `predict`, `explain` and `report` do what the command line does; the other public names are those of the notebook
guide (docs/guide.md). Each is imported when it is asked for, so `import matlens` loads no framework.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "matlens.jobs.python": ("explain", "predict", "run"),
    "matlens.report.inline": ("report",),
    "matlens.data.source.counts": ("class_counts", "photo_counts"),
    "matlens.data.source.find": ("find_dataset",),
    "matlens.data.audit.integrity": ("is_image_valid",),
    "matlens.notebook.label_space": ("CLASS_NAMES", "NUM_CLASSES"),
    "matlens.notebook.prepared": ("create_split",),
    "matlens.data.audit.removal": ("remove_corrupted_images",),
    "matlens.data.drawn.synthetic": ("draw_dataset",),
    "matlens.evaluation.displays.curves": ("plot_confusion_matrix", "plot_roc_curves", "plot_training_curves"),
    "matlens.notebook.evaluate_model": ("evaluate_model", "get_predictions_and_labels"),
    "matlens.evaluation.metrics.classification": ("compute_classification_metrics", "compute_confusion_matrix",
                                   "compute_roc_curves"),
    "matlens.notebook.compare_models": ("compare_models",),
    "matlens.explanation.overlay": ("overlay_heatmap",),
    "matlens.notebook.gradcam": ("get_last_conv_layer_name", "make_gradcam_heatmap", "visualize_gradcam",
                                     "visualize_gradcam_samples"),
    "matlens.notebook.datasets": ("build_datasets",),
    "matlens.notebook.builders": ("build_mobilenetv2_transfer", "build_resnet50_transfer", "build_vgg19_scratch",
                             "get_augmentation_layer", "load_model", "unfreeze_resnet_for_finetuning"),
    "matlens.notebook.inception": ("InceptionV1Wrapper",),
    "matlens.models.seeding": ("seed_everything",),
    "matlens.settings.knobs": ("BATCH_SIZE", "DATASET_NAME", "DATA_DIR", "IMG_SIZE", "IS_KAGGLE", "KAGGLE_INPUT",
                         "KAGGLE_WORKING", "MAX_EPOCHS", "MODELS_DIR", "NEEDS_SPLIT", "OUTPUT_DIR", "REPORTS_DIR",
                         "SEED", "needs_split"),
    "matlens.settings.schema": ("Settings",),
    "matlens.notebook.train_model": ("train_model",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# Not the label space: asking for it raises where nothing was prepared yet, and `import *` asks for all.
__all__ = ["__version__", *sorted(_HOME_OF.keys() - _HOMES["matlens.notebook.label_space"])]


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'matlens' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """List the public names, without importing them."""
    return __all__
