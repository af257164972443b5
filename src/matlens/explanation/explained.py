"""Explain photos with any method, whatever holds the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matlens.explanation.explainer import Explainable, Explainer, Question, as_pixels
from matlens.explanation.overlay import overlay_heatmap
from matlens.types import Array, Pixels


@dataclass(frozen=True)
class ExplainedPhoto:
    """A photo (H, W, 3) uint8, the overlay of its heat map, and what the model said; truth None if unknown.

    heat: (h, w) float32 in [0, 1], the heat map itself. With 1 x 1 there is nothing to locate, and the overlay is the
        photo.
    """

    photo: Pixels
    overlay: Pixels
    predicted: str
    probability: float
    heat: Array
    truth: str | None = None


def explain_photos(model: Explainable, photos: Pixels | Array, class_names: Sequence[str],
                   truths: Sequence[str | None], method: Explainer, question: Question, *, alpha: float = 0.4,
                   says_target: bool = False) -> list[ExplainedPhoto]:
    """Explain photos (N, H, W, 3), uint8 or float32 in [0, 1].

    Args:
        truths: (N,) the photos' true classes, as far as they are known.
        alpha: the share of the heat map's colours in the overlays.
        says_target: name the class that is explained and its probability, not the answer.
    """
    maps, probabilities = method.maps(model, photos, question)
    said = question.classes(probabilities) if says_target else probabilities.argmax(axis=1)
    return [ExplainedPhoto(photo, overlay_heatmap(heat, photo, alpha) if heat.size > 1 else photo,
                           class_names[number], float(row[number]), heat, truth)
            for photo, heat, number, row, truth in zip(as_pixels(photos), maps, said, probabilities, truths,
                                                       strict=True)]
