"""Read a settings file, and say which of the settings cannot be."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from matlens.errors import SettingsError
from matlens.settings.declaration import Setting
from matlens.settings.typed import are_typed
from matlens.system.registry import did_you_mean
from matlens.system.untrusted import in_short, quoted, read_toml, reading

_OF_A_BACKSLASH = ("Invalid hex value", "Unescaped '\\'")
_DIGITS = 40
_NAMED = 5
"""How many of the settings that cannot be are named; a file may hold thousands."""


def read_settings(file: Path | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings in a TOML file, under lower-case names, and how the file spells each; without one, none.

    Raises:
        SettingsError: the file cannot be read, is no TOML, or sets something twice.
    """
    way_out = "Correct it, or name another settings file with --config."
    if file is None:
        return {}, {}
    with reading(file, "valid TOML", SettingsError, way_out):
        try:
            content = read_toml(file)
        except tomllib.TOMLDecodeError as problem:
            if not str(problem).startswith(_OF_A_BACKSLASH):
                raise
            raise SettingsError(f"{file} is not valid TOML ({problem}): a backslash between double quotes begins an "
                                "escape. Write a path of Windows between single quotes, as in 'C:\\photos'."
                                ) from problem
    lowered: dict[str, Any] = {}
    for key, value in content.items():
        if key.lower() in lowered:
            raise SettingsError(f"{file} sets {in_short(key.upper())} twice. {way_out}")
        lowered[key.lower()] = value
    return lowered, {key.lower(): key for key in content}


def names_of(file: Path | None, spelled: Mapping[str, str], given: Iterable[str], declared: Mapping[str, Setting],
             ) -> dict[str, str]:
    """Return what settings are called where they stand: `MAX_EPOCHS in m.toml`, `--epochs`, or `max_epochs`.

    spelled: how the file spells its settings. given: those that were given beside the file. declared: all settings.
    """
    of_file = {key: f"{in_short(name, 80)} in {file}" for key, name in spelled.items()}
    return {**of_file, **{key: called(key, declared) for key in given}}


def called(key: str, declared: Mapping[str, Setting]) -> str:
    """Return what a user calls a setting: its option where a command line is typed, its name in Python."""
    option = setting.option if are_typed() and (setting := declared.get(key)) else None
    return option.partition("/")[0] if option else key


_REASONS = {"greater_than_equal": "must be at least {ge}", "greater_than": "must be more than {gt}",
            "less_than_equal": "must be at most {le}", "less_than": "must be less than {lt}",
            "literal_error": "must be {expected}", "int_parsing": "must be a whole number",
            "int_type": "must be a whole number", "int_from_float": "must be a whole number",
            "float_parsing": "must be a number", "float_type": "must be a number",
            "finite_number": "must be a finite number", "bool_parsing": "must be true or false",
            "bool_type": "must be true or false", "string_type": "must be a text"}
"""What pydantic's kinds of errors say to a user."""


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any], names: Mapping[str, str]) -> Model:
    """Return settings of these values. names: what they are called where they stand. Raises SettingsError."""
    for key, value in values.items():
        if isinstance(value, bool) and (field := model.model_fields.get(key)) is not None:
            kinds = {field.annotation, *get_args(field.annotation)}
            if kinds & {int, float} and bool not in kinds:  # pydantic takes true for 1
                raise SettingsError(f"{names.get(key, key)} must be a number (got {value}).")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explained(error, names, model.model_fields) from error
    except UnicodeEncodeError as error:  # pydantic cannot hold the reason, which quotes what is no UTF-8
        raise SettingsError(f"A setting is not UTF-8: {quoted(error.object, 300)}") from error


def explained(error: ValidationError, names: Mapping[str, str], known: Iterable[str]) -> SettingsError:
    """Return the error that names every setting that is unknown or cannot be.

    names: what settings are called where they stand. known: the names of all settings.
    """
    lines: list[str] = []
    unknown: list[str] = []
    none_meant = False
    for problem in error.errors(include_url=False):
        if problem["type"] == "default_factory_not_called":  # what it waits for is another of the problems
            continue
        key = str(problem["loc"][0])
        name = names.get(key, in_short(key, 80))
        if problem["type"] == "extra_forbidden":
            meant = did_you_mean(key, known) if len(unknown) < _NAMED else ""
            none_meant = none_meant or not meant
            unknown.append(f"{name}: there is no setting '{in_short(key, 80)}'.{meant}")
        elif (reason := _REASONS.get(problem["type"])) is not None:
            inside = "".join(f".{in_short(str(part), 80)}" for part in problem["loc"][1:])
            lines.append(f"{name}{inside} {reason.format(**problem.get('ctx', {}))} (got {_got(problem['input'])})")
        else:
            lines.append(f"{name} {_got(problem['input'])}: {in_short(problem['msg'].removeprefix('Value error, '))}")
    text = _some([line.rstrip(".") for line in [*unknown, *lines]], "; ")
    return SettingsError(text + "." * (not text.endswith("?")) + f" The settings are {', '.join(known)}." * none_meant)


def _got(value: Any) -> str:
    """Write a value as it was given; a number that was typed without quotes, and several words with commas."""
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return quoted(", ".join(value))
    return value if isinstance(value, str) and len(value) < _DIGITS and value.lstrip("-").isdecimal() else quoted(value)


def _some(words: list[str], between: str) -> str:
    more = len(words) - _NAMED
    return between.join([*words[:_NAMED], *([f"and {more:,} more"] if more > 0 else [])])
