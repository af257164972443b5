"""The guide's Grad-CAM functions, for models that a notebook holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from matlens.data.batches import source_of
from matlens.data.pixels.reader import PhotoReader
from matlens.errors import DataError, ModelError
from matlens.explanation.displays import plot_gradcam_grid
from matlens.explanation.explain import Explained
from matlens.explanation.gradcam import from_gradients, heatmaps, overlay_heatmap
from matlens.models.head import softmax
from matlens.models.protocol import Classifier
from matlens.notebook.adapters import classifier_of, refuse_other_size
from matlens.notebook.label_space import class_names_for
from matlens.settings.knobs import notebook_settings
from matlens.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure



def get_last_conv_layer_name(model: Any) -> str:
    """The layer whose output Grad-CAM looks at: the last before pooling, activation included.

    Backbones inside of a model are looked into: `block5_conv4` (VGG19), `conv5_block3_out` (ResNet50), `out_relu`
    (MobileNetV2), `inception5b` (GoogLeNet).

    Raises:
        ModelError: no Keras model or InceptionV1Wrapper, or one without feature maps.
    """
    return classifier_of(model).last_conv_layer_name


def make_gradcam_heatmap(img_array: Any, model: Any, last_conv_layer_name: str | None = None,
                         pred_index: int | None = None) -> Array:
    """Where in a photo the score of a class comes from (Grad-CAM, Selvaraju et al. 2017).

    The score is the class logit. At the model's own last layer its gradient is that of the head, in closed form; at any
    other layer the framework differentiates.

    Args:
        img_array: one photo, (H, W, 3) or (1, H, W, 3), float in [0, 1] or uint8.
        last_conv_layer_name: by default `get_last_conv_layer_name(model)`.
        pred_index: the class to explain; by default the most probable.

    Returns:
        (h, w) float32 in [0, 1], h x w the size of the layer's feature map; all 0 where nothing speaks for the class.

    Raises:
        ModelError: no such layer, or no such class.
        DataError: not one photo.
    """
    photo = _as_photo(img_array)
    maps, _, _ = _explained(classifier_of(model), photo[None], last_conv_layer_name, pred_index)
    return np.asarray(maps[0])


def visualize_gradcam(model: Any, image: Any, class_names: Sequence[str] | None = None,
                      last_conv_layer_name: str | None = None, pred_index: int | None = None, alpha: float = 0.4,
                      save_path: str | Path | None = None, *, model_name: str = "") -> Figure:
    """Draw one photo beside its heat map, with the answer and its probability.

    Args:
        image: a file, or an array as in `make_gradcam_heatmap`.
        class_names: by default those of the prepared directory at hand, else numbers.
        alpha: the share of the heat map's colours.
        save_path: where to write the picture, if anywhere.

    Raises:
        DataError, ModelError: as in `make_gradcam_heatmap`; a file that cannot be read.
    """
    classifier = classifier_of(model)
    photo = _read(Path(image), classifier) if isinstance(image, str | Path) else _as_photo(image)
    return plot_gradcam_grid(
        _as_explained(classifier, photo[None], [None], class_names, last_conv_layer_name, pred_index, alpha),
        model_name, Path(save_path) if save_path is not None else None)


def visualize_gradcam_samples(model: Any, dataset: Iterable[Any], class_names: Sequence[str] | None = None,
                              num_samples: int = 8, last_conv_layer_name: str | None = None, alpha: float = 0.4,
                              save_path: str | Path | None = None, *, model_name: str = "") -> Figure:
    """Draw photos of a dataset beside their heat maps, the classes in turn; mistakes are named in red.

    Args:
        dataset: what `build_datasets` returns, or any iterable of (images, one-hot labels) batches.
        class_names: by default the dataset's.
        num_samples: how many photos.

    Raises:
        DataError: no photos.
        ModelError: as in `make_gradcam_heatmap`.
    """
    photos, truths = _samples(source_of(dataset), num_samples)
    names = class_names or getattr(dataset, "class_names", None)
    return plot_gradcam_grid(
        _as_explained(classifier_of(model), photos, truths, names, last_conv_layer_name, None, alpha),
        model_name, Path(save_path) if save_path is not None else None)


def _explained(classifier: Classifier, photos: Array, layer: str | None, class_number: int | None,
               ) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Heat maps (B, h, w), the classes explained (B,), and all probabilities (B, C)."""
    refuse_other_size(classifier, photos)
    own = layer is None or layer == classifier.last_conv_layer_name
    head = features = values = None
    if own:
        try:
            head = classifier.head()
            features = classifier.features(photos)
            values = head.forward(features)
        except ModelError:  # a model of somebody else's, that cannot be cut: the framework differentiates
            layer = classifier.last_conv_layer_name
    probabilities = classifier.predict(photos) if values is None else softmax(values[-1])
    if class_number is not None and not 0 <= class_number < probabilities.shape[1]:
        raise ModelError(f"pred_index={class_number}: the model has the classes 0 to {probabilities.shape[1] - 1}.")
    classes = probabilities.argmax(axis=1) if class_number is None else np.full(len(photos), class_number)
    if head is not None and features is not None:
        return heatmaps(features, head, classes, values), classes, probabilities
    assert layer is not None
    return from_gradients(*classifier.features_and_gradients(photos, classes, layer)), classes, probabilities


def _as_explained(classifier: Classifier, photos: Array, truths: Sequence[int | None],
                  class_names: Sequence[str] | None, layer: str | None, class_number: int | None, alpha: float,
                  ) -> list[Explained]:
    maps, classes, probabilities = _explained(classifier, photos, layer, class_number)
    number = probabilities.shape[1]
    names = class_names_for(number, class_names)
    if len(names) != number:
        raise ModelError(f"{len(names)} class names for a model of {number} classes.")
    height, width = maps.shape[1:]
    shown = [(photo * 255).round().astype(np.uint8) for photo in photos]
    return [Explained(photo, overlay_heatmap(heat, photo, alpha) if height * width > 1 else photo, names[chosen],
                      float(row[chosen]), (height, width), None if truth is None else names[truth])
            for photo, heat, chosen, row, truth in zip(shown, maps, classes, probabilities, truths, strict=True)]


def _samples(batches: Iterable[Any], wanted: int) -> tuple[Array, list[int]]:
    """So many photos (N, H, W, 3) with their class numbers, one of each class in turn, in one pass."""
    if wanted < 1:
        raise DataError(f"num_samples={wanted}: at least one photo is needed.")
    by_class: dict[int, list[npt.NDArray[np.uint8]]] = {}
    for images, labels in batches:
        for index, number in enumerate(np.asarray(labels).argmax(axis=1).tolist()):
            kept = by_class.setdefault(number, [])
            if len(kept) < wanted:
                kept.append((_as_photo(images[index]) * 255).round().astype(np.uint8))
    turns = sorted((turn, number) for number, kept in by_class.items() for turn in range(len(kept)))[:wanted]
    if not turns:
        raise DataError("The dataset gave no photo to explain.")
    chosen = sorted(turns, key=lambda each: (each[1], each[0]))
    photos = np.stack([by_class[number][turn] for turn, number in chosen]).astype(np.float32) / np.float32(255)
    return photos, [number for _, number in chosen]


def _as_photo(given: Any) -> Array:
    array = np.asarray(given)
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim != 3 or array.shape[-1] != 3:
        raise DataError(f"One photo must be (H, W, 3) or (1, H, W, 3), not of shape {array.shape}.")
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    photo = np.asarray(array, dtype=np.float32)
    if not (np.isfinite(photo).all() and photo.min() >= -1e-3 and photo.max() <= 1 + 1e-3):
        raise DataError("A photo of floats must be in [0, 1]; give uint8 for [0, 255].")
    return np.clip(photo, 0, 1)


def _read(file: Path, classifier: Classifier) -> Array:
    pixels = PhotoReader(classifier.input_size or notebook_settings().img_size).read(file)
    return pixels.astype(np.float32) / np.float32(255)
