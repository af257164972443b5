"""How faithful a model's heat maps are, as a value that writes and reads itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from matlens.explanation.faithfulness.curves import (
    CURVES,
    FRACTIONS,
    LOWER_IS_BETTER,
    MEASURES,
    REMOVED,
    MapCurves,
)
from matlens.explanation.on_request import Measurement
from matlens.explanation.registry import BASELINES
from matlens.types import Count, Floats, Labels

Gain = dict[str, float | None]


@dataclass(frozen=True)
class Faithfulness(Measurement):
    """The content of `<name>_faithfulness.json`.

    curves: by map (the method's name, random, centre) and curve (deletion, insertion, most_first, least_first) the mean
        probability of the explained class, at `fractions` or, of the last two, at `removed`.
    scores: by map and measure (deletion, insertion, road) the mean over photos.
    gains: by baseline and measure {mean, standard_error} over photos of how much better the map is, positive where it
        is, whichever way the measure goes; the error is None of one photo.
    per_class: by true class {n_photos, scores {measure}, gains {baseline: {measure: {mean, standard_error}}}}; a class
        without a photo is left out.
    artifact: SHA-256 of the artifact.json of the model.
    """

    kind: ClassVar[str] = "faithfulness"
    command: ClassVar[str] = "matlens explain {run} --faithfulness 30"

    model_name: str
    method: str
    n_photos: Count
    fractions: tuple[float, ...]
    removed: tuple[float, ...]
    curves: dict[str, dict[str, list[float]]]
    scores: dict[str, dict[str, float]]
    gains: dict[str, dict[str, Gain]]
    per_class: dict[str, dict[str, Any]]
    artifact: str = ""

    @classmethod
    def from_curves(cls, curves_by_map: Mapping[str, MapCurves], labels: Labels, class_names: Sequence[str],
                    model_name: str, method: str, artifact: str = "") -> Faithfulness:
        """Sum up what `measure` gave; labels (N,) are the photos' true classes."""
        scores = {kind: of_map.scores for kind, of_map in curves_by_map.items()}

        def gains(rows: npt.NDArray[np.bool_]) -> dict[str, dict[str, Gain]]:
            return {baseline: {name: _mean_and_error(
                (scores[method][name] - scores[baseline][name])[rows] * (-1 if name in LOWER_IS_BETTER else 1))
                for name in MEASURES} for baseline in BASELINES}

        per_class = {}
        for number, class_name in enumerate(class_names):
            rows = labels == number
            if rows.any():
                per_class[class_name] = {
                    "n_photos": int(rows.sum()), "gains": gains(rows),
                    "scores": {name: round(float(scores[method][name][rows].mean()), 6) for name in MEASURES}}
        return cls(
            model_name, method, len(labels), FRACTIONS, REMOVED,
            {kind: {curve: [round(float(value), 6) for value in of_map.curves[curve].mean(axis=0)] for curve in CURVES}
             for kind, of_map in curves_by_map.items()},
            {kind: {name: round(float(values.mean()), 6) for name, values in of_map.items()}
             for kind, of_map in scores.items()},
            gains(np.full(len(labels), True)), per_class, artifact)

    def verdict(self, baseline: str, name: str) -> str:
        """Say better or worse where the gain is more than two standard errors from 0, and unclear elsewhere."""
        gain = self.gains[baseline][name]
        mean, error = gain["mean"], gain["standard_error"]
        if mean is None or error is None or abs(mean) <= 2 * error:
            return "unclear"
        return "better" if mean > 0 else "worse"

    @property
    def summary(self) -> dict[str, Any]:
        """The part that goes into the results of the model."""
        return {"method": self.method, "n_photos": self.n_photos, "scores": self.scores, "gains": self.gains}


def _mean_and_error(values: Floats) -> Gain:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": round(float(values.mean()), 6), "standard_error": None if error is None else round(error, 6)}
