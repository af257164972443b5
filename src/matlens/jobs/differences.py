"""Tell what runs differ in, so that nobody takes the work of a setting for that of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.runs.names import distinct_names
from matlens.runs.record import RunRecord
from matlens.runs.series import SeriesFolder, is_series_folder
from matlens.settings.schema import DECLARED
from matlens.system.untrusted import in_short


@dataclass(frozen=True)
class Difference:
    """A setting, or the photos, that runs do not have in common. values: by the run's short name, in words."""

    what: str
    values: Mapping[str, str]

    @property
    def in_words(self) -> str:
        """Write it as in '--seed: 42 (runs/A), 43 (runs/B)'; runs of one value together."""
        runs_by_value: dict[str, list[str]] = {}
        for run, value in self.values.items():
            runs_by_value.setdefault(value, []).append(run)
        return f"{self.what}: " + ", ".join(f"{value} ({', '.join(runs)})" for value, runs in runs_by_value.items())


def differences_of(folders: Sequence[Path]) -> list[Difference]:
    """Return what the runs, or the series by their first runs, differ in; nothing of one run alone.

    Raises RunError or SettingsError where one cannot be read.
    """
    names = distinct_names(folders)
    records = {name: record for folder, name in names.items() if (record := _record(folder)) is not None}
    if len(records) < 2:
        return []
    settings = {run: _settings_of(record) for run, record in records.items()}
    keys = dict.fromkeys(key for values in settings.values() for key in values)
    differences = [Difference(_called(key), {run: _shown(values.get(key)) for run, values in settings.items()})
                   for key in keys if len({_shown(values.get(key)) for values in settings.values()}) > 1]
    splits = {run: (record.split_hash or "not recorded")[:12] for run, record in records.items()}
    if len(set(splits.values())) > 1:
        differences.append(Difference("photos and their division", splits))
    return differences


def _record(folder: Path) -> RunRecord | None:
    if not is_series_folder(folder):
        return RunRecord.read(folder)
    return next(iter(SeriesFolder.open(folder).records().values()), None)


def _settings_of(record: RunRecord) -> dict[str, Any]:
    """Return the settings on which results depend: those that a resumed run must agree on, and how many seeds."""
    return {key: DECLARED[key].in_short(value) for key, value in record.settings.agreed().items() if key != "data_dir"}


def _called(key: str) -> str:
    return (DECLARED[key].option or key).partition("/")[0]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return "none" if value in (None, {}, "") else in_short(str(value), 60)
