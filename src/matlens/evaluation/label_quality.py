"""Photos whose labels are worth a second look, by confident learning (Northcutt et al. 2021, doi:10.1613/jair.1.12125).

A photo is listed if it is confidently of another class: its probability of that class is at least what photos labelled
so have on average. The ranking is a list to look at, not a verdict: the models may be wrong, and a photo may show two
materials.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter

from matlens.errors import LabelsError, ResultsError
from matlens.evaluation.labels_and_scores import truth_and_columns
from matlens.evaluation.predictions import Predictions
from matlens.runs.names import distinct_names
from matlens.runs.run import Run
from matlens.system.console import command
from matlens.system.files import read_json, write_json
from matlens.system.tables.columns import read_columns, write_columns
from matlens.system.untrusted import reading
from matlens.types import Count, Floats, Labels


@dataclass(frozen=True)
class Suspect:
    """A photo, its label (`given`) and the class that is most probable instead (`suggested`).

    Probabilities are means over the models that judged the photo; quality is the normalized margin between the two,
    (given_probability - suggested_probability + 1) / 2, below 0.5: the lower, the likelier is a wrong label.
    """

    path: str
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    quality: float
    models_that_disagree: tuple[str, ...]


_ROUNDING = 1e-6
"""By how much a probability may fall short of the average of its class, or of the largest one, and reach it."""

MOST_IN_JSON = 50_000
"""Suspects, the worst, that `label_issues.json` holds of more: some 15 MB. MINC-2500's test part has 5,750 photos."""

_NUMBERS = ("given_probability", "suggested_probability", "quality")

LEAST_SKILL = 0.3
"""Of models whose suspicions mean something: how far they are on the way from always answering the most frequent class
to making no mistake."""


@dataclass(frozen=True)
class LabelIssues:
    """The content of `label_issues.json`: the suspects among `n_photos`, the worst first.

    accuracy: of the mean of the models' probabilities on these photos. chance: the share of the most frequent class.
    None in files of earlier versions.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(allow_inf_nan=False)

    models: tuple[str, ...]
    n_photos: Count
    issues: tuple[Suspect, ...]
    accuracy: float | None = None
    chance: float | None = None

    @property
    def is_near_chance(self) -> bool:
        """Whether the models are hardly better than always answering the most frequent class: they suspect blindly."""
        if self.accuracy is None or self.chance is None:
            return False
        return self.accuracy - self.chance < LEAST_SKILL * (1 - self.chance)

    def write(self, path: Path) -> Path:
        """Write as JSON, whole or not at all; of more than MOST_IN_JSON suspects all as columns beside it."""
        if len(self.issues) <= MOST_IN_JSON:
            return write_json(path, {"format": 1, **dataclasses.asdict(self)})
        issues = self.issues
        write_columns(_columns_beside(path), {
            "path": [issue.path for issue in issues], "given": [issue.given for issue in issues],
            "suggested": [issue.suggested for issue in issues],
            "against": np.array([[name in issue.models_that_disagree for name in self.models] for issue in issues],
                                np.uint8).ravel(),
            **{name: np.array([getattr(issue, name) for issue in issues], np.float64) for name in _NUMBERS}})
        worst = dataclasses.replace(self, issues=issues[:MOST_IN_JSON])
        return write_json(path, {"format": 2, "n_issues": len(issues), "all_in": _columns_beside(path).name,
                                 **dataclasses.asdict(worst)})

    @classmethod
    def read(cls, path: Path) -> LabelIssues:
        """Read what `write` wrote. Raises ResultsError."""
        again = f"Make it with: {command('labels', path.parent.parent)}"
        with reading(path, "a list of label issues of matlens", ResultsError, again):
            content = read_json(path)
            listed = TypeAdapter(cls).validate_python(content)
            if "all_in" not in content:
                return listed
        with reading(_columns_beside(path), f"the list of all issues of {path.name}", ResultsError, again):
            return dataclasses.replace(listed, issues=_issues_in(_columns_beside(path), listed.models))


def _columns_beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}_all.npz")


def _issues_in(path: Path, models: Sequence[str]) -> tuple[Suspect, ...]:
    """Read suspects that were written as columns. Raises OSError or ValueError."""
    texts, numbers = read_columns(path, ("path", "given", "suggested"),
                                  {"against": "u", **dict.fromkeys(_NUMBERS, "f")})
    against = numbers["against"].reshape(len(texts["path"]), len(models)).astype(bool)
    disagree = [tuple(name for name, is_against in zip(models, row, strict=True) if is_against) for row in against]
    return tuple(Suspect(*values) for values in zip(
        *texts.values(), *(numbers[name].tolist() for name in _NUMBERS), disagree, strict=True))


def suspect_positions(probabilities: npt.NDArray[np.floating], labels: Labels) -> tuple[Labels, Floats]:
    """Return the positions (S,) of the suspects, the worst first, and the quality of their labels, (S,) in [0, 1].

    There are none where all photos have one label, or all one answer: that tells nothing of any photo.

    Args:
        probabilities: (N, C), of photos that the models were not trained on.
        labels: (N,) class numbers. A class without a photo has no average to reach: no photo is confidently of it.

    It is the filter `confident_learning` of cleanlab, the library of the method's authors, and its normalized margin.
    Its default filter would leave a photo of each class unlisted, whatever the models say.

    Raises LabelsError for what `labels_and_scores` refuses.
    """
    if not len(labels):
        return np.empty(0, np.int64), np.empty(0)
    labels, exact = truth_and_columns(labels, probabilities)
    if min(len(np.unique(labels)), len(np.unique(exact.argmax(axis=1)))) < 2:
        return np.empty(0, np.int64), np.empty(0)
    row, numbers = np.arange(len(labels)), np.arange(exact.shape[1])
    usual = np.array([exact[labels == number, number].mean() if (labels == number).any() else np.inf
                      for number in numbers])
    confident = exact >= usual - _ROUNDING
    answer = exact.argmax(axis=1)
    of_class = np.where(confident.sum(axis=1) > 1, answer, confident.argmax(axis=1))
    is_close = exact[row, labels] >= exact.max(axis=1) - _ROUNDING
    listed = np.flatnonzero(confident.any(axis=1) & (of_class != labels) & ~is_close)
    others = np.where(labels[:, None] == numbers, -np.inf, exact).max(axis=1)
    quality = ((exact[row, labels] - others + 1) / 2)[listed]
    worst_first = np.argsort(quality, kind="stable")
    return listed[worst_first], quality[worst_first]


def find_suspects(predictions: Mapping[str, Predictions], class_names: Sequence[str]) -> LabelIssues:
    """Join predictions by photo, and rank the suspects.

    A photo's probabilities are the mean over all that judged it, in which one network's blunders count for less. Which
    of them answer something else than the label tells how many stand behind a suspicion.

    Args:
        predictions: of models by name, on the same photos or on others (the folds of a cross-validation).

    Raises:
        LabelsError: a photo's label is not the same everywhere, or one path is of different photos.
    """
    _refuse_other_photos(predictions)
    rows = {path: row for row, path in enumerate(dict.fromkeys(
        path for answers in predictions.values() for path in answers.paths))}
    paths, labels = list(rows), np.full(len(rows), -1, np.int64)
    total, judged_by = np.zeros((len(rows), len(class_names))), np.zeros((len(rows), 1))
    against: list[list[str]] = [[] for _ in rows]
    for name, answers in predictions.items():
        here = np.array([rows[path] for path in answers.paths], np.int64)
        contradicted = np.flatnonzero((labels[here] >= 0) & (labels[here] != answers.labels))
        if len(contradicted):
            first = contradicted[0]
            raise LabelsError(f"{answers.paths[first]} is {class_names[answers.labels[first]]} for {name} and "
                              f"{class_names[labels[here[first]]]} for another: these runs are not of the same photos. "
                              "Name runs of one dataset.")
        labels[here] = answers.labels
        total[here] += answers.probabilities
        judged_by[here] += 1
        for row in here[answers.predicted != answers.labels]:
            against[row].append(name)
    mean = total / judged_by
    suggested = mean.argmax(axis=1)
    return LabelIssues(tuple(predictions), len(rows), tuple(
        Suspect(paths[row], class_names[labels[row]], class_names[suggested[row]],
                round(float(mean[row, labels[row]]), 6), round(float(mean[row, suggested[row]]), 6),
                round(float(quality), 6), tuple(against[row]))
        for row, quality in zip(*suspect_positions(mean, labels), strict=True)),
        round(float((suggested == labels).mean()), 6) if len(rows) else None,
        round(float(np.bincount(labels).max() / len(rows)), 6) if len(rows) else None)


def _refuse_other_photos(predictions: Mapping[str, Predictions]) -> None:
    """Raise LabelsError where two models answered different photos of one path, or where that is not known."""
    judged_before: dict[str, tuple[str, str]] = {}
    for name, answers in predictions.items():
        for path, digest in zip(answers.paths, answers.digests or [""] * len(answers.paths), strict=True):
            content, other = judged_before.setdefault(path, (digest, name))
            if other != name and not content == digest != "":
                why = "are different photos" if content and digest else "may be different photos: a content is unknown"
                raise LabelsError(f"{path} of {other} and of {name} {why}. Name runs of one dataset, and judge runs of "
                                  "earlier versions again with: matlens evaluate RUN")


def label_issues(runs: Sequence[Run], chosen: Sequence[str] | None = None) -> LabelIssues:
    """Find the suspects of one run, or of several that are joined by the photos' paths.

    With several runs, a model's name tells the run.

    Args:
        chosen: names of models; by default all that have predictions.

    Raises:
        ResultsError, LabelsError or DataError: no or damaged predictions, or runs of other classes; the message
            names the run.
        RunError: no model of a run is trained.
    """
    predictions: dict[str, Predictions] = {}
    class_names, names = runs[0].split.class_names, distinct_names(run.path for run in runs)
    for run in runs:
        if run.path not in names:
            continue
        if run is not runs[0] and (other := run.split.class_names) != class_names:
            raise LabelsError(f"{run.path} has other classes than {runs[0].path}, or has them in another order "
                              f"({', '.join(other)}). Name runs of one dataset.")
        asked = chosen or [name for name in run.model_names if run.paths.predictions_file(name).exists()]
        absent = [name for name in asked if not run.paths.predictions_file(name).exists()]
        if absent or not asked:
            if not asked:
                run.trained_models()  # what is not trained cannot be evaluated either
            raise ResultsError(f"{run.path} holds no predictions{' of ' if absent else ''}{', '.join(absent)}. "
                               f"Make them with: {command('evaluate', run.path)}")
        for name in asked:
            answers = Predictions.read(run.paths.predictions_file(name)).with_photos_of(run.split, "test")
            if not np.isfinite(answers.probabilities).all():
                raise ResultsError(f"{run.paths.predictions_file(name)} holds probabilities that are no numbers: "
                                   "the training diverged. Leave the model out with --models.")
            predictions[name if len(names) == 1 else f"{names[run.path]}/{name}"] = answers
    return find_suspects(predictions, class_names)
