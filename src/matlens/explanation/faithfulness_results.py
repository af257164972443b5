"""What was found of a model's heat maps: a value that writes and reads itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError, ResultsError
from matlens.evaluation.choice import drawn_evenly
from matlens.explanation.explain import How, heat_of, read_for
from matlens.explanation.faithfulness import (
    BASELINES,
    CURVES,
    FRACTIONS,
    LOWER_IS_BETTER,
    MEASURES,
    REMOVED,
    Measured,
    measure,
)
from matlens.explanation.methods import MethodName
from matlens.features.artifact import Artifact
from matlens.runs.run import Run
from matlens.system.files import checksum, read_json, write_json

Gain = dict[str, float | None]


@dataclass(frozen=True)
class Faithfulness:
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

    model_name: str
    method: str
    n_photos: int
    fractions: tuple[float, ...]
    removed: tuple[float, ...]
    curves: dict[str, dict[str, list[float]]]
    scores: dict[str, dict[str, float]]
    gains: dict[str, dict[str, Gain]]
    per_class: dict[str, dict[str, Any]]
    artifact: str = ""

    @classmethod
    def from_measured(cls, measured: Mapping[str, Measured], labels: npt.NDArray[np.int64], class_names: Sequence[str],
                      model_name: str, method: str, artifact: str = "") -> Faithfulness:
        """Sum up what `measure` gave; labels (N,) are the photos' true classes."""
        scores = {each: one.scores for each, one in measured.items()}

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
            {each: {curve: [round(float(value), 6) for value in one.curves[curve].mean(axis=0)] for curve in CURVES}
             for each, one in measured.items()},
            {each: {name: round(float(values.mean()), 6) for name, values in of_map.items()}
             for each, of_map in scores.items()},
            gains(np.full(len(labels), True)), per_class, artifact)

    def verdict(self, baseline: str, name: str) -> str:
        """better, worse or unclear: whether the gain is more than two standard errors from 0."""
        gain = self.gains[baseline][name]
        mean, error = gain["mean"], gain["standard_error"]
        if mean is None or error is None or abs(mean) <= 2 * error:
            return "unclear"
        return "better" if mean > 0 else "worse"

    @property
    def summary(self) -> dict[str, Any]:
        """What goes into the results of the model."""
        return {"method": self.method, "n_photos": self.n_photos, "scores": self.scores, "gains": self.gains}

    def write(self, path: Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, {"format": 1, **dataclasses.asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Faithfulness:
        """Read what `write` wrote. Raises ResultsError."""
        try:
            content = read_json(path)
            del content["format"]
            return cls(**content | {key: tuple(content[key]) for key in ("fractions", "removed")})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultsError(f"{path.name} is missing or damaged ({error}). Make it with: matlens explain "
                                 f"{path.parent.parent} --faithfulness 30") from error


def judge_heat_maps(folder: Run, name: str, n: int, method: MethodName = "gradcam",
                    on_progress: Callable[[int, int], None] = lambda done, total: None) -> Faithfulness:
    """Measure a model's heat maps on up to `n` test photos, drawn from the classes in turn, and keep what was found.

    Raises:
        ModelError: the feature map has one place, so there is nothing to rank.
        DataError or ResultsError: what is there cannot be read.
    """
    split, settings = folder.split, folder.settings
    artifact = Artifact.open(folder.paths.artifact(name))
    every = split.part("test")
    labels = split.labels(every)
    chosen = drawn_evenly(labels, n, settings.seed)
    photos = np.stack([read_for(artifact, folder.data_root / every[index].path,
                                keep_truncated=settings.keep_truncated) for index in chosen])
    heat, probabilities = heat_of(artifact, photos, How(method))
    if heat[0].size == 1:
        raise ModelError(f"The feature maps of {name} have one place at {artifact.img_size[0]} x "
                         f"{artifact.img_size[1]} px, so its heat maps show nothing that could be judged. Train it on "
                         "larger photos (--img-size).")
    seeds = [int(every[index].sha256[:15], 16) for index in chosen]
    measured = measure(photos, heat, probabilities.argmax(axis=1), artifact.predict, seeds, method, on_progress)
    found = Faithfulness.from_measured(measured, labels[chosen], split.class_names, name, method,
                                       checksum(artifact.folder / "artifact.json"))
    found.write(folder.paths.on_request_file(name, "faithfulness"))
    return found


def _mean_and_error(values: npt.NDArray[np.float64]) -> Gain:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": round(float(values.mean()), 6), "standard_error": None if error is None else round(error, 6)}
