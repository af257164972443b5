"""The photos of a run that are worth a second look, each once with all reasons: what `matlens review` shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from matlens.data.audit.audit import near_copies
from matlens.data.audit.checks import Finding, Thresholds, find_poor, find_repeated
from matlens.data.audit.photo_facts import PhotoFacts, read_facts
from matlens.data.source.sources import Listed
from matlens.errors import MatlensError
from matlens.evaluation.label_quality import LabelIssues, find_suspects, label_issues
from matlens.evaluation.predictions import Predictions
from matlens.runs.run import Run
from matlens.system.console import Reporter
from matlens.types import Array

Kind = Literal["label", "copy", "photo"]

_SPLIT = "this run's split"
_SHOWN = 3
"""Classes that are shown of a model's answer."""

_REPEATED = {"two_classes": "a photo in two classes", "leak": "a copy in another part", "exact_duplicate": "a copy",
             "near_duplicate": "nearly a copy"}
_POOR = {"blank": "nearly one colour", "dark": "very dark", "bright": "burnt out", "blurred": "blurred",
         "padding": "filled up at its edges"}


@dataclass(frozen=True)
class Reason:
    """Why a photo is worth a look: a kind by which cards are chosen, and a sentence with figures."""

    kind: Kind
    words: str


@dataclass
class ReviewCard:
    """A photo to be looked at.

    number: its position in the split. answers: by model, the likeliest classes with their probabilities; empty of a
    photo that models were trained on. like: positions of the other photos of its group of copies.
    """

    number: int
    reasons: list[Reason] = field(default_factory=list)
    answers: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    like: list[int] = field(default_factory=list)


def review_cards(run: Run, reporter: Reporter, *, with_audit: bool = True) -> list[ReviewCard]:
    """Collect the cards of a run: suspicious labels first, the worst first; then copies, then poor photos.

    Labels of the test and validation photos are judged by the models' saved answers; those of training photos cannot
    be, since the models learned them.

    with_audit: also read all photos, for copies and poor ones.
    """
    number_of = {photo.path: number for number, photo in enumerate(run.split.photos)}
    answers = {part: dict(_answers(run, part)) for part in ("test", "val")}
    cards: dict[str, ReviewCard] = {}

    def card(path: str) -> ReviewCard:
        if path not in cards:
            cards[path] = ReviewCard(number_of[path])
        return cards[path]

    for issues in _suspects(run, answers["val"], reporter):
        for suspect in issues.issues:
            if suspect.path in number_of:
                against = f" ({len(suspect.models_that_disagree)} of {len(issues.models)} models disagree with it)"
                card(suspect.path).reasons.append(Reason("label", (
                    f"labelled {suspect.given}, perhaps {suspect.suggested}: probability "
                    f"{100 * suspect.given_probability:.0f} % against {100 * suspect.suggested_probability:.0f} %"
                    + against * (len(issues.models) > 1))))
    told: set[tuple[str, ...]] = set()
    for finding in _findings(run, reporter) if with_audit else ():
        is_repeated = finding.kind in _REPEATED
        if is_repeated and finding.paths in told and finding.kind != "leak":
            continue  # that these are copies was said with what is worse
        told.update([finding.paths] * is_repeated)
        for path in finding.paths:
            entry = card(path)
            words = (_REPEATED if is_repeated else _POOR)[finding.kind]
            entry.reasons.append(Reason("copy" if is_repeated else "photo", f"{words}: {finding.detail}"))
            if is_repeated:
                entry.like += [number for other in finding.paths
                               if (number := number_of[other]) not in (entry.number, *entry.like)]
    for part in ("test", "val"):
        for name, predictions in answers[part].items():
            for row, path in enumerate(predictions.paths):
                if path in cards:
                    cards[path].answers = {**cards[path].answers,
                                           name: _likeliest(predictions.probabilities[row], run.split.class_names)}
    return list(cards.values())


def _likeliest(probabilities: Array, class_names: Sequence[str]) -> list[tuple[str, float]]:
    return [(class_names[number], round(float(probabilities[number]), 4))
            for number in (-probabilities).argsort(kind="stable")[:_SHOWN]]


def _answers(run: Run, part: str) -> Iterator[tuple[str, Predictions]]:
    """Yield the saved answers of the run's models to a part, without those that are damaged or of other photos."""
    if part == "val" and run.split.train_on == "train+val":
        return
    paths = tuple(photo.path for photo in run.split.part(part))
    for name in run.model_names:
        try:
            predictions = Predictions.read(run.paths.predictions_file(name, part))
        except MatlensError:
            continue
        if predictions.paths == paths and np.isfinite(predictions.probabilities).all():
            yield name, predictions.with_photos_of(run.split, part)


def _suspects(run: Run, of_validation: Mapping[str, Predictions], reporter: Reporter) -> Iterator[LabelIssues]:
    try:
        try:
            issues = LabelIssues.read(run.paths.label_issues_file)
        except MatlensError:
            issues = label_issues([run])
        if issues.is_near_chance:
            reporter.warn("The models are hardly better than chance, so what they suspect of labels means nothing.")
        yield issues
    except MatlensError as error:
        reporter.warn(f"Labels are not judged: {error}")
    if of_validation:
        yield find_suspects(of_validation, run.split.class_names)


def _findings(run: Run, reporter: Reporter) -> Iterator[Finding]:
    """Yield the copies and the poor photos among the photos of a run, which it reads; changed files are passed over."""
    photos = {photo.path: photo for photo in run.split.photos}
    listed = [Listed(photo.path, photo.class_name) for photo in photos.values()]
    with reporter.progress("reading photos", len(listed)) as advance:
        facts = [fact for fact in read_facts(run.data_root, listed, lambda done, _: advance(done, ""))
                 if fact.problem is None and fact.sha256 == photos[fact.path].sha256]
    if len(facts) < len(listed):
        reporter.warn(f"{len(listed) - len(facts)} of {len(listed)} photos are gone or changed since the run; they are "
                      "not looked at.")
    yield from _repeated(facts, run, reporter)
    yield from sorted(find_poor(facts, Thresholds()), key=lambda finding: (list(_POOR).index(finding.kind),
                                                                             finding.paths))


def _repeated(facts: list[PhotoFacts], run: Run, reporter: Reporter) -> list[Finding]:
    divisions = {_SPLIT: {photo.path: (photo.part,) for photo in run.split.photos}}
    near = near_copies(run.data_root, facts, reporter)
    return sorted(find_repeated(facts, near, divisions), key=lambda finding: (
        list(_REPEATED).index(finding.kind), finding.paths))
