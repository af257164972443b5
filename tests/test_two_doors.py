"""The guide's functions and the command line are two doors to the same code: the same figures come out of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MODELS = ("vgg19_scratch", "resnet50_transfer", "mobilenetv2_transfer", "inception_v1")

SCRIPT = """
import sys
from pathlib import Path
from matlens import (IMG_SIZE, MAX_EPOCHS, OUTPUT_DIR, REPORTS_DIR, InceptionV1Wrapper, build_datasets,
                     build_mobilenetv2_transfer, build_resnet50_transfer, build_vgg19_scratch, class_counts,
                     compare_models, compute_confusion_matrix, compute_roc_curves, create_split, evaluate_model,
                     get_predictions_and_labels, is_image_valid, plot_confusion_matrix, plot_roc_curves,
                     plot_training_curves, remove_corrupted_images, train_model, visualize_gradcam,
                     visualize_gradcam_samples)

DATA_DIR = Path(sys.argv[1])
remove_corrupted_images(DATA_DIR)
create_split(DATA_DIR, OUTPUT_DIR)
assert all(class_counts(OUTPUT_DIR / part).keys() == class_counts(DATA_DIR).keys() for part in ("train", "val", "test"))
train_ds, val_ds, test_ds = build_datasets(augmented=True)
from matlens import CLASS_NAMES, NUM_CLASSES

shape = (*IMG_SIZE, 3)
resnet50, base_model = build_resnet50_transfer(shape, NUM_CLASSES, weights=None)
mobilenetv2, _ = build_mobilenetv2_transfer(shape, NUM_CLASSES, weights=None)
models = {"vgg19_scratch": build_vgg19_scratch(shape, NUM_CLASSES), "resnet50_transfer": resnet50,
          "mobilenetv2_transfer": mobilenetv2, "inception_v1": InceptionV1Wrapper(NUM_CLASSES, pretrained=False)}
results = []
for name, model in models.items():
    next(iter(train_ds))  # a look at the photos changes nothing
    history = train_model(model, train_ds, val_ds, name, epochs=MAX_EPOCHS, verbose=0)
    plot_training_curves(history, name, save_path=REPORTS_DIR / f"{name}_training_curves.png")
    results.append(evaluate_model(model, test_ds, name, class_names=CLASS_NAMES))
    predictions, labels = get_predictions_and_labels(model, test_ds)
    plot_confusion_matrix(compute_confusion_matrix(labels, predictions, CLASS_NAMES), CLASS_NAMES)
    plot_roc_curves(compute_roc_curves(labels, predictions, CLASS_NAMES), name)
    visualize_gradcam(model, next((OUTPUT_DIR / "test" / CLASS_NAMES[0]).iterdir()), CLASS_NAMES)
    visualize_gradcam_samples(model, test_ds, CLASS_NAMES, save_path=REPORTS_DIR / f"{name}_gradcam.png")
compare_models(results, REPORTS_DIR)
"""


@pytest.mark.slow
def test_a_script_of_the_guides_functions_gives_the_command_lines_figures(drawn, tmp_path, cli):
    """All four models in one process, from raw folders to the table; who moves from a notebook finds the same again."""
    (tmp_path / "guide.toml").write_text("IMG_SIZE = 36\nBATCH_SIZE = 16\nMAX_EPOCHS = 1")
    environment = os.environ | {"MATLENS_CONFIG": "guide.toml", "MATLENS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(drawn)], cwd=tmp_path, env=environment, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    ran = cli("run", "--data", tmp_path / "dataset", "--config", tmp_path / "guide.toml", "--weights", "none",
              "--out", tmp_path / "run", "--quiet")
    assert ran.returncode == 0, ran.stderr
    for name in MODELS:
        script, command = (json.loads((folder / "reports" / f"{name}_results.json").read_text())
                           for folder in (tmp_path, tmp_path / "run"))
        for key in ("class_names", "n_test", "split_hash", "protocol", "seed", "parameters", "trainable_parameters",
                    "pretrained", "img_size"):
            assert script[key] == command[key], (name, key)
        with np.load(tmp_path / "reports" / f"{name}_predictions.npz") as ours, \
                np.load(tmp_path / "run" / "reports" / f"{name}_predictions.npz") as theirs:
            assert ours["paths"].tolist() == theirs["paths"].tolist()
            np.testing.assert_array_equal(ours["labels"], theirs["labels"])
            np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], atol=1e-3, err_msg=name)
        for key in ("accuracy", "macro_precision", "macro_recall", "macro_f1", "confusion_matrix"):
            assert script[key] == command[key], (name, key)
    assert {path.suffix for path in Path(tmp_path / "models").iterdir()} == {".h5", ".pth", ".json"}
