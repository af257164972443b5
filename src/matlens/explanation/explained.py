"""Explain photos with any method, whatever holds the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matlens.data.pixels.values import as_pixels
from matlens.explanation.explainer import Explainable, Explainer, Question
from matlens.explanation.overlay import overlay_heatmap
from matlens.types import Array, Pixels


@dataclass(frozen=True)
class ExplainedPhoto:
    """A photo (H, W, 3) uint8, the overlay of its heat map, and what the model said; truth None if unknown.

    heat: (h, w) float32 in [0, 1], the heat map itself. With 1 x 1 there is nothing to locate, and the overlay is the
        photo.
    name: of the photo's file; empty where it has none.
    """

    photo: Pixels
    overlay: Pixels
    predicted: str
    probability: float
    heat: Array
    truth: str | None = None
    name: str = ""


def explain_photos(model: Explainable, photos: Pixels | Array, class_names: Sequence[str],
                   truths: Sequence[str | None], method: Explainer, question: Question, *,
                   overlay: Callable[[Array, Pixels], Pixels] = overlay_heatmap, says_target: bool = False,
                   names: Sequence[str] = ()) -> list[ExplainedPhoto]:
    """Explain photos (N, H, W, 3), uint8 or float32 in [0, 1].

    Args:
        truths: (N,) the photos' true classes, as far as they are known.
        overlay: lays a heat map (h, w) over a photo (H, W, 3) uint8.
        says_target: name the class that is explained and its probability, not the answer.
        names: (N,) of the photos' files; without them photos have no names.
    """
    maps, probabilities = method.maps(model, photos, question)
    said = question.classes(probabilities) if says_target else probabilities.argmax(axis=1)
    return [ExplainedPhoto(photo, overlay(heat, photo) if heat.size > 1 else photo,
                           class_names[number], float(row[number]), heat, truth, name)
            for photo, heat, number, row, truth, name in zip(
                as_pixels(photos), maps, said, probabilities, truths, names or [""] * len(truths), strict=True)]
