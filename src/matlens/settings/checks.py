"""Check single settings, where their type does not say it all. Each check is named for its setting.

A check returns the value, and raises ValueError with what is wrong. It may ask for the settings that stand before its
own in `settings.schema`; one of them that is wrong itself is missing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo

from matlens.errors import ModelError
from matlens.models.registry import MODELS, default_models, is_pattern, look_at, names_matching, spec_of
from matlens.settings.model_options import OptionsByModel, checked, known_spec
from matlens.settings.protocols import PATTERN, WORDS, draws, is_series
from matlens.system.console import command
from matlens.system.ownership.places import expanded

LARGEST_SIDE = 2048
MOST_SEEDS = 100
"""Trainings of one series. 30 already tell a standard deviation to 13 %."""

MOST_FITTING = 12
"""Models that a pattern may stand for without a question."""

_may_be_many: ContextVar[bool] = ContextVar("may_be_many", default=False)


def models(value: Any) -> tuple[str, ...]:
    """Take names and patterns as a list, or separated by commas, each model once; `all` stands for the default."""
    if not isinstance(value, str | list | tuple):
        raise ValueError("must be names, separated by commas or in a list")
    names = [name for each in (value.split(",") if isinstance(value, str) else value) if (name := str(each).strip())]
    if names == ["all"]:
        return default_models()
    if not names:
        raise ValueError(f"no model is named; choose from {', '.join(MODELS)}, or all")
    chosen = tuple(dict.fromkeys(name for named in names for name in (
        _fitting(named) if is_pattern(named) else (named,))))
    try:
        look_at(chosen)
    except ModelError as error:
        raise ValueError(str(error)) from error
    for name in chosen:
        known_spec(name)
    return chosen


@contextmanager
def any_number_of_models() -> Iterator[None]:
    """Inside, a pattern may stand for any number of models: the user knows how many."""
    before = _may_be_many.set(True)
    try:
        yield
    finally:
        _may_be_many.reset(before)


def _fitting(pattern: str) -> tuple[str, ...]:
    """Return the models that a pattern stands for. Raises ValueError where there are none, or too many."""
    try:
        names = names_matching(pattern)
    except ModelError as error:
        raise ValueError(str(error)) from error
    if len(names) > MOST_FITTING and not _may_be_many.get():
        raise ValueError(f"'{pattern}' fits {len(names)} models, and each of them would be trained. List them with: "
                         f"{command('models', pattern)} -- then narrow the pattern, name them, or add --yes to matlens "
                         "run")
    return names


def model_options(value: Any, info: ValidationInfo) -> OptionsByModel:
    """Keep what differs from the specs' defaults."""
    return checked(value, info.data.get("models", tuple(MODELS)))  # of impossible ones, another error tells


def square(value: Any) -> Any:
    """Take one side as that of a square."""
    return (value, value) if isinstance(value, int) else value


def img_size(value: tuple[int, int], info: ValidationInfo) -> tuple[int, int]:
    """Refuse photos that a chosen model leaves nothing of."""
    specs = [spec_of(name) for name in info.data.get("models", default_models())]
    smallest = max(spec.smallest_side for spec in specs)
    if min(value) < smallest or max(value) > LARGEST_SIDE:
        names = ", ".join(spec.name for spec in specs if spec.smallest_side == smallest)
        raise ValueError(f"each side must be {smallest} to {LARGEST_SIDE} pixels for {names}")
    for spec in specs:
        try:
            spec.refuse_size(value)
        except ModelError as error:
            raise ValueError(str(error)) from error
    return value


def path(value: Any) -> Any:
    """Let `~` stand for the home folder, and refuse what is no path."""
    return expanded(value) if isinstance(value, str | Path) else value


def protocol(value: Any) -> Any:
    """Refuse what names no protocol. Whether the dataset has such a split is seen when the dataset is read."""
    if value is not None and not (isinstance(value, str) and re.fullmatch(PATTERN, value)):
        raise ValueError(f"choose {WORDS}")
    return value


def file_or_pattern(value: str) -> str:
    """Let `~/` stand for the home folder: no path in a dataset, which a pattern is searched in, has it."""
    return str(expanded(value)) if value.startswith("~/") else value


def groups(value: str | None, info: ValidationInfo) -> str | None:
    """Refuse groups under the protocol random, which would divide them, and the protocol grouped without groups."""
    protocol = info.data.get("protocol")
    value = value and file_or_pattern(value)
    if value is not None and protocol == "random":
        raise ValueError("groups are kept together by the protocols grouped and kfold:K, not by random")
    if value is None and protocol == "grouped":
        raise ValueError("the protocol grouped takes --groups: a file of lines path,group, or a pattern")
    return value


def split_seed(value: int | None, info: ValidationInfo) -> int | None:
    """Refuse a seed of the division where nothing is divided."""
    protocol = info.data.get("protocol")
    if value is not None and protocol is not None and not draws(protocol):
        raise ValueError(f"the protocol {protocol} divides no photos by a seed; leave --split-seed out")
    return value


def seeds(value: int | None, info: ValidationInfo) -> int | None:
    """Refuse seeds that are too many, and those of several splits."""
    protocol, first = info.data.get("protocol"), info.data.get("seed", 0)
    if value is None:
        return None
    if not 1 <= value <= MOST_SEEDS:
        raise ValueError(f"must be 1 to {MOST_SEEDS}; with 3 to 10 the spread of a method is known well enough")
    if value > 1 and is_series(protocol):
        raise ValueError(f"seeds are of one split, and {protocol} stands for several: name one of them, such as "
                         f"--protocol {'minc:1' if protocol == 'minc:all' else f'{protocol}:1'}")
    if value > 1 and info.data.get("recipe") == "probe":
        raise ValueError("the recipe probe draws nothing by its seed, so all runs on one split would be the same; "
                         "leave --seeds out, or take several splits, such as --protocol kfold:5")
    if first + value > 2**32:
        raise ValueError(f"the seeds {first} to {first + value - 1} do not all lie below 4294967296; give a smaller "
                         "--seed")
    return value


def views(value: int, info: ValidationInfo) -> int:
    """Refuse several views where no features are cached."""
    if value > 1 and not info.data.get("feature_cache", True):
        raise ValueError("views are of cached features, and --no-feature-cache caches none")
    return value


def choose_on(value: str | None, info: ValidationInfo) -> str | None:
    """Refuse to choose on validation photos that are trained on."""
    if value == "val" and info.data.get("train_on") == "train+val":
        raise ValueError("the validation part is trained on (--train-on train+val), so it cannot say which model is "
                         "best; give --choose-on test, or --train-on train")
    return value


def recipe(value: str, info: ValidationInfo) -> str:
    """Refuse the recipe probe without a trunk to freeze, or without validation photos to choose by."""
    if value == "probe" and info.data.get("weights") == "none":
        raise ValueError("the recipe probe fits a head on a pretrained trunk, and --weights none makes a random one; "
                         "give --weights imagenet, or --recipe guide")
    if value == "probe" and info.data.get("train_on") == "train+val":
        raise ValueError("the recipe probe chooses the strength of its penalty on the validation part, so that cannot "
                         "be trained on; give --train-on train")
    return value


def max_epochs(value: int, info: ValidationInfo) -> int:
    """Refuse them with the recipe probe, but for its default."""
    if value != 1 and info.data.get("recipe") == "probe":
        raise ValueError("the recipe probe fits its head at once and has no epochs; leave --epochs out")
    return value


def feature_cache(value: bool, info: ValidationInfo) -> bool:
    """Refuse to do without it with the recipe probe."""
    if not value and info.data.get("recipe") == "probe":
        raise ValueError("the recipe probe fits its head on cached features; leave --no-feature-cache out, or give "
                         "--recipe guide")
    return value


def finetune_epochs(value: int, info: ValidationInfo) -> int:
    """Refuse them with the recipes strong and probe."""
    if value and info.data.get("recipe") == "strong":
        raise ValueError("the recipe strong trains inside the trunk from the start; give --epochs instead")
    if value and info.data.get("recipe") == "probe":
        raise ValueError("the recipe probe trains nothing inside the trunk; give --recipe guide or strong instead")
    return value


def cut(value: str | None, info: ValidationInfo) -> str | None:
    """Refuse a cut where nothing inside of the trunk is trained."""
    if value is not None and info.data.get("recipe") != "strong" and not info.data.get("finetune_epochs"):
        raise ValueError("a cut is where fine-tuning begins; add --finetune-epochs N or --recipe strong")
    return value


def device(value: Any) -> Any:
    """Let `auto` leave it to matlens, and refuse what names no processor. Whether it is there is seen later."""
    if value in (None, "auto"):
        return None
    if not isinstance(value, str) or not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", value):
        raise ValueError("choose auto, cpu, cuda, cuda:N (the GPU of number N, from 0), or mps")
    return value


def epochs_of(value: dict[str, int], info: ValidationInfo) -> dict[str, int]:
    """Refuse epochs of unknown models, and any with the recipe probe."""
    if value and info.data.get("recipe") == "probe":
        raise ValueError("the recipe probe has no epochs; leave epochs_of out")
    for name in value:
        known_spec(name)
    return value
