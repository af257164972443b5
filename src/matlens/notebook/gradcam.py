"""The guide's Grad-CAM functions, for models that a notebook holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matlens.data.batches import as_photos_and_labels, refuse_other_length, source_of
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.values import as_floats, as_pixels
from matlens.errors import DataError, ModelError
from matlens.evaluation.labels_and_scores import class_numbers
from matlens.explanation.explained import ExplainedPhoto, explain_photos
from matlens.explanation.explainer import Explainer, Question
from matlens.explanation.grid import plot_explained_grid
from matlens.explanation.overlay import overlay_heatmap
from matlens.explanation.registry import DEFAULT_METHOD, EXPLAINERS, question_for
from matlens.models.capabilities.attention import Attention, attention_of
from matlens.models.head import Head
from matlens.models.protocol import Classifier
from matlens.notebook.adapters import classifier_of, refuse_other_size
from matlens.notebook.class_names import names_for
from matlens.notebook.photos import taken_range
from matlens.settings.arguments import number_from, whole_number
from matlens.settings.knobs import notebook_setting
from matlens.types import Array, Labels, Pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class NotebookModel:
    """A notebook's model, explained at a layer; by default at the last before pooling.

    top: the largest value of the photos that it takes, 1 or 255; it is asked about photos in [0, 1].
    """

    classifier: Classifier
    layer: str | None = None
    top: int = 1

    @cached_property
    def head(self) -> Head | None:
        """The model's head, for gradients in closed form; None at another layer, and of a model that cannot be cut."""
        if self.layer not in (None, self.classifier.last_conv_layer_name):
            return None
        try:
            return self.classifier.head()
        except ModelError:  # a model of somebody else's, which the framework can differentiate all the same
            return None

    def features(self, images: Array) -> Array:
        """Return the trunk's feature maps, (B, h, w, K)."""
        return self.classifier.features(self._as_taken(images))

    def predict(self, images: Array, of_photos: Array | None = None) -> Array:
        """Return probabilities (B, C)."""
        return self.classifier.predict(self._as_taken(images)) if of_photos is None else of_photos

    def gradients(self, photos: Pixels | Array, classes: Labels, heat: Callable[[Array, Array], Array]) -> Array:
        """Differentiate the logits in the framework, in this process."""
        layer = self.layer or self.classifier.last_conv_layer_name
        images = self._as_taken(np.asarray(photos, np.float32))
        return heat(*self.classifier.features_and_gradients(images, classes, layer))

    def attention(self, photos: Pixels | Array, heat: Callable[[Attention], Array]) -> Array:
        """Read what tokens attend to in the framework, in this process. Raises ModelError."""
        return heat(attention_of(self.classifier, self._as_taken(np.asarray(photos, np.float32)), "the model"))

    def _as_taken(self, images: Array) -> Array:
        return images if self.top == 1 else np.asarray(images * np.float32(self.top), np.float32)


def get_last_conv_layer_name(model: Any) -> str:
    """Name the layer whose output Grad-CAM looks at: the last before pooling, activation included.

    Backbones inside of a model are looked into: `block5_conv4` (VGG19), `conv5_block3_out` (ResNet50), `out_relu`
    (MobileNetV2), `inception5b` (GoogLeNet).

    Raises:
        ModelError: no Keras model or InceptionV1Wrapper, or one without feature maps.
    """
    return classifier_of(model).last_conv_layer_name


def make_gradcam_heatmap(img_array: Any, model: Any, last_conv_layer_name: str | None = None,
                         pred_index: int | None = None, *, method: str = DEFAULT_METHOD) -> Array:
    """Show where in a photo the score of a class comes from (Grad-CAM, Selvaraju et al. 2017).

    The score is the class logit. At the model's own last layer its gradient is that of the head, in closed form; at any
    other layer the framework differentiates.

    Args:
        img_array: one photo, (H, W, 3) or (1, H, W, 3), float in [0, 1] or uint8.
        last_conv_layer_name: by default `get_last_conv_layer_name(model)`.
        pred_index: the class to explain; by default the most probable.
        method: the name of a registered explanation method. One that only asks for answers (a plug-in, such as RISE)
            explains the probability, and takes no layer.

    Returns:
        (h, w) float32 in [0, 1], h x w the size of the layer's feature map; all 0 where nothing speaks for the class.

    Raises:
        ModelError: no such layer, or no such class.
        DataError: not one photo.
        SettingsError: no such method, or one that looks at no layer.
    """
    explained = _notebook_model(model, last_conv_layer_name)
    photos = _as_photo(img_array, explained.top)[None]
    explainer, question = _asked(explained, photos, method, pred_index)
    maps, _ = explainer.maps(explained, photos, question)
    return np.asarray(maps[0])


def visualize_gradcam(model: Any, image: Any, class_names: Sequence[str] | None = None,
                      last_conv_layer_name: str | None = None, pred_index: int | None = None, alpha: float = 0.4,
                      save_path: str | Path | None = None, *, model_name: str = "", method: str = DEFAULT_METHOD,
                      ) -> Figure:
    """Draw one photo beside its heat map, with the answer and its probability.

    Args:
        image: a file, or an array as in `make_gradcam_heatmap`.
        class_names: by default the model's own, which it has from its training, else numbers.
        alpha: the share of the heat map's colours.
        save_path: where to write the picture, if anywhere.
        model_name, method: the picture's heading, and as in `make_gradcam_heatmap`.

    Raises:
        DataError, ModelError, SettingsError: as in `make_gradcam_heatmap`; a file that cannot be read.
    """
    explained = _notebook_model(model, last_conv_layer_name)
    if isinstance(image, str | Path):
        image = PhotoReader(explained.classifier.input_size or notebook_setting("img_size")).read(Path(image))
    names = names_for(explained.classifier.num_classes, class_names, model)
    photos = _as_photo(image, explained.top)[None]
    shown = _explained(explained, photos, [None], names, method, pred_index, alpha)
    return _drawn(shown, model_name, save_path, method)


def visualize_gradcam_samples(model: Any, dataset: Iterable[Any], class_names: Sequence[str] | None = None,
                              num_samples: int = 8, last_conv_layer_name: str | None = None, alpha: float = 0.4,
                              save_path: str | Path | None = None, *, model_name: str = "",
                              method: str = DEFAULT_METHOD) -> Figure:
    """Draw photos of a dataset beside their heat maps, the classes in turn; mistakes are named in red.

    Args:
        dataset: what `build_datasets` returns, or any iterable of (images, one-hot labels) batches.
        class_names: by default the model's own, or the dataset's.
        num_samples: how many photos.
        method: as in `make_gradcam_heatmap`.

    Raises:
        DataError: no photos.
        ModelError, SettingsError: as in `make_gradcam_heatmap`.
    """
    explained = _notebook_model(model, last_conv_layer_name)
    names = names_for(explained.classifier.num_classes, class_names, model, dataset)
    photos, truths = _samples(source_of(dataset, "dataset"), num_samples, names, explained.top)
    shown = _explained(explained, photos, truths, names, method, None, alpha)
    return _drawn(shown, model_name, save_path, method)


def _notebook_model(model: Any, layer: str | None) -> NotebookModel:
    """Return a model that can be explained. Raises ModelError."""
    classifier = classifier_of(model)
    if classifier.num_classes == 1:
        raise ModelError("This model has one output for two classes, and Grad-CAM explains one output of several. "
                         "Build it with two: keras.layers.Dense(2, activation='softmax')")
    return NotebookModel(classifier, layer, taken_range(model).top or 1)


def _asked(explained: NotebookModel, photos: Array, method: str, class_number: int | None,
           ) -> tuple[Explainer, Question]:
    """Refuse what cannot be explained, and put the question to the method."""
    classifier = explained.classifier
    refuse_other_size(classifier, photos)
    if class_number is not None and not 0 <= whole_number(class_number, "pred_index") < classifier.num_classes:
        raise ModelError(f"pred_index={class_number}: the model has the classes 0 to {classifier.num_classes - 1}.")
    explainer = EXPLAINERS[method]
    return explainer, question_for(explainer, class_number, layer=explained.layer)


def _explained(explained: NotebookModel, photos: Array, truths: Sequence[int | None], names: Sequence[str],
               method: str, class_number: int | None, alpha: float) -> list[ExplainedPhoto]:
    """Explain photos (N, H, W, 3); the class that is explained stands below each.

    Raises SettingsError for an `alpha` that is no share.
    """
    number_from(alpha, "alpha", 0, 1)
    explainer, question = _asked(explained, photos, method, class_number)
    return explain_photos(explained, photos, names,
                          [None if truth is None else names[truth] for truth in truths], explainer, question,
                          overlay=partial(overlay_heatmap, alpha=alpha), says_target=True)


def _drawn(explained: Sequence[ExplainedPhoto], model_name: str, save_path: str | Path | None, method: str) -> Figure:
    path = Path(save_path) if save_path is not None else None
    return plot_explained_grid(explained, EXPLAINERS[method].title, model_name, path)


def _samples(batches: Iterable[Any], wanted: int, names: Sequence[str], top: int) -> tuple[Array, list[int]]:
    """Take `wanted` photos (N, H, W, 3) with their class numbers, one of each class in turn, in one pass."""
    if whole_number(wanted, "num_samples") < 1:
        raise DataError(f"num_samples={wanted}: at least one photo is needed.")
    by_class: dict[int, list[Pixels]] = {}
    for batch in batches:
        images, labels = as_photos_and_labels(batch, "dataset")
        numbers = class_numbers(labels, "dataset", names)
        refuse_other_length(images, numbers, "dataset")
        for index, number in enumerate(numbers.tolist()):
            of_class = by_class.setdefault(number, [])
            if len(of_class) < wanted:
                of_class.append(as_pixels(_as_photo(images[index], top)))
    turns = sorted((turn, number) for number, of_class in by_class.items() for turn in range(len(of_class)))[:wanted]
    if not turns:
        raise DataError("The dataset gave no photo to explain.")
    chosen = sorted((number, turn) for turn, number in turns)
    photos = as_floats(np.stack([by_class[number][turn] for number, turn in chosen]))
    return photos, [number for number, _ in chosen]


def _as_photo(given: Any, top: int = 1) -> Array:
    """Return one photo as (H, W, 3) float32 in [0, 1]; top: the largest value that it may have. Raises DataError."""
    try:
        array = np.asarray(given)
    except ValueError:  # rows of several lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biufV":
        raise DataError(f"A {type(given).__name__} that holds no array of numbers is no photo. Give an array "
                        "(H, W, 3), such as: numpy.asarray(PIL.Image.open(FILE).convert('RGB'))")
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim != 3 or array.shape[-1] != 3:
        raise DataError(f"One photo must be (H, W, 3) or (1, H, W, 3), not of shape {array.shape}.")
    if array.dtype == np.uint8:
        return as_floats(array)
    photo = np.asarray(array, dtype=np.float32)
    if top == 255 and photo.max(initial=0) > 1 + 1e-3:
        photo = photo / np.float32(255)
    if not (np.isfinite(photo).all() and photo.min() >= -1e-3 and photo.max() <= 1 + 1e-3):
        raise DataError("A photo of floats must be in [0, 1]; give uint8 for [0, 255].")
    return np.clip(photo, 0, 1)
