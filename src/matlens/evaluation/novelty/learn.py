"""Learn what a trained model does not know: fit a detector, take the scores of validation photos, try both on the test.

Validation photos choose the detector and give its scores a meaning; they chose the model's epoch, too. So photos that
are new to all of this may be called unknown a little more often than stated, and be covered a little less: what the
test part shows stands beside. Validation photos of a group that was trained on are left out, since they lie nearer to
the training photos than new ones do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from matlens.data.batches import read_photos
from matlens.data.split.splits import Photo
from matlens.errors import MatlensError
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.intervals import share_interval
from matlens.evaluation.metrics.metric import percent
from matlens.evaluation.novelty.choice import DetectorChoice, choose_detector
from matlens.evaluation.part_predictions import PartPredictions
from matlens.evaluation.predictions import Predictions
from matlens.features.artifact import Artifact
from matlens.features.novelty.conformal import groups_needed
from matlens.features.novelty.stored import COVERAGE, FALSE_ALARMS, Novelty
from matlens.features.novelty.training_photos import TrainingPhotos
from matlens.types import Array, Labels
from matlens.workers.trained import trained_artifact

MOST_PHOTOS = 5000
"""Photos of a part that are looked at: of more, as many, drawn with a fixed seed."""

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Learned:
    """What goes into the artifact (None where nothing could be learned), and what goes into the results."""

    novelty: Novelty | None
    figures: dict[str, Any]


@dataclass(frozen=True, eq=False)
class LookedAt:
    """Photos of a part that are looked at. rows: (N,) where they stand in the part. groups: of all photos of the split.
    """

    photos: Sequence[Photo]
    rows: Labels
    labels: Labels
    groups: Labels
    features: Array


def learn_novelty(parts: PartPredictions, predictions: Predictions, validation: Predictions | None,
                  no_validation: str, earlier: dict[str, Any] | None) -> Learned:
    """Learn it from the photos of a run, by features of the cache or, where it has none, of the model's own trunk.

    Args:
        predictions, validation: of the test and the validation part; `no_validation` says why there are none.
        earlier: what earlier results hold. It stays where no features are cached and the artifact has what it is of;
            if that names no training photos, as in earlier versions, only where the photos cannot be read either.
    """
    if validation is None:
        return _nothing(no_validation)
    before: Learned | None = None
    try:
        artifact = trained_artifact(parts.run, parts.name)
        if earlier and earlier.get("head") == artifact.head_digest and not _are_cached(parts):
            with suppress(MatlensError):  # damaged: it is made again
                if (novelty := artifact.novelty) is not None:
                    before = Learned(novelty, earlier)
                    if novelty.training is not None:
                        return before
        train, val, test = (looked_at(parts, artifact, part) for part in ("train", "val", "test"))
    except MatlensError as error:
        return before or _nothing(f"The photos could not be looked at: {error}")
    return learned_from(train, val, test, predictions, validation, artifact)


def learned_from(train: LookedAt, val: LookedAt, test: LookedAt, predictions: Predictions, validation: Predictions,
                 artifact: Artifact) -> Learned:
    """Fit, choose and judge."""
    if not all(np.isfinite(part.features).all() for part in (train, val, test)):
        return _nothing("The network's features are no finite numbers.")
    classes = len(artifact.class_names)
    apart = ~np.isin(val.groups, train.groups)
    left_out = int((~apart).sum())
    count, needed = len(np.unique(val.groups[apart])), groups_needed(FALSE_ALARMS)
    if count < needed:
        aside = f" ({left_out} are of groups that were trained on)" if left_out else ""
        return _nothing(f"The validation part is too small: it has {count} independent photos or groups of photos"
                        f"{aside}, and a rate of false alarms of {FALSE_ALARMS:.0%} takes {needed}.")
    choice = choose_detector(train.features, train.labels, val.features[apart], val.labels[apart])
    if choice.detector is None:
        return _nothing("There are too few training photos to tell what is unlike them.")
    detector = choice.detector.fit(train.features, train.labels)
    labels = val.labels[apart]
    true = validation.probabilities[val.rows[apart], labels].astype(np.float64)
    training = TrainingPhotos.of(tuple(photo.path for photo in train.photos), train.labels, train.features)
    novelty = Novelty(detector, detector.strangeness(val.features[apart]), np.clip(true, 0, 1), labels,
                      val.groups[apart], classes, training)
    return Learned(novelty, _figures(novelty, choice, artifact, left_out, test, predictions))


def _figures(novelty: Novelty, choice: DetectorChoice, artifact: Artifact, left_out: int, test: LookedAt,
             predictions: Predictions) -> dict[str, Any]:
    """Return what the results hold."""
    p_values, together = novelty.p_values(test.features), Groups.of(test.groups)
    probabilities = predictions.probabilities[test.rows]

    def share(counted: Any) -> dict[str, Any]:
        interval = share_interval(counted, together)
        return {"share": float(counted.mean()), "interval": interval.to_json() if interval else None}

    def sets(by_class: bool) -> dict[str, Any] | None:
        if not novelty.sets.tells(COVERAGE):
            return None
        members = novelty.sets.members(probabilities, COVERAGE, by_class=by_class)
        sizes = members.sum(axis=1)
        covered = members[np.arange(len(members)), test.labels]
        return {**share(covered), "mean_size": float(sizes.mean()), "single": float((sizes == 1).mean()),
                "lowest_class": min(float(covered[test.labels == number].mean()) for number in np.unique(test.labels))}

    return {"format": FORMAT, "head": artifact.head_digest, "detector": novelty.detector.name,
            "candidates": [{"detector": name, "area": area} for name, area in choice.areas.items()],
            "n_validation": len(novelty.labels), "n_groups": len(np.unique(novelty.groups)), "left_out": left_out,
            "n_test": len(test.labels), "false_alarms": {"stated": FALSE_ALARMS,
                                                        **share(novelty.are_unknown(p_values))},
            "coverage": {"stated": COVERAGE, "overall": sets(False), "by_class": sets(True),
                         "untold": [artifact.class_names[number] for number in novelty.sets.untold(COVERAGE)]},
            "remark": ""}


def _nothing(remark: str) -> Learned:
    return Learned(None, {"format": FORMAT, "detector": None, "remark": remark})


def _are_cached(parts: PartPredictions) -> bool:
    return parts.features(parts.run.split.part("val")[:1]) is not None


def looked_at(parts: PartPredictions, artifact: Artifact, part: str) -> LookedAt:
    """Take photos of a part with their features (N, K). Raises DataError or ModelError."""
    run = parts.run
    split, photos = run.split, run.split.part(part)
    rows = np.sort(np.random.default_rng(0).permutation(len(photos))[:MOST_PHOTOS])
    chosen = [photos[row] for row in rows]
    features = parts.features(chosen)
    if features is None:
        features = np.concatenate([
            artifact.trunk.features(images).mean(axis=(1, 2), dtype=np.float32)
            for images in read_photos(run.data_root, chosen, artifact.img_size,
                                      keep_truncated=run.settings.keep_truncated)])
    wanted = {photo.path for photo in chosen}
    number = {photo.path: group for photo, group in zip(split.photos, split.groups_of(split.photos), strict=True)
              if photo.path in wanted}
    return LookedAt(chosen, np.asarray(rows, dtype=np.int64), split.labels(chosen),
                   np.array([number[photo.path] for photo in chosen], dtype=np.int64), features)


def in_words(figures: dict[str, Any]) -> str:
    """Say in a line what was learned, of what results hold; or why nothing was."""
    if not figures.get("detector"):
        return f"unknown photos: not told. {figures.get('remark') or ''}".rstrip()
    alarms, sets = figures["false_alarms"], figures["coverage"]["overall"]
    told = (f"unknown photos: the detector {figures['detector']} (of {len(figures['candidates'])} tried) takes "
            f"{percent(alarms['share'])} of the test photos for unknown; the aim is {percent(alarms['stated'])}.")
    return told + ("" if sets is None else f" Prediction sets of {sets['mean_size']:.2f} classes on average hold the "
                   f"true class of {percent(sets['share'])}; the aim is {percent(figures['coverage']['stated'])}.")
