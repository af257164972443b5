"""Options of the models' backbones, such as MobileNetV2's `alpha`: each model's spec declares them, a run sets them.

A run records what differs from the specs' defaults: {model: {option: value}}.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from matlens.errors import ModelError
from matlens.models.registry import spec_of
from matlens.models.spec import ModelSpec
from matlens.system.registry import did_you_mean

Value = float | int | str
OptionsByModel = dict[str, dict[str, Value]]


def checked(given: Any, models: Sequence[str]) -> OptionsByModel:
    """Return the options that differ from the specs' defaults, with the types that the specs give them.

    Args:
        given: a mapping of models to options, a text `NAME=VALUE` or `MODEL.NAME=VALUE`, or a list of these, of which
            a later one wins.
        models: the chosen models, to which a text that names no model applies.

    Raises:
        ValueError: an unknown model or option, or a value that the option cannot have; the message says what is known.
    """
    by_model: OptionsByModel = {}
    for model, name, value in _entries(given, models):
        spec = known_spec(model)
        if name not in spec.options:
            raise ValueError(f"{model} has no option '{name}';{_meant(name, [model])} {_known([model])}")
        by_model.setdefault(model, {})[name] = _typed(spec, name, value)
    changed = {model: {name: value for name, value in options.items() if value != spec_of(model).options[name]}
               for model, options in by_model.items()}
    return {model: options for model, options in changed.items() if options}


def written(by_model: OptionsByModel) -> tuple[str, ...]:
    """Write options as `--option` takes them."""
    return tuple(f"{model}.{name}={value}" for model, options in by_model.items() for name, value in options.items())


def listed(given: Any) -> list[Any]:
    """Return what is given once, or in a list, as a list."""
    return list(given) if isinstance(given, list | tuple) else [given]


def _entries(given: Any, models: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield (model, option, value) of everything that is given."""
    for item in listed(given):
        if isinstance(item, str):
            yield from _in_text(item, models)
            continue
        if not isinstance(item, dict):
            raise ValueError(_FORM)
        for model, options in item.items():
            if not isinstance(options, dict):
                raise ValueError(_FORM)
            yield from ((str(model), str(name), value) for name, value in options.items())


_FORM = "must be tables of options by model, such as [model_options.MODEL] with NAME = VALUE"


def _in_text(text: str, models: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    left, equals, value = text.partition("=")
    model, dot, name = left.strip().rpartition(".")  # a model's name may hold dots, an option's does not
    if not equals or not name or (dot and not model):
        raise ValueError(f"'{text}' is not of the form NAME=VALUE or MODEL.NAME=VALUE")
    if model:
        yield model, name, value.strip()
        return
    having = [chosen for chosen in models if name in known_spec(chosen).options]
    if not having:
        raise ValueError(f"none of the chosen models has an option '{name}';{_meant(name, models)} {_known(models)}")
    yield from ((chosen, name, value.strip()) for chosen in having)


def known_spec(model: str) -> ModelSpec:
    """Look a model up. Raises ValueError, which says why there is no such model here and names near ones."""
    try:
        return spec_of(model)
    except ModelError as error:
        raise ValueError(str(error)) from error


def _meant(name: str, models: Sequence[str]) -> str:
    meant = did_you_mean(name, dict.fromkeys(option for model in models for option in known_spec(model).options))
    return meant.replace(" Did", " did")


def _known(models: Sequence[str]) -> str:
    names = [f"{model}.{name}" for model in models for name in known_spec(model).options]
    return f"known are {', '.join(names)}" if names else f"{', '.join(models)} has no options"


def _typed(spec: ModelSpec, name: str, value: Any) -> Value:
    """Return a value in the type of the option's default, within its limits."""
    kind, limits, place = type(spec.options[name]), spec.limits.get(name), f"{spec.name}.{name}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{place} = {value!r}: must be {_KINDS[kind]}")
    if kind is str:
        if value not in spec.choices.get(name, (value,)):
            raise ValueError(f"{place} = {value!r}: choose from {', '.join(spec.choices[name])}")
        return str(value)
    try:
        number = float(value)
        if not math.isfinite(number) or (kind is int and number != int(number)):
            raise ValueError
    except ValueError:
        raise ValueError(f"{place} = {value!r}: must be {_KINDS[kind]}") from None
    if limits is not None and not limits[0] < number <= limits[1]:
        raise ValueError(f"{place} = {value}: must be greater than {limits[0]:g} and at most {limits[1]:g}")
    return int(number) if kind is int else number


_KINDS: dict[type[Any], str] = {float: "a number", int: "a whole number", str: "a word"}
