"""The page's section on what it takes to repeat the run: commands, settings, versions, and the machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matlens.errors import SettingsError
from matlens.evaluation.results import Results
from matlens.report.contents import Contents, mapping
from matlens.settings.schema import Settings


@dataclass(frozen=True)
class Repeat:
    """What it takes to repeat a run. command: the plain `matlens run`, or None; unsaid: settings that it cannot state.

    tables: (title, (name, value) ...) of settings, versions, and the machine.
    """

    command: str | None
    unsaid: tuple[str, ...]
    tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    starts: int


def view_repeat(contents: Contents) -> Repeat:
    """From run.json, and the versions that results name."""
    run = contents.run
    settings, starts = mapping(run.get("settings")), run.get("starts")
    last = mapping(starts[-1]) if isinstance(starts, list) and starts else {}
    versions = _versions(contents.results) | mapping(last.get("frameworks")) | mapping(run.get("versions"))
    machine = {key: last[key] for key in ("hardware", "git", "environment") if last.get(key)}
    command, unsaid = run_command(settings)
    tables = [("Settings", _flat(settings)), ("Versions", _flat(versions)), ("Machine and code", _flat(machine))]
    return Repeat(command, unsaid, tuple((title, found) for title, lines in tables if (found := tuple(lines))),
                  len(starts) if isinstance(starts, list) else 0)


def _versions(results: Iterable[Results]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in results:
        found = each.versions | found
    return found


_OPTIONS = {
    "models": "--models", "protocol": "--protocol", "groups": "--groups", "train_on": "--train-on",
    "max_epochs": "--epochs", "batch_size": "--batch-size", "weights": "--weights", "alpha": "--alpha",
    "finetune_epochs": "--finetune-epochs", "cut": "--cut", "views": "--views", "activations": "--activations",
    "precision": "--precision", "seed": "--seed"}
_FLAGS = {"augment": "--no-augment", "keep_truncated": "--keep-truncated", "deterministic": "--deterministic"}
"""Of switches, the word that changes the default."""
_ELSEWHERE = frozenset({"dataset_name", "data_dir", "output_dir", "models_dir", "reports_dir", "weights_dir",
                        "cache_dir", "cache_limit", "auto_batch", "recipe", "feature_cache", "material_groups"})
"""Settings that say where things are or how much, and those that are stated in a way of their own."""


def run_command(settings: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """`matlens run` with the options in which settings differ from the defaults, and settings that have no option.

    None where there are no settings, or none that matlens could have recorded.
    """
    if not settings:
        return None, ()
    try:
        given = Settings.load(options=settings).model_dump(mode="json")
        alike = {key: given[key] for key in ("recipe", "feature_cache")}
        defaults = Settings.load(options=alike).model_dump(mode="json")
    except SettingsError:
        return None, ()
    words, unsaid = ["matlens", "run", "--data", "PHOTOS"], []
    if given["recipe"] != "guide":
        words += ["--recipe", given["recipe"]]
    if not given["feature_cache"]:
        words.append("--no-feature-cache")
    if given["material_groups"]:
        words += ["--material-groups", "material_groups.toml"]
    for key, value in given.items():
        if value == defaults[key] or key in _ELSEWHERE:
            continue
        if key == "img_size" and value[0] == value[1]:
            words += ["--img-size", str(value[0])]
        elif key in _OPTIONS:
            words += [_OPTIONS[key], ",".join(value) if isinstance(value, list) else str(value)]
        elif key in _FLAGS:
            words.append(_FLAGS[key])
        else:
            unsaid.append(key)
    return shlex.join(words), tuple(unsaid)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", _text(value)
