"""Say where a training went wrong, from its curves and its predictions.

`docs/evaluation.md` states each rule. A warning changes no figure and no choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.intervals import share_interval, wilson
from matlens.evaluation.metrics.metric import percent
from matlens.evaluation.predictions import Predictions
from matlens.features.neighbours import NearNeighbours
from matlens.runs.training_record import TrainingRecord

STILL_GAINED = 0.05
"""The share by which the last epoch must lower the validation loss to be worth a hint: the guide's recipe usually ends
with its best epoch."""

CONFIDENCE = 0.99
"""Of the intervals that a warning goes by: an interval of 95 % would warn of one sound model in twenty."""

_BY_CHANCE = 0.02
"""A class without an answer is named if, at the model's accuracy, its photos would all be missed less often than so,
divided by the number of classes: so rarely does any sound class get a warning."""

_REMEDY = ("The classes have different numbers of photos; to let rare ones count more, train with one of "
           "--class-weights balanced, --sampling balanced and --logit-adjustment 1, in another folder (--out).")

OF_BALANCE = frozenset({"one_answer", "never_predicted", "learned_nothing"})
"""The kinds that balancing the classes may mend."""

TroubleKind = Literal["last_epoch_best", "loss_did_not_fall", "learned_nothing", "one_answer", "never_predicted",
                      "validation_far_from_test", "head_kept", "near_training_photos"]


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong in a training. text: a sentence on it, and one on what to do."""

    kind: TroubleKind
    text: str


def troubles(training: TrainingRecord, test: Predictions, validation: Predictions | None,
             class_names: Sequence[str], neighbours: NearNeighbours | None = None, *, may_need_balance: bool = False,
             ) -> list[dict[str, str]]:
    """List what went wrong in a training, as the `warnings` of its results.

    Args:
        validation: predictions of photos that were not trained on; None where there are none.
        neighbours: test photos that lie too near to photos of other parts, where features are known.
        may_need_balance: whether classes differ in size, and the training did nothing about it.
    """
    more = "Train longer (--epochs)" if training.has_epochs else "Train more of the network (--recipe strong)"
    remedy = f" {_REMEDY}" if may_need_balance else ""
    found = [*_of_curves(training, chosen=validation is not None), *_of_answers(test, class_names, more, remedy)]
    if validation is not None:
        found += [*_of_validation(validation, class_names, more, remedy), *_of_both(validation, test)]
    if neighbours is not None and (sentence := neighbours.remark()) is not None:
        found.append(Trouble("near_training_photos", sentence))
    return [asdict(trouble) for trouble in found]


def _of_curves(training: TrainingRecord, *, chosen: bool) -> Iterator[Trouble]:
    """Look at the curves. chosen: whether validation chose the epoch.

    Those of the recipe `probe`, whose fits each end at their optimum, tell of no trouble.
    """
    if not training.has_epochs:
        return
    first, last = training.head_epochs, training.epochs
    losses, val_losses = training.history["loss"][first:], training.history["val_loss"][first:]
    if chosen and 0 < training.best_epoch <= first < last:
        yield Trouble("head_kept", f"No epoch inside the network, of {last - first} tried, {_best(training, first)}, "
                      "so the head of the guide's recipe is kept. Another --cut, --views or --epochs may do better.")
    if len(losses) > 1 and min(losses[1:]) >= losses[0]:
        yield Trouble("loss_did_not_fall", f"The training loss did not fall below that of the first epoch "
                      f"({losses[0]:.3f}). Look at the labels, or try another --batch-size.")
    if chosen and training.best_epoch == last and len(val_losses) > 1:
        before = min(val_losses[:-1])
        if val_losses[-1] <= (1 - STILL_GAINED) * before:
            yield Trouble("last_epoch_best", f"The last epoch still lowered the validation loss by "
                          f"{percent(1 - val_losses[-1] / before)} ({before:.3f} to {val_losses[-1]:.3f}), so the "
                          f"model may become better with more than --epochs {last - first}.")


def _best(training: TrainingRecord, first: int) -> str:
    """Return what chose between the head and later epochs, in words, with the head's best."""
    key, as_good = (("val_macro_f1", "had as high a validation macro F1") if "val_macro_f1" in training.history else
                    ("val_accuracy", "answered as many validation photos right"))
    return f"{as_good} as the head that was trained first ({percent(max(training.history[key][:first]))})"


def _of_answers(test: Predictions, class_names: Sequence[str], more: str, remedy: str) -> Iterator[Trouble]:
    """Look at which classes are answered. more, remedy: the advice to train more, and to balance classes."""
    answers = np.bincount(test.predicted, minlength=len(class_names))
    support = np.bincount(test.labels, minlength=len(class_names))
    most = int(answers.argmax())
    others = test.labels != most
    taken = wilson(float((test.predicted[others] == most).sum()), float(others.sum()), CONFIDENCE)
    if taken is not None and taken.low > 0.5:
        share = percent(float((test.predicted[others] == most).mean()))
        yield Trouble("one_answer", f"{share} of the test photos of other classes are answered {class_names[most]}. "
                      f"{more}.{remedy}")
    rare = _BY_CHANCE / np.count_nonzero(support)
    missed = 1 - float((test.predicted == test.labels).mean())
    never = [name for number, (name, answered, photos) in enumerate(zip(class_names, answers, support, strict=True))
             if photos and not answered and missed ** len(np.unique(test.groups[test.labels == number])) < rare]
    if never:
        yield Trouble("never_predicted", "Never answered on the test part, although it has photos of them "
                      f"({len(never)} of {len(class_names)} classes): {', '.join(never)}. {more}, or add "
                      f"photos of them.{remedy}")


def _of_validation(validation: Predictions, class_names: Sequence[str], more: str, remedy: str) -> Iterator[Trouble]:
    """Look at whether the model does more than answer the most frequent class. more, remedy: as above."""
    counts = np.bincount(validation.labels, minlength=len(class_names))
    right, most = (validation.predicted == validation.labels).mean(), counts.max() / len(validation.labels)
    if right <= most:
        yield Trouble("learned_nothing", f"Validation accuracy {percent(float(right))} is not above that of answering "
                      f"{class_names[int(counts.argmax())]} for each photo ({percent(float(most))}). {more}, or "
                      f"begin with pretrained weights (--weights imagenet).{remedy}")


def _of_both(validation: Predictions, test: Predictions) -> Iterator[Trouble]:
    """Look at whether validation and test differ by more than chance explains."""
    ends = difference(validation, test)
    if ends is not None and not ends[0] <= 0 <= ends[1]:
        low, high = ends
        of_validation, of_test = (float((part.predicted == part.labels).mean()) for part in (validation, test))
        yield Trouble("validation_far_from_test", f"Validation accuracy {percent(of_validation)} and test accuracy "
                      f"{percent(of_test)} differ by more than chance explains ({100 * low:.1f} to {100 * high:.1f} "
                      f"points, {100 * CONFIDENCE:.0f} % interval by independent groups of photos): the two parts hold "
                      "different photos, or photos of one object lie in training and in one of them. See matlens data "
                      "audit, and --groups.")


def difference(first: Predictions, second: Predictions, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Compute the interval of the difference of two parts' accuracies (Newcombe 1998, method 10, from Wilson's).

    Each part's interval is `share_interval`, in which photos that belong together count as fewer. None where a part has
    too few groups for one.
    """
    accuracies, lows, highs = [], [], []
    for part in (first, second):
        right = part.predicted == part.labels
        interval = share_interval(right, Groups.of(part.groups), confidence)
        if interval is None:
            return None
        accuracies.append(float(right.mean()))
        lows.append(interval.low)
        highs.append(interval.high)
    gap = accuracies[0] - accuracies[1]
    return (gap - math.hypot(accuracies[0] - lows[0], highs[1] - accuracies[1]),
            gap + math.hypot(highs[0] - accuracies[0], accuracies[1] - lows[1]))
