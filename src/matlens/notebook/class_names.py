"""The names of a model's classes: they belong to the model, and travel with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from matlens.errors import LabelsError, ModelError
from matlens.evaluation.names_and_columns import checked_names


def classes_of(outputs: int) -> int:
    """Return how many classes so many outputs tell apart: a single one, as of a sigmoid, two."""
    return max(outputs, 2)


def names_of(holder: Any) -> tuple[str, ...]:
    """Return the class names that a model or a dataset has (`class_names`); empty where it has none."""
    names = getattr(holder, "class_names", None)
    return checked_names(names) if isinstance(names, list | tuple | np.ndarray | Mapping) and len(names) else ()


def given_names(class_names: Iterable[Any] | None) -> tuple[str, ...]:
    """Return an argument `class_names`, checked; empty where none is given. Raises LabelsError."""
    return () if class_names is None or (isinstance(class_names, list | tuple) and not class_names) else checked_names(
        class_names)


def give_names(model: Any, names: Sequence[str]) -> None:
    """Attach class names to a model; `evaluate_model` and the Grad-CAM functions take them from there."""
    model.class_names = tuple(names)


def sources_of_names(given: Iterable[Any] | None, model: Any, dataset: Any = None) -> dict[str, tuple[str, ...]]:
    """Return the names that an argument `class_names`, a model and a dataset give, by who gives them."""
    return {"class_names": given_names(given),
            "the model, which was trained on them": names_of(model), "the dataset": names_of(dataset)}


def agreed_names(sources: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of the classes that all say who know some; empty where none is known.

    Raises:
        LabelsError: they contradict each other. Scores would stand beside the names of other classes.
    """
    (first, names), *others = [(source, known) for source, known in sources.items() if known] or [("", ())]
    for source, other in others:
        if other != names:
            raise LabelsError(f"{_difference(first, names, source, other)}. Judge a model on data of its own classes, "
                              "in its own order. Where class_names is left out, the model's own names are taken; "
                              "CLASS_NAMES are those of the folder that was used last.")
    return names


def names_for(number: int, given: Iterable[Any] | None, model: Any, dataset: Any = None) -> tuple[str, ...]:
    """Return the agreed names of `number` classes, or their numbers. Raises ModelError for another number of names."""
    names = agreed_names(sources_of_names(given, model, dataset)) or tuple(map(str, range(number)))
    if len(names) != number:
        raise ModelError(f"{len(names)} class names for a model of {number} classes: {', '.join(names[:20])}. Give one "
                         "for each class, in the order of its outputs.")
    return names


def _difference(first: str, names: Sequence[str], second: str, others: Sequence[str]) -> str:
    if len(names) != len(others):
        return f"There are {len(names)} classes in {first}, and {len(others)} in {second}"
    number, (name, other) = next((place, pair) for place, pair in enumerate(zip(names, others, strict=True))
                                 if pair[0] != pair[1])
    order = "; they are the same in another order" if sorted(names) == sorted(others) else ""
    return f"Class {number} is {name} in {first}, and {other} in {second}{order}"
