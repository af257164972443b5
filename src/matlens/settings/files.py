"""Read a settings file, and say which of the settings cannot be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from matlens.errors import SettingsError
from matlens.system.untrusted import in_short, quoted, read_toml, reading

_NAMED = 5
"""How many of the settings that cannot be are named; a file may hold thousands."""


def read_settings(file: Path) -> dict[str, Any]:
    """Return the settings in a TOML file, under lower-case names.

    Raises:
        SettingsError: the file cannot be read, is no TOML, or sets something twice.
    """
    way_out = "Mend it, or name another settings file with --config."
    with reading(file, "valid TOML", SettingsError, way_out):
        content = read_toml(file)
    lowered: dict[str, Any] = {}
    for key, value in content.items():
        if key.lower() in lowered:
            raise SettingsError(f"{file} sets {in_short(key.upper())} twice. {way_out}")
        lowered[key.lower()] = value
    return lowered


def explained(error: ValidationError, place: str, known: Iterable[str]) -> SettingsError:
    """Return the error that names every setting that is unknown or cannot be.

    place: where the settings stand, in words, or "". known: the names of all settings.
    """
    lines, unknown = [], []
    for problem in error.errors(include_url=False, include_context=False):
        if problem["type"] == "default_factory_not_called":  # what it waits for is another of the problems
            continue
        key = in_short(str(problem["loc"][0]), 80)
        if problem["type"] == "extra_forbidden":
            unknown.append(key)
        else:
            message = in_short(problem["msg"].removeprefix("Value error, "))
            lines.append(f"{key} = {quoted(problem['input'])}: {message[:1].lower()}{message[1:]}")
    if unknown:
        named = _some([f"'{key}'" for key in unknown], ", ")
        lines.insert(0, f"unknown setting{'s' * (len(unknown) > 1)} {named}; known are {', '.join(known)}")
    return SettingsError(f"Impossible settings{place}: {_some(lines, '; ')}")


def _some(words: list[str], between: str) -> str:
    more = len(words) - _NAMED
    return between.join([*words[:_NAMED], *([f"and {more:,} more"] if more > 0 else [])])
