"""What an explanation method gives, and what it needs of a model.

A method is a class with a name and a title that overrides one function:

- a gradient method (`GradientMethod`) goes from feature maps and a score's gradients there to evidence;
- a forward-only method (`ForwardMethod`) gets a function that predicts, and a photo, and gives evidence;
- a method of vision transformers (`AttentionMethod`) gets what their tokens attend to, and gives evidence.

Evidence is above 0 where a place speaks for the class and below 0 where it speaks against it. What speaks against the
class is cut off, and each map is divided by its largest value. `matlens.explanation.registry` registers methods.
"""

from __future__ import annotations

import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matlens.data.pixels.values import as_floats, as_pixels
from matlens.errors import MatlensError, ResultsError
from matlens.explanation.layer_gradients import AtHead, ByFramework, LayerGradients
from matlens.models.capabilities.attention import Attention
from matlens.models.head import AnyHead, Score, softmax
from matlens.system.registry import LAST
from matlens.types import Array, Labels, Pixels

_BATCH = 16


@dataclass(frozen=True)
class Question:
    """Which score of which class to explain.

    target: the number of the class; None asks for each photo's answer, its most probable class.
    score: the class logit, or its probability: then what speaks for other classes speaks against this one.
    """

    target: int | None = None
    score: Score = "logit"

    def classes(self, probabilities: Array) -> Labels:
        """Return the class to explain for each photo, (B,), from the photos' probabilities (B, C)."""
        if self.target is None:
            return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
        return np.full(len(probabilities), self.target, dtype=np.int64)


class Explainable(Protocol):
    """A model that can be explained, at one of its layers. Images are (B, H, W, 3) float32 in [0, 1]."""

    @property
    def head(self) -> AnyHead | None:
        """What follows the layer, for gradients in closed form; None where the framework must differentiate."""

    def features(self, images: Array) -> Array:
        """Return the feature maps that go into `head`, (B, h, w, K)."""

    def predict(self, images: Array, of_photos: Array | None = None) -> Array:
        """Return probabilities (B, C). of_photos: those that the head gave for the images, if they are known."""

    def gradients(self, photos: Pixels | Array, classes: Labels, heat: Callable[[Array, Array], Array]) -> Array:
        """Let the framework differentiate the logits of `classes` (N,), and return the heat maps that `heat` makes.

        heat: from the layer's feature maps and the gradients there, both (B, h, w, K), to heat maps (B, h, w). It is
        called batch by batch, so that the gradients of all photos need not fit into memory at once.
        """

    def attention(self, photos: Pixels | Array, heat: Callable[[Attention], Array]) -> Array:
        """Let the framework tell what the tokens of photos (N, H, W, 3) attend to; return the heat maps of `heat`.

        heat: from the attention of some photos to heat maps (B, h, w). It is called batch by batch, too.

        Raises ModelError where the model is no vision transformer, or its attention cannot be read.
        """


class Explainer(ABC):
    """An explanation method. Option checks, titles, help and faithfulness follow from these attributes.

    name: by which it is asked for, and which stands in the names of its pictures.
    title: for people.
    source: the paper.
    scores: what of a class it can explain; the first is what it explains unless it is asked for another.
    uses_layer: whether it looks at a layer, so that another one can be chosen.
    uses_class: whether its maps depend on the class that is explained.
    predictions_per_photo: what a heat map costs, beside the prediction that says which class to explain.
    rank: where it stands in lists.
    """

    name: str = ""
    title: str = ""
    source: str = ""
    scores: tuple[Score, ...] = ("logit", "probability")
    uses_layer: bool = True
    uses_class: bool = True
    predictions_per_photo: int = 0
    rank: int = LAST

    @abstractmethod
    def maps(self, model: Explainable, photos: Pixels | Array, question: Question) -> tuple[Array, Array]:
        """Make a heat map of each photo.

        Args:
            photos: (N, H, W, 3) uint8, or float32 in [0, 1].

        Returns:
            Heat maps (N, h, w) float32 in [0, 1], the largest value of each map 1, all 0 where nothing speaks for the
            class; and the probabilities (N, C) float32 of the photos.
        """


class GradientMethod(Explainer):
    """A method that needs gradients: override `evidence`."""

    @abstractmethod
    def evidence(self, features: Array, gradients: Array) -> Array:
        """Return evidence (B, h, w) from feature maps and the score's gradients there, both (B, h, w, K)."""

    def evidence_at(self, layer: LayerGradients) -> Array:
        """Return evidence (B, h, w). Override it where a method needs less than the gradient at each place."""
        return self.evidence(layer.features, layer.gradients())

    def heat(self, layer: LayerGradients) -> Array:
        """Return heat maps (B, h, w) of photos at a layer."""
        with _said_of(self):
            evidence = self.evidence_at(layer)
        if np.ndim(evidence) != 3 or len(evidence) != len(layer.features):
            raise _misshapen(self, evidence, "(B, h, w)")
        return scaled(evidence)

    def maps(self, model: Explainable, photos: Pixels | Array, question: Question) -> tuple[Array, Array]:
        """Make a heat map of each photo; where the model has its head at hand, from one forward pass."""
        if model.head is None:
            answers = _answers(model, photos)
            maps = model.gradients(photos, question.classes(answers),
                                   lambda features, gradients: self.heat(ByFramework(features, gradients)))
            return maps, answers
        heat, probabilities = [], []
        for images in _batches(photos):
            features = model.features(images)
            values = model.head.forward(features)
            probabilities.append(model.predict(images, softmax(values[-1])))
            classes = question.classes(probabilities[-1])
            heat.append(self.heat(AtHead(features, model.head, values, classes, question.score)))
        return np.concatenate(heat), np.concatenate(probabilities)


class ForwardMethod(Explainer):
    """A method that only asks the model for answers: override `evidence`, and say what it costs."""

    scores: tuple[Score, ...] = ("probability",)
    uses_layer = False

    @abstractmethod
    def evidence(self, predict: Callable[[Array], Array], photo: Array, rng: np.random.Generator) -> Array:
        """Return evidence (h, w), of any size that is the same for photos of one size.

        Args:
            predict: from images (B, H, W, 3) float32 in [0, 1] to the probabilities (B,) of the class to explain.
            photo: (H, W, 3) float32 in [0, 1].
            rng: seeded by the photo's content and the method's name, so that a photo always has the same map.
        """

    def maps(self, model: Explainable, photos: Pixels | Array, question: Question) -> tuple[Array, Array]:
        """Make a heat map of each photo from the model's answers alone."""
        answers = _answers(model, photos)
        maps = []
        for photo, number in zip(photos, question.classes(answers).tolist(), strict=True):
            def predict(images: Array, number: int = number) -> Array:
                return _answers(model, images)[:, number]

            with _said_of(self):
                maps.append(np.asarray(self.evidence(predict, as_floats(photo), self._generator(photo))))
            if maps[-1].ndim != 2 or maps[-1].shape != maps[0].shape:
                raise _misshapen(self, maps[-1], "(h, w), the same for all photos of one size")
            if not np.isfinite(maps[-1]).all():
                raise ResultsError(f"The explanation method {self.name} gives evidence that is not finite. {_MEND}")
        return scaled(np.stack(maps)), answers

    def _generator(self, photo: Pixels | Array) -> np.random.Generator:
        digest = hashlib.sha256(as_pixels(photo).tobytes()).digest()
        return np.random.default_rng([int.from_bytes(digest[:8], "big"), zlib.crc32(self.name.encode())])


class AttentionMethod(Explainer):
    """A method that asks what the tokens of a vision transformer attend to: override `evidence`."""

    uses_layer = False
    uses_class = False

    @abstractmethod
    def evidence(self, attention: Attention) -> Array:
        """Return what each token tells, (B, T), from the attention of B photos."""

    def heat(self, attention: Attention) -> Array:
        """Return heat maps (B, h, w) of photos: what their patches tell."""
        with _said_of(self):
            evidence = np.asarray(self.evidence(attention), np.float32)
        count, (height, width) = len(attention.blocks), attention.grid
        if evidence.shape != (count, len(attention.pooled)):
            raise _misshapen(self, evidence, "(B, T)")
        return scaled(evidence[:, -height * width:].reshape(count, height, width))

    def maps(self, model: Explainable, photos: Pixels | Array, question: Question) -> tuple[Array, Array]:
        """Make a heat map of each photo, the same whichever class is asked about."""
        return model.attention(photos, self.heat), _answers(model, photos)


_MEND = "Fix it, or take its file out of MATLENS_PLUGINS."


@contextmanager
def _said_of(method: Explainer) -> Iterator[None]:
    """Raise ResultsError, which names the method, where its evidence cannot be computed."""
    try:
        yield
    except (MatlensError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ResultsError(f"The explanation method {method.name} fails ({type(error).__name__}: {error}). {_MEND}"
                           ) from error


def _misshapen(method: Explainer, evidence: Array, due: str) -> ResultsError:
    return ResultsError(f"The explanation method {method.name} gives evidence of the shape {np.shape(evidence)}, not "
                        f"{due}. {_MEND}")


def weighted(features: Array, weights: Array) -> Array:
    """Sum channels (B, h, w, K) by weights (B, K): (B, h, w)."""
    return np.asarray(np.einsum("bhwk,bk->bhw", features, weights), dtype=np.float32)


def scaled(evidence: Array) -> Array:
    """Cut off evidence (B, h, w) below 0, and divide each map by its largest value."""
    maps = np.maximum(evidence, 0)
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0), dtype=np.float32)


def _batches(photos: Pixels | Array) -> Iterator[Array]:
    for start in range(0, len(photos), _BATCH):
        yield as_floats(photos[start:start + _BATCH])


def _answers(model: Explainable, photos: Pixels | Array) -> Array:
    """Return probabilities (N, C)."""
    return np.concatenate([model.predict(images) for images in _batches(photos)])
