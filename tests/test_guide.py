"""The notebook guide's names, signatures and defaults; and docs/guide.md, which says where each thing of it lives."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import matlens
from matlens.notebook.label_space import LABEL_SPACE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guide.md"
PACKAGE = Path(matlens.__file__).parent
FRAMEWORKS = ("tensorflow", "keras", "torch", "torchvision", "openvino")
COLUMNS = ("guide", "here", "where we do better, and why")

SECTIONS = (
    "Repo Contents", "How to Run", "1) Imports & Environment Setup", "2) Dataset & Path Configuration",
    "3) Global Hyperparameters", "4) Data Integrity Helpers", "5) Class Distribution & Split Stats",
    "6) Creating Train/Val/Test Split", "7) Input Pipeline", "8) Data Augmentation", "9) Class Names / Label Space",
    "A) VGG19 From Scratch", "B) ResNet50 Transfer Learning", "C) MobileNetV2 Transfer Learning",
    "D) Inception V1 / GoogLeNet", "Training Utilities", "Evaluation & Reporting", "Visualization utilities",
    "Explainability", "Model comparison", "Gotchas", "Outputs")

REPOSITORY = ("classification_kaggle.ipynb", "classification.ipynb", "requirements.txt", "LICENSE")

SETTINGS = (
    "DATASET_NAME", "KAGGLE_INPUT", "KAGGLE_WORKING", "IS_KAGGLE", "NEEDS_SPLIT", "DATA_DIR", "OUTPUT_DIR",
    "MODELS_DIR", "REPORTS_DIR", "IMG_SIZE", "BATCH_SIZE", "SEED", "MAX_EPOCHS", "CLASS_NAMES", "NUM_CLASSES")

CALLS_OF_OTHERS = (
    "ImageFile.LOAD_TRUNCATED_IMAGES=True", "tf.config.experimental.set_memory_growth(gpu, True)",
    "random.seed(SEED)", "np.random.seed(SEED)", "tf.random.set_seed(SEED)", "img.verify()",
    "image_dataset_from_directory", "label_mode='categorical'", "image_size=img_size", "interpolation='bilinear'",
    "shuffle=True", "layers.Rescaling(1./255)", ".cache()", ".prefetch(tf.data.AUTOTUNE)",
    'RandomFlip("horizontal")', "RandomRotation(0.1)", "RandomZoom(0.1)", "RandomTranslation(0.1, 0.1)",
    "RandomContrast(0.1)", "HeNormal()", "regularizers.L2(l2_reg)", "categorical_crossentropy", "pooling='avg'",
    "base_model.trainable = False", "torchvision.models.googlenet", "GoogLeNet_Weights.IMAGENET1K_V1", "aux_logits",
    "self.model.fc", "CrossEntropyLoss", "ModelCheckpoint", "EarlyStopping", "restore_best_weights=True",
    "ReduceLROnPlateau")

DATASETS = ("train_ds", "val_ds", "test_ds", "train_ds_raw", "train_ds_aug")

FILES = ("vgg19_scratch.h5", "resnet50_transfer.h5", "mobilenetv2_transfer.h5", "inception_v1.pth",
         "<model_name>_results.json", "model_comparison.csv", "model_comparison.md")

PICTURES = ("Training curves", "confusion matrices", "ROC curves", "Grad-CAM images")

GOTCHAS = ("Class mismatch across splits", "Corrupted/empty image files", "Kaggle Internet OFF", "Reproducibility",
           "GPU memory contention (TF + PyTorch)")

SIGNATURES = """
is_image_valid(path)
remove_corrupted_images(data_dir)
class_counts(data_dir)
create_split(data_dir, output_dir, train_ratio=0.7, val_ratio=0.15, test_ratio=0.15, seed=SEED, force=False)
build_datasets(prepared_dir=OUTPUT_DIR, img_size=IMG_SIZE, batch_size=BATCH_SIZE, seed=SEED, return_raw=False)
get_augmentation_layer()
build_vgg19_scratch(input_shape=(224,224,3), num_classes=23, dropout_rate=0.5, l2_reg=1e-4)
build_resnet50_transfer(input_shape=(224,224,3), num_classes=23, include_top=False, weights='imagenet')
unfreeze_resnet_for_finetuning(model, base_model, num_layers_to_unfreeze=40)
build_mobilenetv2_transfer(input_shape=(224,224,3), num_classes=23, include_top=False, weights='imagenet', alpha=1.0)
InceptionV1Wrapper(num_classes=23, pretrained=True)
InceptionV1Wrapper.predict(images)
InceptionV1Wrapper.save(path)
InceptionV1Wrapper.load(path)
InceptionV1Wrapper.get_trainable_params_count()
train_model(model, train_ds, val_ds, name, epochs=4, early_stopping_patience=5, reduce_lr_patience=3, \
initial_epoch=0, verbose=1, save_dir=None)
get_predictions_and_labels(model, dataset, class_names=None)
compute_classification_metrics(...)
compute_confusion_matrix(...)
compute_roc_curves(...)
evaluate_model(model, test_ds, model_name, class_names=None, save_dir=None)
plot_training_curves(history, model_name, save_path=...)
plot_confusion_matrix(cm, ...)
plot_roc_curves(roc_data, ...)
get_last_conv_layer_name(...)
make_gradcam_heatmap(...)
overlay_heatmap(...)
visualize_gradcam(...)
visualize_gradcam_samples(...)
compare_models(results_list, ...)
""".strip().splitlines()
"""As the guide writes them; `...` where it leaves something open."""


class Row(NamedTuple):
    """One row of a table of docs/guide.md."""

    guide: str
    here: str
    better: str


class Signature(NamedTuple):
    """A name with its parameters and their defaults, `inspect.Parameter.empty` where there is none."""

    name: str
    positional: dict[str, Any]
    keyword_only: dict[str, Any]
    is_open: bool


def rows() -> list[Row]:
    """Every row of every table, headings left out."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            assert len(cells) == len(COLUMNS), f"{len(cells)} columns: {line}"
            if tuple(cells) != COLUMNS:
                found.append(Row(*cells))
    return found


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def written(text: str) -> Signature:
    """A signature as the guide writes it; settings in it have the value that they have in matlens."""
    name, _, parameters = text.partition("(")
    parameters = re.sub(r"(^|, )\.\.\.\)", r"\1*others)", parameters)
    [function] = ast.parse(f"def _({parameters}: pass").body
    assert isinstance(function, ast.FunctionDef)

    def value(node: ast.expr | None) -> Any:
        if node is None:
            return inspect.Parameter.empty
        return getattr(matlens, node.id) if isinstance(node, ast.Name) else ast.literal_eval(node)

    given = function.args
    padded = [*[None] * (len(given.args) - len(given.defaults)), *given.defaults]
    return Signature(name, {each.arg: value(default) for each, default in zip(given.args, padded, strict=True)},
                     {each.arg: value(default) for each, default in zip(given.kwonlyargs, given.kw_defaults,
                                                                        strict=True)}, given.vararg is not None)


def ours(name: str) -> Signature:
    """The signature of a public function or class, or of a class' method."""
    first, _, method = name.partition(".")
    called: Callable[..., Any] = getattr(getattr(matlens, first), method) if method else getattr(matlens, first)
    parameters = list(inspect.signature(called).parameters.values())[1 if method else 0:]
    keyword_only = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    positional = {each.name: each.default for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD}
    assert len(keyword_only) + len(positional) == len(parameters), f"{name} takes *args or **kwargs"
    return Signature(name, positional, keyword_only, False)


def chosen() -> list[str]:
    """The signatures in the page's code blocks, one a line: those that the guide leaves open."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [" ".join(line.split()) for block in blocks for line in re.split(r"\n(?=\S)", block.strip())]


def test_a_signature_is_read_as_python_reads_it():
    """If the comparison were blind, every other test here would pass in vain."""
    empty = inspect.Parameter.empty
    assert written("f(a, b=SEED, c=(1,2))") == ("f", {"a": empty, "b": matlens.SEED, "c": (1, 2)}, {}, False)
    assert written("f(a, ...)") == ("f", {"a": empty}, {}, True)
    assert written("f(...)") == ("f", {}, {}, True)
    assert written("f(a, b=...)") == ("f", {"a": empty, "b": ...}, {}, False)
    assert written("f(*, a=None)") == ("f", {}, {"a": None}, False)


@pytest.mark.parametrize("line", SIGNATURES, ids=lambda line: line.partition("(")[0])
def test_signatures_are_the_guides(line):
    """A notebook that calls by position, by name or by default gets what the guide promises; additions have names."""
    wanted, found = written(line), ours(line.partition("(")[0])
    if wanted.is_open:
        assert list(found.positional)[:len(wanted.positional)] == list(wanted.positional)
        return
    named = {name: found.positional[name] if value is ... else value for name, value in wanted.positional.items()}
    assert list(found.positional.items()) == list(named.items())
    for name, default in found.keyword_only.items():
        assert default is not inspect.Parameter.empty, f"{name} must be given, which the guide does not do"


def test_signatures_that_the_guide_leaves_open_are_as_the_page_says():
    """Who reads the page to call `compute_roc_curves` must be able to call it so."""
    lines = chosen()
    left_open = {line.partition("(")[0] for line in SIGNATURES if "..." in line}
    assert {line.partition("(")[0] for line in lines} == left_open
    for line in lines:
        assert written(line) == ours(line.partition("(")[0])


def test_a_settings_file_changes_the_defaults_of_the_input_pipeline(tmp_path):
    """The guide's defaults are its settings: who sets BATCH_SIZE once must not have to pass it on as well."""
    file = tmp_path / "matlens.toml"
    file.write_text("IMG_SIZE = [96, 128]\nBATCH_SIZE = 8\nSEED = 7\nOUTPUT_DIR = 'elsewhere'", encoding="utf-8")
    lines = ("import inspect, matlens", "found = inspect.signature(matlens.build_datasets).parameters",
             "print([str(found[name].default) for name in ('prepared_dir', 'img_size', 'batch_size', 'seed')] + "
             "[str(inspect.signature(matlens.create_split).parameters['seed'].default)])")
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], text=True, capture_output=True, check=True,
                          env={**os.environ, "MATLENS_CONFIG": str(file)})
    assert ast.literal_eval(done.stdout) == ["elsewhere", "(96, 128)", "8", "7", "7"]


def test_looking_at_every_name_loads_no_framework():
    """Tab completion and help in a notebook must not take the GPU's memory, nor decide which framework comes first."""
    lines = ("import inspect, sys, matlens", "for name in matlens.__all__:", "    found = getattr(matlens, name)",
             "    if callable(found):", "        inspect.signature(found)",
             "for name in ('predict', 'save', 'load', 'get_trainable_params_count'):",
             "    inspect.signature(getattr(matlens.InceptionV1Wrapper, name))", "print('|', *sys.modules)")
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], text=True, capture_output=True, check=True)
    assert not set(done.stdout.rpartition("|")[2].split()) & set(FRAMEWORKS)


def test_every_section_setting_function_file_and_gotcha_of_the_guide_has_a_row():
    """Who knows the guide finds each thing of it here by its name."""
    found = [row.guide for row in rows()]
    assert len(found) == len(set(found)), "a thing stands in two rows"
    first = {re.split(r"[\s=(]", tokens[0])[0] for tokens in map(code, found) if len(tokens) == 1}
    functions = {line.partition("(")[0] for line in SIGNATURES}
    assert not (functions | set(SETTINGS)) - first
    text, tokens = "\n".join(found), {token for cell in found for token in code(cell)}
    assert not [name for name in (*SECTIONS, *GOTCHAS, *PICTURES) if name not in text]
    assert not {*REPOSITORY, *CALLS_OF_OTHERS, *DATASETS, *FILES} - tokens


def test_every_parameter_that_the_guide_names_has_a_row():
    """What `force` or `alpha` does here, and what holds it."""
    told: dict[str, set[str]] = {}
    for tokens in filter(None, (code(row.guide) for row in rows())):
        name, _, own = tokens[0].partition("(")
        told.setdefault(name, set()).update(tokens[1:], re.findall(r"\w+", own))
    for line in SIGNATURES:
        wanted = written(line)
        assert not set(wanted.positional) - told.get(wanted.name, set()), wanted.name


def test_every_place_that_the_page_names_is_there():
    """A page that leads nowhere is worse than none."""
    for row in rows():
        assert code(row.here), f"no place for: {row.guide}"
        for token in code(row.here):
            assert _is_there(token), f"{token} (for: {row.guide})"


def _is_there(token: str) -> bool:
    """A file of the package or of the project, or `name`, `Class.member`, `name(parameter)` among the public names."""
    if "/" in token or token.endswith((".py", ".txt", "LICENSE", "README.md")):
        return (PACKAGE / token).exists() or (ROOT / token).exists()
    matched = re.fullmatch(r"(\w+)(?:\.(\w+))?(?:\((\w+)\))?", token)
    if matched is None or matched[1] not in matlens._HOME_OF:
        return False
    name, member, parameter = matched.groups()
    if name in LABEL_SPACE:  # asking for them raises before a split is made
        return member is parameter is None
    found = getattr(matlens, name)
    if member is not None:
        if member in getattr(found, "model_fields", {}):
            return parameter is None
        if not hasattr(found, member):
            return False
        found = getattr(found, member)
    return parameter is None or parameter in inspect.signature(found).parameters
