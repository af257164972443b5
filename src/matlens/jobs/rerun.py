"""Repeat a run with the settings that it recorded, and compare the results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import DataError, RunError
from matlens.evaluation.results import Results
from matlens.jobs.run import judged_in, run
from matlens.jobs.series import run_series
from matlens.runs.provenance import provenance
from matlens.runs.record import RunRecord
from matlens.runs.series import SeriesFolder, is_series_folder
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

NOT_REPEATED = frozenset({"seconds", "peak_rss_bytes", "resumed_at_epoch", "versions", "photos_hash"})
"""The keys of results that belong to a time and a machine, not to the model; and `photos_hash`, which earlier versions
do not write and `split_hash` implies."""

_RECORDED = ("versions", "frameworks", "hardware", "git", "environment")


@dataclass(frozen=True)
class Repetition:
    """The comparison of a run with its repetition.

    same: models whose results are equal, all figures to the last digit.
    differences: phrases by model, such as "accuracy: 0.81 there, 0.8 here".
    """

    same: tuple[str, ...]
    differences: Mapping[str, tuple[str, ...]]


def changed_since(recorded: Mapping[str, Any]) -> list[str]:
    """List, in phrases, the versions, hardware, code and environment that differ from what a run recorded."""
    now = provenance()
    return [f"{place}: {old} there, {new} now" for kind in _RECORDED if kind in recorded
            for place, old, new in _differences(recorded[kind], now[kind], kind)]


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the places where two JSON values differ, and both values; None for a value that is missing."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{name} {key}".strip())
    elif old != new:
        yield name, old, new


def rerun(path: Path, out: Path, reporter: Reporter, *, data: Path | None = None, cache_dir: Path | None = None,
          ) -> Repetition:
    """Repeat the run, or the series, of the folder `path` in the folder `out`.

    Args:
        data: the folder of its photos, if they were moved.
        cache_dir: replaces the one that it recorded.

    Raises:
        RunError: there is no run, or `out` is the run's own folder.
        DataError: its photos are gone, or others.
        MatlensError: what `matlens run` raises.
    """
    if out.resolve() == path.resolve():
        raise RunError(f"{out} is the run itself. Name another folder with --out; or go on with the run by the "
                             "command that began it.")
    if is_series_folder(path):
        series = SeriesFolder.open(path)
        records = series.records()
        if not records:
            raise RunError(f"{path} holds no run yet. Begin it with: matlens run --out {path}")
        first = next(iter(records.values()))
        settings = _settings(first, data, cache_dir).model_copy(update={"protocol": series.protocol})
        _say_changes(first, reporter)
        again = run_series(settings, out, reporter).records()
        by_split = [_compared(record, again[split], f"{split}: ") for split, record in records.items()]
        return Repetition(tuple(model for compared in by_split for model in compared.same),
                          {model: phrases for compared in by_split for model, phrases in compared.differences.items()})
    there = RunRecord.read(path)
    settings = _settings(there, data, cache_dir)
    _say_changes(there, reporter)
    return _compared(there, run(settings, out, reporter, split_hash=there.split_hash), "")


def _settings(there: RunRecord, data: Path | None, cache_dir: Path | None) -> Settings:
    root = data if data is not None else there.data_root
    if not root.is_dir():
        raise DataError(f"The photos of {there.path} were in {root}, which is not there. Say where they are now with "
                        "--data.")
    moved = {"data_dir": root, **({"cache_dir": cache_dir} if cache_dir is not None else {})}
    return Settings.load(options={**there.settings.model_dump(), **moved})


def _say_changes(there: RunRecord, reporter: Reporter) -> None:
    if changed := changed_since(there.starts[-1]):
        reporter.warn("Not all is as it was, so figures may differ: " + "; ".join(changed))
    if not there.settings.deterministic:
        reporter.say("The run was made without --deterministic: figures may differ in the last digits, or by more")


def _compared(before: RunRecord, now: RunRecord, prefix: str) -> Repetition:
    same: list[str] = []
    differences: dict[str, tuple[str, ...]] = {}
    here = {results.model_name for results in judged_in(now)}
    for results in judged_in(before):
        name = results.model_name
        if name not in here:
            differences[prefix + name] = ("no results here",)
            continue
        old, new = ({key: value for key, value in Results.read(run.paths.results_file(name)).to_json().items()
                     if key not in NOT_REPEATED} for run in (before, now))
        if phrases := tuple(f"{place}: {_short(was)} there, {_short(is_now)} here"
                            for place, was, is_now in _differences(old, new)):
            differences[prefix + name] = phrases
        else:
            same.append(prefix + name)
    return Repetition(tuple(same), differences)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
