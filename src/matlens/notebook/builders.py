"""The guide's model builders, without a framework: signatures and documentation here, the work in `models/keras/`.

Inspecting a builder imports nothing; calling it imports Keras.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from matlens.errors import SettingsError
from matlens.models.protocol import LAYERS_TO_UNFREEZE, open_room
from matlens.models.registry import spec_of
from matlens.models.seeding import seeded
from matlens.models.spec import Options
from matlens.notebook.weights import weights_for_notebook
from matlens.settings.arguments import number_from, whole_number
from matlens.settings.knobs import knob, with_knobs
from matlens.system.untrusted import quoted

SEED = knob("seed")

Weights = str | Path | None
"""`imagenet`, `auto`, a file, or None for random weights."""


@with_knobs
def build_vgg19_scratch(
    input_shape: tuple[int, int, int] = (224, 224, 3), num_classes: int = 23, dropout_rate: float = 0.5,
    l2_reg: float = 1e-4, *, seed: int = SEED,
) -> Any:
    """VGG19 (Simonyan and Zisserman 2014, configuration E) with random weights, compiled with Adam(1e-4).

    He-normal initial weights and an L2 penalty on every kernel; Flatten, then 4096, 4096 and `num_classes` units.

    Args:
        input_shape: (height, width, 3) of the photos.
        seed: of the initial weights and of dropout.

    Returns:
        A compiled keras.Model from photos (B, H, W, 3) float32 in [0, 1] to probabilities (B, num_classes).
    """
    size, num_classes = _shape(input_shape), whole_number(num_classes, "num_classes", 1)
    for name, given, most in (("dropout_rate", dropout_rate, 1), ("l2_reg", l2_reg, math.inf)):
        number_from(given, name, 0, most)
    with seeded(open_room("keras"), seed):
        from matlens.models.keras.networks.vgg19 import vgg19
        from matlens.models.keras.transfer import build_network

        layers = partial(vgg19, num_classes=num_classes, dropout_rate=dropout_rate, l2_reg=l2_reg)
        return build_network(spec_of("vgg19_scratch"), size, layers)


@with_knobs
def build_resnet50_transfer(
    input_shape: tuple[int, int, int] = (224, 224, 3), num_classes: int = 23, include_top: bool = False,
    weights: Weights = "imagenet", *, weights_dir: Path | str | None = None, seed: int = SEED,
) -> tuple[Any, Any]:
    """ResNet50 under Dense(512, relu), Dropout(0.5), Dense(num_classes, softmax); compiled with Adam(1e-3).

    The preprocessing that the backbone's weights were trained with is a layer of the model.

    Args:
        include_top: keep the backbone's own 1000 ImageNet classes; the new head then reads their probabilities.
        weights: `imagenet` (from this machine, else downloaded), `auto` (the same, but random weights and a warning
            where there are none), a file, or None for random weights. A pretrained backbone is frozen; one with
            random weights is trained.
        weights_dir: a folder to look for ImageNet weights in, before Keras' own cache.
        seed: of the initial weights and of dropout.

    Returns:
        (model, base_model), as `unfreeze_resnet_for_finetuning` takes them. The model maps photos (B, H, W, 3)
        float32 in [0, 1] to probabilities (B, num_classes).

    Raises:
        WeightsError: the weights can be neither found nor downloaded, or do not fit.
        SettingsError: `auto` with include_top.
    """
    return _transfer("resnet50_transfer", input_shape, num_classes, include_top, weights, weights_dir, seed, {})


@with_knobs
def build_mobilenetv2_transfer(
    input_shape: tuple[int, int, int] = (224, 224, 3), num_classes: int = 23, include_top: bool = False,
    weights: Weights = "imagenet", alpha: float = 1.0, *, weights_dir: Path | str | None = None, seed: int = SEED,
) -> tuple[Any, Any]:
    """MobileNetV2 under Dense(512, relu), Dropout(0.6), Dense(num_classes, softmax); compiled with Adam(1e-3).

    `alpha` is the width multiplier; the rest is as in `build_resnet50_transfer`.
    """
    number_from(alpha, "alpha", 0.01, 100)
    return _transfer("mobilenetv2_transfer", input_shape, num_classes, include_top, weights, weights_dir, seed,
                     {"alpha": alpha})


def unfreeze_resnet_for_finetuning(model: Any, base_model: Any, num_layers_to_unfreeze: int = LAYERS_TO_UNFREEZE,
                                   ) -> Any:
    """The guide's second stage: train the backbone's last layers too, with Adam(1e-5).

    The layers before stay frozen, and so does all batch normalisation of a pretrained backbone. Works for any
    backbone. Returns `model`, compiled again.
    """
    layers = whole_number(num_layers_to_unfreeze, "num_layers_to_unfreeze", 0)
    open_room("keras")
    from matlens.models.keras.transfer import unfreeze

    unfreeze(model, base_model, layers)
    return model


@with_knobs
def get_augmentation_layer(*, seed: int = SEED) -> Any:
    """The guide's augmentation as a keras.Sequential for batches (B, H, W, 3) in [0, 1]; active with training=True.

    Flip, rotation, zoom, translation and contrast, each by up to a tenth. `build_datasets(augmented=True)` does the
    same several times faster.
    """
    with seeded(open_room("keras"), seed):
        from matlens.models.keras.augmentation import augmentation_layer

        return augmentation_layer()


def load_model(path: Path | str) -> Any:
    """Open anybody's Keras model file (.h5, .keras) as it is, in safe mode: built-in layers only.

    Its preprocessing is its own: matlens' models take [0, 1]. A .pth goes into `InceptionV1Wrapper.load`.

    Returns:
        A compiled keras.Model, ready for `evaluate_model`.

    Raises:
        ModelError: no such file, not a Keras model, or one with custom or Lambda layers.
    """
    open_room("keras")
    from matlens.models.keras.foreign import open_foreign

    return open_foreign(Path(path))


def _shape(given: Any) -> tuple[int, int, int]:
    """Return an input shape as whole numbers. Raises SettingsError."""
    try:
        height, width, channels = (whole_number(side, "input_shape", 1) for side in given)
        fits = channels == 3
    except (SettingsError, TypeError, ValueError):
        fits = False
    if not fits:
        raise SettingsError(f"input_shape={quoted(given)} is no (height, width, 3) in whole numbers. Give it as: "
                            "input_shape=(224, 224, 3)")
    return height, width, 3


def _transfer(name: str, input_shape: tuple[int, int, int], num_classes: int, include_top: bool, weights: Weights,
              weights_dir: Path | str | None, seed: int, options: Options) -> tuple[Any, Any]:
    """Build a transfer model by its spec: (model, base_model)."""
    input_shape, num_classes = _shape(input_shape), whole_number(num_classes, "num_classes", 1)
    file = _resolved(name, weights, weights_dir, include_top, input_shape, options)
    with seeded(open_room("keras"), seed):
        from matlens.models.keras.transfer import build_transfer

        return build_transfer(spec_of(name), input_shape, num_classes, file, options, include_top)


def _resolved(name: str, weights: Weights, weights_dir: Path | str | None, include_top: bool,
              input_shape: tuple[int, int, int], options: Options) -> Path | str | None:
    """Return a file of weights, None, or Keras' own name (with the ImageNet classes on top, which Keras finds)."""
    if include_top and weights == "auto":
        raise SettingsError("weights='auto' knows weights without the ImageNet classes only; with include_top=True use "
                            "'imagenet', a file, or None.")
    if weights not in ("imagenet", "auto") or include_top:
        return weights
    return weights_for_notebook(name, "auto" if weights == "auto" else "imagenet", weights_dir, options=options,
                                side=input_shape[0])
