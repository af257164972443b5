"""The guide's knobs, and the run's: defaults, then a TOML file, then options, each checked by name.

The guide's names (`IMG_SIZE`, `BATCH_SIZE`, ...) are attributes of this module and of `matlens`; they hold the
defaults for this machine, Kaggle recognised by its /kaggle/input folder.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from matlens.errors import SettingsError
from matlens.models.precision import Wish
from matlens.models.registry import MODELS, default_models, spec_of
from matlens.settings.protocols import PATTERN, WORDS

KAGGLE_ROOT = Path("/kaggle")

SMALLEST_SIDE = 32
"""The five halvings of VGG19, ResNet50 and MobileNetV2 leave nothing of a smaller photo."""


def is_kaggle() -> bool:
    """Whether this is a Kaggle notebook, as the guide tells: /kaggle/input exists."""
    return (KAGGLE_ROOT / "input").exists()


def _working(folder: str) -> Path:
    return KAGGLE_ROOT / "working" / folder if is_kaggle() else Path(folder)


def default_cache_dir() -> Path:
    """`MATLENS_CACHE`, else the platform's cache folder; on Kaggle one that is not saved with the notebook."""
    if chosen := os.environ.get("MATLENS_CACHE"):
        return Path(chosen)
    if is_kaggle():
        return Path("/tmp/matlens-cache")
    from platformdirs import user_cache_path

    return user_cache_path("matlens", appauthor=False)


PositiveInt = Annotated[int, Field(ge=1)]


def _by_recipe(known: Mapping[str, Any], guide: int, strong: int) -> int:
    """A default that the recipe decides."""
    return strong if known.get("recipe") == "strong" else guide


class Settings(BaseModel):
    """Everything that decides what a run does. Immutable; unknown keys and impossible values are refused.

    Keys in a TOML file may be written as the guide writes them (`IMG_SIZE`) or in lower case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    dataset_name: str = "minc2500/minc-2500"
    data_dir: Path = Field(default_factory=lambda data: KAGGLE_ROOT / "input" / data["dataset_name"]
                           if is_kaggle() else Path("data") / data["dataset_name"].rsplit("/", 1)[-1])
    output_dir: Path = Field(default_factory=lambda: _working("dataset"))
    models_dir: Path = Field(default_factory=lambda: _working("models"))
    reports_dir: Path = Field(default_factory=lambda: _working("reports"))

    img_size: tuple[int, int] = (224, 224)
    recipe: Literal["guide", "strong"] = "guide"
    auto_batch: bool = False
    batch_size: PositiveInt = Field(default_factory=lambda data: _by_recipe(data, 64, 32))
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    max_epochs: PositiveInt = Field(default_factory=lambda data: _by_recipe(data, 4, 9))

    models: tuple[str, ...] = Field(default_factory=default_models)
    epochs_of: dict[str, PositiveInt] = {}
    protocol: Annotated[str, Field(pattern=PATTERN)] | None = None
    groups: str | None = None
    material_groups: Path | None = None
    train_on: Literal["train", "train+val"] = "train"
    weights: Literal["imagenet", "none", "auto"] = "imagenet"
    weights_dir: Path | None = None
    alpha: Annotated[float, Field(gt=0, le=2)] = 1.0
    finetune_epochs: Annotated[int, Field(ge=0)] = 0
    cut: str | None = None
    augment: bool = True
    feature_cache: bool = True
    activations: Literal["float16", "float32"] = "float16"
    features_on: Literal["auto", "openvino", "framework"] = "auto"
    views: Annotated[int, Field(ge=1, le=64)] = Field(
        default_factory=lambda data: _by_recipe(data, 1, 4) if data.get("feature_cache") else 1)
    precision: Wish = "auto"
    keep_truncated: bool = False
    early_stopping_patience: PositiveInt = 5
    reduce_lr_patience: PositiveInt = 3
    deterministic: bool = False
    cache_dir: Path = Field(default_factory=default_cache_dir)
    cache_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 20

    @model_validator(mode="before")
    @classmethod
    def _auto_is_the_recipes_batch(cls, values: Any) -> Any:
        """batch_size "auto": the recipe's, of which a model that is killed for want of memory computes less at once."""
        if isinstance(values, dict) and values.get("batch_size") == "auto":
            return {key: value for key, value in values.items() if key != "batch_size"} | {"auto_batch": True}
        return values

    @field_validator("img_size", mode="before")
    @classmethod
    def _one_side_means_a_square(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) else value

    @field_validator("img_size")
    @classmethod
    def _large_enough(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < SMALLEST_SIDE or max(value) > 2048:
            raise ValueError(f"each side must be {SMALLEST_SIDE} to 2048 pixels")
        return value

    @field_validator("models", mode="before")
    @classmethod
    def _known_models(cls, value: Any) -> Any:
        if not isinstance(value, str | list | tuple):
            raise ValueError("must be names, separated by commas or in a list")
        names = [str(name).strip() for name in (value.split(",") if isinstance(value, str) else value)]
        if names == ["all"]:
            return default_models()
        unknown = [name for name in names if name not in MODELS]
        if unknown or not names:
            raise ValueError(f"unknown model '{unknown[0] if unknown else ''}'; "
                             f"choose from {', '.join(MODELS)}, or all")
        return tuple(dict.fromkeys(names))

    @field_validator("groups")
    @classmethod
    def _of_a_protocol_that_draws(cls, value: str | None, info: ValidationInfo) -> str | None:
        protocol = info.data.get("protocol")
        if value is not None and protocol is not None and protocol != "grouped" and not protocol.startswith("kfold:"):
            raise ValueError(f"groups are kept together by the protocols grouped and kfold:K, not by {protocol}")
        if value is None and protocol == "grouped":
            raise ValueError("the protocol grouped takes --groups: a file of lines path,group, or a pattern")
        return value

    @field_validator("views")
    @classmethod
    def _of_kept_features(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and not info.data.get("feature_cache", True):
            raise ValueError("views are of kept features, and --no-feature-cache keeps none")
        return value

    @field_validator("finetune_epochs")
    @classmethod
    def _of_the_guide(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("recipe") == "strong":
            raise ValueError("the recipe strong trains inside the trunk from the start; give --epochs instead")
        return value

    @field_validator("cut")
    @classmethod
    def _of_finetuning(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("recipe") != "strong" and not info.data.get("finetune_epochs"):
            raise ValueError("a cut is where fine-tuning begins; add --finetune-epochs N or --recipe strong")
        return value

    @field_validator("epochs_of")
    @classmethod
    def _of_known_models(cls, value: dict[str, int]) -> dict[str, int]:
        for name in value:
            if name not in MODELS:
                raise ValueError(f"unknown model '{name}'; choose from {', '.join(MODELS)}")
        return value

    def options_of(self, model: str) -> dict[str, float | int | str]:
        """The backbone's own options for a model, as far as it has them."""
        return {"alpha": self.alpha} if "alpha" in spec_of(model).options else {}

    def epochs(self, model: str) -> int:
        """How many epochs a model is trained: its own in `epochs_of`, else `max_epochs`."""
        return self.epochs_of.get(model, self.max_epochs)

    @classmethod
    def load(cls, file: Path | None = None, options: Mapping[str, Any] | None = None) -> Settings:
        """Defaults, under a TOML file, under options (those that are None are not set).

        Raises:
            SettingsError: a file that cannot be read, an unknown key, an impossible value; named.
        """
        values = _read_toml(file) if file is not None else {}
        values |= {key: value for key, value in (options or {}).items() if value is not None}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(_explain(error, file)) from error


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            content = tomllib.load(handle)
    except OSError as error:
        raise SettingsError(f"Cannot read the settings file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from error
    lowered: dict[str, Any] = {}
    for key, value in content.items():
        if key.lower() in lowered:
            raise SettingsError(f"{file} sets {key.upper()} twice.")
        lowered[key.lower()] = value
    return lowered


def _explain(error: ValidationError, file: Path | None) -> str:
    lines = []
    for problem in error.errors():
        if problem["type"] == "default_factory_not_called":  # what it waits for is another of the problems
            continue
        key = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting '{key}'; known are {', '.join(Settings.model_fields)}")
        else:
            message = f"choose {WORDS}" if key == "protocol" else problem["msg"].removeprefix("Value error, ")
            lines.append(f"{key} = {problem['input']!r}: {message[:1].lower()}{message[1:]}")
    source = f" in {file} or the options" if file else ""
    return f"Impossible settings{source}: " + "; ".join(lines)


def needs_split(data_dir: Path) -> bool:
    """The guide's NEEDS_SPLIT: True unless `data_dir` is divided already (train/ and test/ are there)."""
    return not ((data_dir / "train").is_dir() and (data_dir / "test").is_dir())


def notebook_settings() -> Settings:
    """The settings that the guide's functions and knobs go by: defaults, under the TOML file `MATLENS_CONFIG`."""
    chosen = os.environ.get("MATLENS_CONFIG")
    return Settings.load(Path(chosen) if chosen else None)


KNOBS = ("DATASET_NAME", "DATA_DIR", "KAGGLE_INPUT", "KAGGLE_WORKING", "IS_KAGGLE", "NEEDS_SPLIT", "OUTPUT_DIR",
         "MODELS_DIR", "REPORTS_DIR", "IMG_SIZE", "BATCH_SIZE", "SEED", "MAX_EPOCHS")
"""The guide's settings by its names."""


def __getattr__(name: str) -> Any:
    """The guide's knobs, worked out when asked for."""
    if name not in KNOBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = notebook_settings()
    if name == "IS_KAGGLE":
        return is_kaggle()
    if name == "KAGGLE_INPUT":
        return KAGGLE_ROOT / "input" / settings.dataset_name
    if name == "KAGGLE_WORKING":
        return KAGGLE_ROOT / "working"
    if name == "NEEDS_SPLIT":
        return needs_split(settings.data_dir)
    return getattr(settings, name.lower())
