"""Arguments of the notebook's functions that are no settings: each is checked before the work begins."""

from __future__ import annotations

import operator
from numbers import Real
from pathlib import Path
from typing import Any

from matlens.errors import SettingsError
from matlens.settings.knobs import notebook_setting
from matlens.system.untrusted import quoted


def whole_number(given: Any, name: str, least: int | None = None) -> int:
    """Return an argument that is a whole number, of NumPy too. Raises SettingsError."""
    try:
        if isinstance(given, bool):
            raise TypeError
        number = operator.index(given)
    except TypeError:
        raise SettingsError(f"{name}={quoted(given)} is no whole number. Give one, such as: {name}=4") from None
    if least is not None and number < least:
        raise SettingsError(f"{name}={number} is below {least}. Give more, such as: {name}={least + 4}")
    return number


def refuse_no_number(given: Any, name: str) -> None:
    """Raise SettingsError for an argument that is no number; an infinite one is one."""
    if not isinstance(given, Real) or given != given:
        raise SettingsError(f"{name}={quoted(given)} is no number. Give one, such as: {name}=5")


def number_from(given: Any, name: str, least: float, most: float) -> float:
    """Return an argument that is a number within bounds. Raises SettingsError."""
    refuse_no_number(given, name)
    if isinstance(given, bool) or not least <= given <= most:
        raise SettingsError(f"{name}={quoted(given)} is not from {least:g} to {most:g}. Give a number that is.")
    return float(given)


def refuse_no_file_name(given: Any, name: str) -> None:
    """Raise SettingsError for an argument that no file can be called: empty, with a folder, or not to be encoded."""
    try:
        fits = isinstance(given, str) and given != "" and Path(given).name == given and b"\0" not in given.encode()
    except ValueError:  # half of a pair of UTF-16
        fits = False
    if not fits:
        raise SettingsError(f"{name}={quoted(given)} is no file name. Give a word without a folder, such as: "
                            f"{name}='vgg19'")


def folder_of(given: Any, name: str, setting: str) -> Path:
    """Return the folder that an argument names, or the setting where it is None. Raises SettingsError."""
    if given is None:
        default: Path = notebook_setting(setting)
        return default
    try:
        folder = Path(given)
        fits = "\0" not in str(folder)
    except TypeError:
        fits = False
    if not fits:
        raise SettingsError(f"{name}={quoted(given)} is no folder. Give its path, such as: {name}='reports'")
    return folder
