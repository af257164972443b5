"""Choose test photos to explain."""

from __future__ import annotations

import numpy as np

from matlens.evaluation.predictions import Predictions
from matlens.types import Array, Labels

GRID_PHOTOS = 12


def chosen_for_grid(predictions: Predictions, n: int = GRID_PHOTOS, of_class: int | None = None) -> list[int]:
    """Choose positions of up to `n` test photos: half of them mistakes if there are so many, classes in turn.

    Inside a class the most confident answer comes first. The same predictions give the same choice.
    of_class: photos of this true class alone.
    """
    confidence, (right, wrong) = predictions.probabilities.max(axis=1), _right_and_wrong(predictions, of_class)
    chosen = _in_turn(wrong, predictions.labels, confidence)[: n // 2]
    chosen += _in_turn(right, predictions.labels, confidence)[: n - len(chosen)]
    if len(chosen) < n:
        rest = _in_turn(wrong, predictions.labels, confidence)
        chosen += [index for index in rest if index not in chosen][: n - len(chosen)]
    return sorted(chosen, key=lambda index: (index in wrong, predictions.labels[index]))


def confident_mistakes(predictions: Predictions, n: int, of_class: int | None = None) -> list[int]:
    """Choose positions of up to `n` photos with a wrong answer, the most probable one first."""
    wrong = _right_and_wrong(predictions, of_class)[1]
    confidence = predictions.probabilities[wrong].max(axis=1)
    return list(map(int, wrong[np.argsort(-confidence, kind="stable")[:n]]))


def unsure_hits(predictions: Predictions, n: int, of_class: int | None = None) -> list[int]:
    """Choose positions of up to `n` photos with a right answer, the least probable one first."""
    right = _right_and_wrong(predictions, of_class)[0]
    confidence = predictions.probabilities[right].max(axis=1)
    return list(map(int, right[np.argsort(confidence, kind="stable")[:n]]))


def weakest_classes(predictions: Predictions, n: int) -> list[int]:
    """Choose up to `n` classes with the lowest F1, in ascending order of their numbers."""
    classes = predictions.probabilities.shape[1]
    hits = np.bincount(predictions.labels[predictions.labels == predictions.predicted], minlength=classes)
    f1 = 2 * hits / np.maximum(sum(np.bincount(of, minlength=classes) for of in (
        predictions.labels, predictions.predicted)), 1)
    return sorted(np.argsort(f1, kind="stable")[:n].tolist())


def confused_pairs(predictions: Predictions, n: int) -> list[tuple[int, int, list[int]]]:
    """List up to `n` (true class, answer, positions of the photos), the most frequent first.

    The photo with the most probable answer comes first. Pairs that are equally frequent stand in the order of classes.
    """
    by_pair: dict[tuple[int, int], list[int]] = {}
    mistakes, answers = confident_mistakes(predictions, len(predictions.labels)), predictions.predicted
    for index, truth, answer in zip(mistakes, predictions.labels[mistakes].tolist(), answers[mistakes].tolist(),
                                    strict=True):
        by_pair.setdefault((truth, answer), []).append(index)
    ordered = sorted(by_pair.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(true, answer, positions) for (true, answer), positions in ordered[:n]]


def drawn_evenly(labels: Labels, n: int, seed: int = 0) -> list[int]:
    """Choose positions of up to `n` photos, drawn at random from the classes in turn, in ascending order."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return sorted(_in_turn(order, labels, np.zeros(len(labels), np.float32))[:n])


def _right_and_wrong(predictions: Predictions, of_class: int | None,
                     ) -> tuple[Labels, Labels]:
    asked = np.full(len(predictions.labels), True) if of_class is None else predictions.labels == of_class
    right = predictions.predicted == predictions.labels
    return np.flatnonzero(asked & right), np.flatnonzero(asked & ~right)


def _in_turn(candidates: Labels, labels: Labels,
             confidence: Array) -> list[int]:
    by_class: dict[int, list[int]] = {}
    order = candidates[np.argsort(-confidence[candidates], kind="stable")]
    for index, label in zip(order.tolist(), labels[order].tolist(), strict=True):
        by_class.setdefault(label, []).append(index)
    turns = [(turn, label, index) for label, indices in by_class.items() for turn, index in enumerate(indices)]
    return [index for _, _, index in sorted(turns)]
