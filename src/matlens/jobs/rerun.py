"""Repeat a run with the settings that it recorded, and compare the results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matlens.data.pixels.store import hash_photos
from matlens.data.split.splits import Split
from matlens.data.split.together import names_file
from matlens.errors import DataError, RunError
from matlens.evaluation.material_groups import FILE_NAME as GROUPS_FILE
from matlens.evaluation.results import Results
from matlens.jobs.run import judged_in, run
from matlens.jobs.series import run_series
from matlens.runs.provenance import provenance
from matlens.runs.record import OF_THIS_MACHINE, RunRecord
from matlens.runs.series import SeriesFolder, is_series_folder
from matlens.settings.addresses import Address
from matlens.settings.schema import Settings
from matlens.system.console import Reporter, command, shell_word

NOT_REPEATED = frozenset({"seconds", "peak_rss_bytes", "resumed_at_epoch", "versions", "photos_hash",
                          "faithfulness", "robustness"})
"""The keys of results that belong to a time and a machine, not to the model; `photos_hash`, which earlier versions do
not write and `split_hash` implies; and what another command measured in a run afterwards."""

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


@dataclass(frozen=True)
class Places:
    """Where this user has what a repetition needs: a recorded run, which may be a stranger's, does not decide that.

    data: the folder or the address of the photos; None where they are in the recorded one, which must hold them.
    groups: the file by which photos are kept together, of a run that was given one.
    settings: this user's own settings of the machine, such as cache_dir; None for the default.
    """

    data: Path | Address | None = None
    groups: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


HERE = Places()


def rerun(path: Path, out: Path, reporter: Reporter, places: Places = HERE) -> Repetition:
    """Repeat the run, or the series, of the folder `path` in the folder `out`.

    Raises:
        RunError: there is no run, `out` is the run's own folder, or the run was given a file of groups and `places`
            names none.
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
            raise RunError(f"{path} holds no run yet. Begin it with: {command('run', '--out', path)}")
        first = next(iter(records.values()))
        settings = series.settings_from(_settings(first, places))
        _say_changes(first, reporter)
        again = run_series(settings, out, reporter).records()
        by_run = [_compared(record, again[name], f"{name}: ") for name, record in records.items()]
        return Repetition(tuple(model for compared in by_run for model in compared.same),
                          {model: phrases for compared in by_run for model, phrases in compared.differences.items()})
    there = RunRecord.read(path)
    settings = _settings(there, places)
    _say_changes(there, reporter)
    return _compared(there, run(settings, out, reporter, split_hash=there.split_hash), "")


def _settings(there: RunRecord, places: Places) -> Settings:
    """Return the settings of a run, apart from those that say where something is: these are this user's."""
    recorded = {name: value for name, value in there.settings.model_dump().items()
                if name not in OF_THIS_MACHINE and name != "data_address"}
    if there.settings.material_groups is not None:
        copied = there.path / GROUPS_FILE
        recorded["material_groups"] = copied.resolve() if copied.exists() else None
    if places.groups is not None:
        recorded["groups"] = places.groups
    elif (groups := there.settings.groups) is not None and names_file(groups):
        raise RunError(f"The run in {there.path} was given the file {groups} of groups of photos. matlens opens no "
                       f"file because a recorded run says so: if it is yours, add --groups {shell_word(groups)}.")
    root = places.data if places.data is not None else _recorded_root(there)
    given = {name: value for name, value in places.settings.items() if value is not None}
    return Settings.load(options={**recorded, **given, "data_dir": root})


def _recorded_root(there: RunRecord) -> Path:
    """Return the folder in which a run had its photos. Raises DataError unless a photo of each class is there now."""
    way_out = ("Say where they are now: "
               f"{command('rerun', there.path, '--data', there.settings.data_address or 'FOLDER')}")
    if not there.data_root.is_dir():
        raise DataError(f"The photos of {there.path} were in {there.data_root}, which is not there. {way_out}")
    wanted = {photo.class_name: photo for photo in Split.read(there.paths.split_file).photos}
    hashes, _ = hash_photos(there.data_root, [photo.path for photo in wanted.values()])
    for photo in wanted.values():
        if hashes.get(photo.path) != photo.sha256:
            raise DataError(f"{there.data_root / photo.path} is not there, or not the photo that {there.path} was made "
                            f"of. {way_out}")
    return there.data_root


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
