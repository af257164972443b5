"""Read a settings file, and say which of the settings cannot be."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from matlens.errors import SettingsError
from matlens.system.untrusted import UNREADABLE, read_bounded, reading

_LIMIT = 1 << 20
"""Bytes of a settings file; one with every setting takes some 2 kB."""


def read_toml(file: Path) -> dict[str, Any]:
    """Return the settings in a TOML file, under lower-case names.

    Raises:
        SettingsError: the file cannot be read, is no TOML, or sets something twice.
    """
    way_out = "Mend it, or name another settings file with --config."
    if not file.exists():
        raise SettingsError(f"{file} is missing. {way_out}")
    with reading(file, "valid TOML", SettingsError, way_out, (*UNREADABLE, RecursionError)):  # of lists in lists
        content = tomllib.loads(read_bounded(file, _LIMIT).decode("utf-8"))
    lowered: dict[str, Any] = {}
    for key, value in content.items():
        if key.lower() in lowered:
            raise SettingsError(f"{file} sets {key.upper()} twice.")
        lowered[key.lower()] = value
    return lowered


def explained(error: ValidationError, place: str, known: Iterable[str]) -> SettingsError:
    """Return the error that names every setting that is unknown or cannot be.

    place: where the settings stand, in words, or "". known: the names of all settings.
    """
    lines = []
    for problem in error.errors():
        if problem["type"] == "default_factory_not_called":  # what it waits for is another of the problems
            continue
        key = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting '{key}'; known are {', '.join(known)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{key} = {problem['input']!r}: {message[:1].lower()}{message[1:]}")
    return SettingsError(f"Impossible settings{place}: " + "; ".join(lines))
