"""The notebook guide's settings, by its names, and the defaults that its functions take from them.

`IMG_SIZE`, `BATCH_SIZE`, ... are attributes of this module and of `matlens`. They hold the defaults for this machine,
under the TOML file that the environment variable `MATLENS_CONFIG` names. Nothing is read before somebody asks.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from matlens.errors import SettingsError
from matlens.settings.schema import Settings
from matlens.system.ownership.places import input_folder, is_kaggle, path_in, working_folder

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def notebook_setting(name: str) -> Any:
    """Return a setting that the guide's functions go by: its default, under the TOML file `MATLENS_CONFIG`.

    Raises SettingsError where that is no settings file; for the cache also where this user has no place for one.
    """
    settings = _settings(with_cache=name == "cache_dir")
    return _data_dir(settings) if name == "data_dir" else getattr(settings, name)


def _data_dir(settings: Settings) -> Path:
    """Return the folder of the photos. Raises SettingsError where they are at an address."""
    if settings.data_address is not None:
        raise SettingsError(f"DATA_DIR is the address {settings.data_address}, and the guide's functions take folders. "
                            "Use matlens run.")
    return settings.data_dir


def _settings(*, with_cache: bool = False) -> Settings:
    return Settings.load(path_in("MATLENS_CONFIG"), {} if with_cache else {"cache_dir": Path("cache")})


def needs_split(data_dir: Path) -> bool:
    """Return the guide's NEEDS_SPLIT: False if `data_dir` is divided already (train/ and test/ are there)."""
    return not ((data_dir / "train").is_dir() and (data_dir / "test").is_dir())


_KNOBS: dict[str, Callable[[Settings], Any]] = {
    "DATASET_NAME": lambda settings: settings.dataset_name,
    "DATA_DIR": _data_dir,
    "KAGGLE_INPUT": lambda settings: input_folder(settings.dataset_name),
    "KAGGLE_WORKING": lambda settings: working_folder(),
    "IS_KAGGLE": lambda settings: is_kaggle(),
    "NEEDS_SPLIT": lambda settings: needs_split(_data_dir(settings)),
    "OUTPUT_DIR": lambda settings: settings.output_dir,
    "MODELS_DIR": lambda settings: settings.models_dir,
    "REPORTS_DIR": lambda settings: settings.reports_dir,
    "IMG_SIZE": lambda settings: settings.img_size,
    "BATCH_SIZE": lambda settings: settings.batch_size,
    "SEED": lambda settings: settings.seed,
    "MAX_EPOCHS": lambda settings: settings.max_epochs,
}

KNOBS = tuple(_KNOBS)
"""The guide's settings by its names."""


def __getattr__(name: str) -> Any:
    """Work out one of the guide's settings."""
    if name not in _KNOBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _KNOBS[name](_settings())


class Knob:
    """A parameter's default that is a setting: it compares and prints as the value that the setting has now."""

    def __init__(self, setting: str) -> None:
        if setting not in Settings.model_fields:
            raise ValueError(f"there is no setting '{setting}'")
        self._setting = setting

    @property
    def value(self) -> Any:
        """Read the setting. Raises SettingsError where the settings file is none."""
        return notebook_setting(self._setting)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == (other.value if isinstance(other, Knob) else other))

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        try:
            return repr(self.value)
        except SettingsError:  # help and tab completion ask for this, and are not the place to fail
            return self._setting.upper()

    def __str__(self) -> str:
        try:
            return str(self.value)
        except SettingsError:
            return self._setting.upper()


def knob(setting: str) -> Any:
    """Return a default that `with_knobs` replaces by the setting's value when the function is called."""
    return Knob(setting)


def with_knobs(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Let the defaults that are settings be read at each call, and not when the module is imported."""
    names = list(inspect.signature(function).parameters)
    knobs = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()
             if isinstance(parameter.default, Knob)}

    @functools.wraps(function)
    def called(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        for name in knobs.keys() - {*names[:len(args)], *kwargs}:
            kwargs[name] = knobs[name].value
        return function(*args, **kwargs)

    return called
