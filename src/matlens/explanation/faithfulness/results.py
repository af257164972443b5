"""How faithful a model's heat maps are, as a value that writes and reads itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.simultaneous import Family, group_interval, simultaneous
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
        is, whichever way the measure goes; the error is None of one photo. {low, high, p} hold for all baselines and
        measures together, over independent groups of photos; low and high are None of groups too few for an interval.
    per_class: by true class {n_photos, scores {measure}, gains {baseline: {measure: {mean, standard_error}}}}; a class
        without a photo is left out.
    artifact: SHA-256 of the artifact.json of the model.
    """

    kind: ClassVar[str] = "faithfulness"
    command: ClassVar[tuple[str, ...]] = ("explain", "RUN", "--faithfulness", "30")

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
                    model_name: str, method: str, artifact: str = "", groups: Groups | None = None) -> Faithfulness:
        """Sum up what `measure` gave; labels (N,) are the photos' true classes, `groups` those that they belong to."""
        scores = {kind: of_map.scores for kind, of_map in curves_by_map.items()}

        gain_of = {(baseline, name): (scores[method][name] - scores[baseline][name]) * (
            -1 if name in LOWER_IS_BETTER else 1) for baseline in BASELINES for name in MEASURES}

        def gains(rows: npt.NDArray[np.bool_]) -> dict[str, dict[str, Gain]]:
            return {baseline: {name: _mean_and_error(gain_of[baseline, name][rows]) for name in MEASURES}
                    for baseline in BASELINES}

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
            _with_ends(gains(np.full(len(labels), True)), gain_of, groups or Groups.single(len(labels))), per_class,
            artifact)

    def verdict(self, baseline: str, name: str) -> str:
        """Say better or worse where the gain's interval, for all gains together, leaves out 0, and unclear elsewhere.

        Of files of earlier versions, which hold no interval, it is where the gain is over two standard errors from 0.
        """
        gain = self.gains[baseline][name]
        if "low" in gain:
            low, high = gain["low"], gain["high"]
            return "unclear" if low is None or high is None or low <= 0 <= high else "better" if low > 0 else "worse"
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


def _with_ends(gains: dict[str, dict[str, Gain]], gain_of: Mapping[tuple[str, str], Floats], groups: Groups,
               ) -> dict[str, dict[str, Gain]]:
    """Add to each gain the ends of its interval and its p, which hold for all gains together."""
    sums = groups.sums(np.stack(list(gain_of.values()), axis=1))
    found = simultaneous([Family(sums, tuple((column, None) for column in range(sums.shape[1])))])
    for column, (baseline, name) in enumerate(gain_of):
        interval = group_interval(sums[:, column], groups.sizes, found.reach)
        gains[baseline][name] |= {"low": round(interval.low, 6) if interval else None,
                                  "high": round(interval.high, 6) if interval else None,
                                  "p": round(float(found.p_values[0][column]), 6)}
    return gains
