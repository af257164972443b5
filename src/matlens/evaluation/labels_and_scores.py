"""Labels and scores of any form, checked in one place before anything is computed from them.

Truth is class numbers (N,) or (N, 1), class names, or one-hot rows (N, C). Answers are the same, or scores: (N, C), the
largest of a row being the answer, or one column (N, 1) of probabilities of class 1, as a sigmoid gives them. Arrays,
lists, tensors, series and frames are all read by `numpy.asarray`; a frame's columns are put in the order of the names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from matlens.errors import LabelsError
from matlens.evaluation.names_and_columns import checked_names, in_order, names_of_columns
from matlens.types import Floats, Labels

Given = Any
"""What a user gives as labels or scores."""

MOST_CLASSES = 10_000
"""More are taken for a slip: a number such as 255 or 2**31 that marks photos without a label."""

_FLAT_SCORES = "Give scores as (N, C), or one column of a sigmoid as (N, 1): scores[:, None]."


@dataclass(frozen=True)
class _Read:
    """What was given, read: class numbers (N,), or scores (N, C).

    classes: how many there are, where the form tells it.
    """

    numbers: Labels
    scores: Floats | None = None
    classes: int | None = None


def truth_and_answers(y_true: Given, y_pred: Given, class_names: Iterable[Any] | None = None,
                      ) -> tuple[Labels, Labels, tuple[str, ...]]:
    """Return true class numbers (N,), answered class numbers (N,), and the names of the classes.

    Names that are not given are a frame's columns, or numbers. Where nothing tells how many classes there are, each
    number up to the largest must occur: else averages over the classes would be of classes that may not be there.

    Raises:
        LabelsError: what is no label or score, or does not fit together. The message says what, where, and the way out.
    """
    names = _names(class_names, y_true, y_pred)
    truth, answers = _read(y_true, "y_true", names, hardened=_hardened("y_true")), _read(y_pred, "y_pred", names)
    named = _fitting(truth, answers, names)
    return truth.numbers, answers.numbers, named


def truth_and_scores(y_true: Given, y_prob: Given, class_names: Iterable[Any] | None = None,
                     ) -> tuple[Labels, Floats, tuple[str, ...]]:
    """Return true class numbers (N,), scores (N, C) float64, and the names of the classes.

    One column of probabilities p, (N, 1) or (N,), becomes [1 - p, p]. Raises LabelsError, as `truth_and_answers` does.
    """
    names = _names(class_names, y_true, y_prob)
    truth, answers = _read(y_true, "y_true", names, hardened=_hardened("y_true")), _read_scores(y_prob, "y_prob", names)
    named = _fitting(truth, answers, names)
    assert answers.scores is not None
    return truth.numbers, answers.scores, named


def class_numbers(labels: Given, dataset: str, class_names: Iterable[Any]) -> Labels:
    """Return the class numbers (N,) of a dataset's labels, `dataset` being its name in messages. Raises LabelsError."""
    names, what = checked_names(class_names), f"labels of {dataset}"
    truth = _read(labels, what, names, hardened="[(images, numpy.asarray(labels).argmax(axis=1)[:, None]) for images, "
                                                f"labels in {dataset}]")
    _fitting(truth, _Read(truth.numbers), names, what)
    return truth.numbers


def truth_and_columns(labels: Given, probabilities: Given) -> tuple[Labels, Floats]:
    """Return class numbers (N,) and scores (N, C) float64, each column being a class. Raises LabelsError."""
    columns = np.shape(probabilities)[1] if np.ndim(probabilities) == 2 else None
    truth, scores, _ = truth_and_scores(labels, probabilities, map(str, range(columns)) if columns else None)
    return truth, scores


def _names(class_names: Iterable[Any] | None, *given: Given) -> tuple[str, ...] | None:
    """Return the names that were given, else those of a frame's columns, if there are any."""
    if class_names is not None:
        return checked_names(class_names)
    return next((names for names in map(names_of_columns, given) if names), None)


def _fitting(truth: _Read, answers: _Read, names: tuple[str, ...] | None, what: str = "y_true") -> tuple[str, ...]:
    """Return the names of all classes. Raises LabelsError where truth, answers and names do not fit together."""
    if len(truth.numbers) != len(answers.numbers):
        raise LabelsError(f"There are {len(truth.numbers)} labels and {len(answers.numbers)} answers: row i of both "
                          "must be one photo. get_predictions_and_labels returns both from one pass.")
    sizes = {"class_names": len(names) if names else None, what: truth.classes, "the answers": answers.classes}
    known = {source: size for source, size in sizes.items() if size is not None}
    if len(set(known.values())) > 1:
        raise LabelsError("The number of classes differs: " + ", ".join(
            f"{size} in {source}" for source, size in known.items()) + ". Give one name and one column for each class.")
    present = np.union1d(truth.numbers, answers.numbers)
    if not known and len(absent := np.setdiff1d(np.arange(present[-1]), present)):
        raise LabelsError(f"The class numbers go up to {present[-1]}, and no label or answer is {absent[0]}. Classes "
                          "are numbered from 0; name all of them in class_names if some have no photo.")
    count = next(iter(known.values()), len(present))
    for which, numbers in ((what, truth.numbers), ("y_pred", answers.numbers)):
        if len(outside := np.flatnonzero(numbers >= count)):
            _refuse(which, outside[0], numbers[outside[0]], f"and there are {count} classes, 0 to {count - 1}",
                    "Name all classes in class_names, or leave such photos out.")
    return names or tuple(map(str, range(count)))


def _hardened(what: str) -> str:
    """Write the expression that makes class numbers of soft labels."""
    return f"numpy.asarray({what}).argmax(axis=1)"


def _read(given: Given, what: str, names: tuple[str, ...] | None, *, hardened: str = "") -> _Read:
    """Read answers, which may be scores; or labels, where `hardened` makes class numbers of soft ones."""
    array = _array(given, what, names)
    if array.dtype.kind == "U":
        return _Read(_numbers_of_names(array, what, names))
    if array.ndim == 2 and array.shape[1] > 1:
        hard = hardened or np.isin(array, (0, 1)).all()
        return _read_one_hot(array, what, hardened or _hardened(what)) if hard else _from_columns(array, what)
    column, flat = array.ndim == 2, array.reshape(-1)
    fractions = np.flatnonzero(flat != np.floor(flat))
    if len(fractions) and column and not hardened:
        return _from_one_column(flat, what, names)
    if len(fractions):
        _refuse(what, fractions[0], flat[fractions[0]], "which is no class number",
                "Give class numbers, names or one-hot rows." if hardened else _FLAT_SCORES)
    return _Read(_whole(flat, what))


def _read_scores(given: Given, what: str, names: tuple[str, ...] | None) -> _Read:
    array = _array(given, what, names)
    if array.dtype.kind == "U":
        raise LabelsError(f"{what} holds words, not scores. Give the probabilities, (N, C).")
    if array.ndim == 2 and array.shape[1] > 1:
        return _from_columns(array, what)
    return _from_one_column(array.reshape(-1), what, names)


def _array(given: Given, what: str, names: tuple[str, ...] | None) -> npt.NDArray[Any]:
    """Return (N,) or (N, C) numbers, all finite, or words; at least one. Raises LabelsError."""
    array = _as_numbers_or_words(in_order(given, what, names), what)
    if array.ndim not in (1, 2) or (len(array) and not array.size):
        raise LabelsError(f"{what} has the shape {array.shape}. Labels are (N,), (N, 1) or (N, C), a row for each "
                          "photo.")
    if not len(array):
        raise LabelsError(f"{what} is empty: there is no photo to judge. Give at least one.")
    if array.dtype.kind != "U" and not (finite := np.isfinite(array)).all():
        place = np.argwhere(~finite)[0]
        _refuse(what, place, array[tuple(place)], "which is no number",
                "Look for photos without a label; of a model's answers, its training diverged: train it with a lower "
                "learning rate.")
    return array


def _as_numbers_or_words(given: Given, what: str) -> npt.NDArray[Any]:
    """Return an array of numbers or of words. Raises LabelsError."""
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        raise LabelsError(f"{what} has masked values. Take those photos out of labels and answers alike.")
    try:
        array = _plain(given)
        if array.dtype.kind == "S":
            array = array.astype(np.str_)
        if array.dtype.kind == "O":
            array = _of_objects(array)
        if array.dtype.kind == "V" or array.dtype == np.float16:  # bfloat16 among them
            array = array.astype(np.float32)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise LabelsError(f"{what} is no array of labels or scores ({reason}). Give rows of one length.") from error
    if array.dtype.kind not in "biufU":
        raise LabelsError(f"{what} holds values of the type {array.dtype}. Give class numbers, names or scores.")
    return array


def _plain(given: Given) -> npt.NDArray[Any]:
    """Return an array of what is one: a tensor of PyTorch and a sparse matrix have ways of their own."""
    if hasattr(given, "toarray"):
        return np.asarray(given.toarray())
    if hasattr(given, "detach"):
        tensor = given.detach().cpu()
        given = tensor.float() if "bfloat16" in str(tensor.dtype) else tensor
    return np.asarray(given)


def _of_objects(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of words or of numbers. Raises ValueError or TypeError for any other mixture."""
    kinds = {str if isinstance(value, str) else bytes if isinstance(value, bytes) else float for value in array.flat}
    if kinds == {bytes}:
        return np.array([value.decode() for value in array.flat], np.str_).reshape(array.shape)
    if kinds == {float}:
        return array.astype(np.float64)
    if kinds == {str}:
        return array.astype(np.str_)
    raise TypeError("words and numbers are mixed" if kinds else "it is empty")


def _numbers_of_names(words: npt.NDArray[Any], what: str, names: tuple[str, ...] | None) -> Labels:
    if names is None:
        raise LabelsError(f"{what} holds words ({str(words.flat[0])[:40]!r} first), and class_names does not say which "
                          "class has which number. Give class_names=[...].")
    if words.ndim == 2 and words.shape[1] > 1:
        raise LabelsError(f"{what} has the shape {words.shape}. Names of classes are (N,) or (N, 1).")
    numbers = {name: number for number, name in enumerate(names)}
    for place, word in enumerate(words.flat):
        if str(word) not in numbers:
            _refuse(what, place, str(word), f"which is not among the classes ({', '.join(names)})",
                    "Name all classes in class_names.")
    return np.array([numbers[str(word)] for word in words.flat], np.int64)


def _whole(flat: npt.NDArray[Any], what: str) -> Labels:
    """Return whole numbers as class numbers. Raises LabelsError for those that no class has."""
    outside = np.flatnonzero((flat < 0) | (flat >= MOST_CLASSES))
    if len(outside):
        _refuse(what, outside[0], flat[outside[0]], f"and class numbers are 0 to {MOST_CLASSES - 1} at most",
                "Leave photos without a label out.")
    return flat.astype(np.int64)


def _read_one_hot(array: npt.NDArray[Any], what: str, hardened: str) -> _Read:
    rows = np.isin(array, (0, 1)).all(axis=1) & (array.sum(axis=1, dtype=np.float64) == 1)
    if not rows.all():
        place = np.flatnonzero(~rows)[0]
        _refuse(what, place, array[place].tolist()[:20], "which is not one-hot: one 1, all else 0",
                f"A photo of several classes, or of none, cannot be judged. Give class numbers; of soft labels: "
                f"{hardened}")
    return _Read(np.asarray(array.argmax(axis=1), np.int64), array.astype(np.float64), array.shape[1])


def _from_columns(array: npt.NDArray[Any], what: str) -> _Read:
    if array.shape[1] > MOST_CLASSES:
        raise LabelsError(f"{what} has {array.shape[1]} columns, one for each class; {MOST_CLASSES} are possible.")
    return _Read(np.asarray(array.argmax(axis=1), np.int64), array.astype(np.float64), array.shape[1])


def _from_one_column(flat: npt.NDArray[Any], what: str, names: tuple[str, ...] | None) -> _Read:
    """Read one column as the probabilities of class 1; those of a class that is the only one are all 1."""
    outside = np.flatnonzero((flat < 0) | (flat > 1))
    if len(outside):
        _refuse(what, outside[0], flat[outside[0]], "which is no probability of class 1, between 0 and 1",
                f"Of logits, give 1 / (1 + numpy.exp(-{what})); of more than two classes, a column for each.")
    ones = flat.astype(np.float64)
    if names is not None and len(names) == 1 and ones.min() == 1:
        return _Read(np.zeros(len(ones), np.int64), ones[:, None], 1)
    return _Read(np.asarray(ones > 0.5, np.int64), np.stack([1 - ones, ones], axis=1), 2)


def _refuse(what: str, place: Any, value: Any, why: str, way_out: str) -> NoReturn:
    """Raise LabelsError for a value at a place."""
    at = ", ".join(map(str, np.atleast_1d(place).tolist()))
    shown: Any = value.item() if isinstance(value, np.generic) else value
    raise LabelsError(f"{what}[{at}] is {shown}, {why}. {way_out}")
