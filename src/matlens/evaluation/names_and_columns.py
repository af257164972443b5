"""Names of classes as a user gives them, and the columns of frames: which class has which number.

A slip here puts every figure beside the name of another class, so that whatever has two readings is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from matlens.errors import LabelsError
from matlens.system.untrusted import quoted

_GIVE_A_LIST = "Give them in the order of the class numbers: class_names=['first', 'second', ...]"


def checked_names(class_names: Iterable[Any]) -> tuple[str, ...]:
    """Return names of classes in the order of their numbers.

    class_names: names in that order; or a mapping from names to numbers, or from numbers to names.

    Raises:
        LabelsError: no name, one name alone in place of a list, a name that stands there twice, names without an order
            (a set), a value that is no name, or a mapping whose numbers are not 0, 1, 2, ....
    """
    if isinstance(class_names, str | bytes):
        raise LabelsError(f"class_names={class_names!r} is one name, not a list of names. Give class_names=[...].")
    if isinstance(class_names, set | frozenset):
        raise LabelsError(f"class_names={quoted(class_names)} is a set, whose order is not that of the class numbers. "
                          f"{_GIVE_A_LIST}")
    if isinstance(class_names, Mapping):
        class_names = _by_number(class_names)
    try:
        listed = list(np.asarray(class_names) if hasattr(class_names, "__array__") else class_names)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LabelsError(f"class_names={quoted(class_names)} is no list of names. {_GIVE_A_LIST}") from error
    names = tuple(_name(name, place) for place, name in enumerate(listed))
    if not names:
        raise LabelsError("class_names is empty. Name each class, or leave class_names out.")
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise LabelsError(f"Two classes have the same name in class_names: {', '.join(twice)}. Give each class a name "
                          "of its own.")
    return names


def _name(given: Any, place: int) -> str:
    """Return one name as text. Raises LabelsError for a list, None, or text that is no UTF-8."""
    try:
        if given is None or (isinstance(given, Iterable) and not isinstance(given, str | bytes)):
            raise ValueError("it is neither a word nor a number")
        return given.decode() if isinstance(given, bytes) else str(given)
    except ValueError as error:
        raise LabelsError(f"class_names[{place}] is {quoted(given)}, which is no name of a class ({error}). "
                          f"{_GIVE_A_LIST}") from error


def _by_number(mapping: Mapping[Any, Any]) -> list[Any]:
    """Return the names of a mapping in the order of the numbers, whichever side these are. Raises LabelsError."""
    for names, numbers in ((list(mapping), list(mapping.values())), (list(mapping.values()), list(mapping))):
        if all(isinstance(name, str | bytes) for name in names) and all(map(_is_number, numbers)):
            if sorted(map(int, numbers)) != list(range(len(numbers))):
                raise LabelsError(f"The class numbers in class_names are {quoted(numbers)}, and those of {len(names)} "
                                  f"classes are 0 to {len(names) - 1}, each once. {_GIVE_A_LIST}")
            return [name for _, name in sorted(zip(map(int, numbers), names, strict=True))]
    raise LabelsError(f"class_names={quoted(mapping)} maps neither names to class numbers nor class numbers to names. "
                      f"{_GIVE_A_LIST}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def names_of_columns(given: Any) -> tuple[str, ...] | None:
    """Return the names of the classes that a frame's columns give, in the order of the class numbers.

    None of anything else than a frame of several named or numbered columns. Raises LabelsError.
    """
    columns = _columns(given)
    if columns is None:
        return None
    if _are_class_numbers(columns):
        return tuple(map(str, range(len(columns))))
    if not any(isinstance(column, str) for column in given.columns):
        raise LabelsError(f"The columns of a frame are {', '.join(columns)}, and the numbers of {len(columns)} classes "
                          f"are 0 to {len(columns) - 1}. Name the columns so, say their order by class_names=[...], or "
                          "give the frame's .to_numpy() with a column for each class, in their order.")
    return checked_names(columns)


def in_order(given: Any, what: str, names: tuple[str, ...] | None) -> Any:
    """Return a frame with its columns in the order of the class numbers, and anything else as it is.

    Columns that are not called as the classes, but 0, 1, 2, ..., are class numbers. Raises LabelsError.
    """
    columns = _columns(given)
    if columns is None or names is None or columns == names:
        return given
    if sorted(columns) == sorted(names):
        order = [columns.index(name) for name in names]
    elif len(columns) == len(names) and _are_class_numbers(columns):
        order = [columns.index(str(number)) for number in range(len(names))]
    else:
        raise LabelsError(f"The columns of {what} are {', '.join(columns)}, and the classes {', '.join(names)}. Name "
                          f"them alike; or give {what}.to_numpy(), with its columns in the order of the classes.")
    return given.iloc[:, order] if hasattr(given, "iloc") else given[list(map(given.columns.__getitem__, order))]


def _columns(given: Any) -> tuple[str, ...] | None:
    """Return the columns of a frame as text, whole numbers without a point; None where there are not several."""
    columns = getattr(given, "columns", None)
    if columns is None or len(columns) < 2:
        return None
    texts = tuple(map(_text_of_column, columns))
    return None if all(text is None for text in texts) else tuple(
        str(column) if text is None else text for column, text in zip(columns, texts, strict=True))


def _text_of_column(column: Any) -> str | None:
    """Return a name or a number as text; None of anything else, such as a tuple of names."""
    if isinstance(column, str):
        return column
    if isinstance(column, bool | np.bool_ | Integral) or (isinstance(column, float) and column.is_integer()):
        return str(int(column))
    return None


def _are_class_numbers(columns: tuple[str, ...]) -> bool:
    return set(columns) == set(map(str, range(len(columns))))
