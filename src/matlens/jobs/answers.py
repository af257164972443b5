"""What a model answers to photos, as JSON values: the one place, whoever asks (`matlens predict`, the server)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from matlens.errors import SettingsError
from matlens.evaluation.material_groups import MaterialGroups
from matlens.features.artifact import Artifact
from matlens.features.novelty.stored import COVERAGE, FALSE_ALARMS, Novelty, how_to_get
from matlens.types import Array, Floats, Labels

NONE_OF_THESE = "probably none of these materials"
"""What people read of a photo that does not look like the training photos."""


@dataclass(frozen=True)
class AnswerOptions:
    """How photos are to be answered.

    raw: by the network's own probabilities where the artifact has a calibration.
    false_alarms: the share of photos like the validation photos that may be called unknown.
    coverage: the share of photos whose true class is to be in the set. by_class: hold it for the photos of each class.
    """

    raw: bool = False
    false_alarms: float = FALSE_ALARMS
    coverage: float = COVERAGE
    by_class: bool = False

    @classmethod
    def in_percent(cls, *, raw: bool = False, false_alarms: float | None = None, coverage: float | None = None,
                   by_class: bool = False) -> AnswerOptions:
        """Make a question of percentages; None is what is usual. Raises SettingsError for such as no rate can have."""
        for name, value in (("--false-alarms", false_alarms), ("--coverage", coverage)):
            if value is not None and not 0 < value < 100:
                raise SettingsError(f"{name} is a percentage between 0 and 100, and not {value:g}.")
        return cls(raw, FALSE_ALARMS if false_alarms is None else false_alarms / 100,
                   COVERAGE if coverage is None else coverage / 100, by_class)


AS_USUAL = AnswerOptions()
"""Calibrated, at the usual rates."""


def answers_to(artifact: Artifact, images: Array, question: AnswerOptions = AS_USUAL) -> list[dict[str, Any]]:
    """Answer photos (B, H, W, 3) float32 in [0, 1].

    Returns of each `class`, `probability`, `probabilities` (by class), `groups` (probabilities by group of materials;
    None where the run has no groups), `model`, `calibration` (its method, or None), and `unknown` (whether it is
    probably of none of the classes), `unknown_p` (the share of validation photos that look at least as strange) and
    `set` (the classes that it may well be of, the likeliest first); these three are None where the artifact does not
    tell.

    Raises SettingsError where the run's groups of materials are damaged.
    """
    return answers_from(artifact, *predicted(artifact, images), question)


def predicted(artifact: Artifact, images: Array) -> tuple[Array, Array | None]:
    """Return the network's own probabilities (B, C) and, where the artifact tells unknown photos, features (B, K)."""
    return (artifact.predict(images), None) if artifact.novelty is None else artifact.predict_with_features(images)


def answers_from(artifact: Artifact, own: Array, features: Array | None, question: AnswerOptions,
                 ) -> list[dict[str, Any]]:
    """Answer photos by the network's own probabilities (B, C) and, if it is to tell of unknown ones, features (B, K).
    """
    calibrator, novelty = None if question.raw else artifact.calibrator, artifact.novelty
    chances: Array | Floats = calibrator.apply(own) if calibrator else own
    best = np.asarray(chances.argmax(axis=1), dtype=np.int64)
    told = [dict[str, Any](unknown=None, unknown_p=None, set=None) for _ in own]
    if novelty is not None and features is not None:
        told = _told(artifact, novelty, own, features, chances, best, question)
    groups = _groups_of(artifact)
    of_groups = [None] * len(own) if groups is None else groups.shares(chances)
    return [{"class": artifact.class_names[number], "probability": float(row[number]),
             "probabilities": {name: float(value) for name, value in zip(artifact.class_names, row, strict=True)},
             "groups": shares, "model": artifact.model_name, "calibration": calibrator.method if calibrator else None,
             **more} for row, number, shares, more in zip(chances, best, of_groups, told, strict=True)]


def _groups_of(artifact: Artifact) -> MaterialGroups | None:
    return _groups_beside(artifact.folder, artifact.class_names)


_groups_beside = lru_cache(maxsize=256)(MaterialGroups.beside)


def _told(artifact: Artifact, novelty: Novelty, own: Array, features: Array, chances: Array | Floats, best: Labels,
          question: AnswerOptions) -> list[dict[str, Any]]:
    p_values = novelty.p_values(features)
    unknown = novelty.are_unknown(p_values, question.false_alarms) if novelty.tells(question.false_alarms) else None
    members = novelty.sets.members(own, question.coverage, by_class=question.by_class, answers=best) if (
        question.by_class or novelty.sets.tells(question.coverage)) else None
    return [{"unknown": None if unknown is None else bool(unknown[row]), "unknown_p": float(p_values[row]),
             "set": None if members is None else [artifact.class_names[number] for number in (-chances[row]).argsort(
                 kind="stable") if members[row, number]]} for row in range(len(own))]


def what_is_not_told(artifact: Artifact, question: AnswerOptions) -> str:
    """Say why an artifact does not tell unknown photos, or gives no sets, and how to get it; empty where it does."""
    novelty = artifact.novelty
    if novelty is None:
        return (f"{artifact.folder} does not tell which photos are of none of its materials: it was made before that "
                f"was learned, or its validation photos do not suffice. This learns it, or says why not: "
                f"{how_to_get(artifact.folder)}")
    few = [word for word, rate in (("--false-alarms", question.false_alarms), ("--coverage", 1 - question.coverage))
           if not novelty.tells(rate)]
    if few and not (few == ["--coverage"] and question.by_class):
        return (f"{artifact.folder} has too few independent validation photos for {' and '.join(few)} as given: ask "
                "for a larger rate, or a smaller coverage.")
    return ""
