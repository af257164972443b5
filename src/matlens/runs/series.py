"""The folder of a series: a run for each split of `minc:all` or `kfold:K`, and the tables over all of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import RunError
from matlens.runs.ownership import KAGGLE_WORKING, is_unused_folder, refuse_ways_out
from matlens.runs.paths import SERIES_NAME
from matlens.runs.record import RunRecord
from matlens.runs.run import Run, out_option
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import reading, stays_inside


@dataclass(frozen=True)
class SeriesFolder:
    """A series. splits: the protocols of the runs, by the name of the folder that each has in `path`."""

    path: Path
    protocol: str
    splits: dict[str, str]

    @property
    def reports(self) -> Path:
        """The folder of the tables."""
        return self.path / "reports"

    def runs(self) -> dict[str, Run]:
        """Open the runs that were begun, by protocol. Raises what `Run.open` raises."""
        return {split: Run.open(folder) for split, folder in self._begun().items()}

    def records(self) -> dict[str, RunRecord]:
        """Read the records of the runs that were begun, by protocol, and leave their splits unread."""
        return {split: RunRecord.read(folder) for split, folder in self._begun().items()}

    def _begun(self) -> dict[str, Path]:
        return {split: self.path / name for name, split in self.splits.items()
                if all((self.path / name / file).exists() for file in ("run.json", "split.json"))}

    @classmethod
    def open(cls, path: Path) -> SeriesFolder:
        """Open the series of a folder. Raises RunError."""
        with reading(path / SERIES_NAME, "the manifest of a series", RunError,
                     f"{path} is not the folder of a series. Name the folder that was given to matlens run --out."):
            content: dict[str, Any] = read_json(path / SERIES_NAME)
            protocol, splits = content["protocol"], content["splits"]
            if not (isinstance(protocol, str) and all(isinstance(split, str) for split in splits.values())):
                raise TypeError("protocol or splits are not what they should be")
            if any(Path(name).name != name or not stays_inside(name) or _leads_out(path, name) for name in splits):
                raise ValueError("a run lies outside")
        refuse_ways_out(path)
        return cls(path, protocol, splits)

    @classmethod
    def create(cls, path: Path, protocol: str, splits: Sequence[str]) -> SeriesFolder:
        """Begin a series in `path`, or go on with the one that is there. Raises RunError."""
        series = cls(path, protocol, {split.replace(":", "-"): split for split in splits})
        if (path / SERIES_NAME).exists():
            there = cls.open(path)
            if there != series:
                raise RunError(f"{path} holds a series of other splits ({there.protocol}: "
                               f"{', '.join(there.splits.values())}). Name a new folder with --out.")
            return there
        if path.exists() and path != KAGGLE_WORKING and not is_unused_folder(path):
            raise RunError(f"{path} is there already and is not the folder of a series. "
                           "Name a new folder with --out; nothing in it was changed.")
        with out_option():
            write_json(path / SERIES_NAME, {"format": 1, "protocol": protocol, "splits": series.splits})
        return series


def _leads_out(folder: Path, name: str) -> bool:
    """Return whether a run of a series is a link to a folder elsewhere."""
    return not Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder))


def is_series_folder(path: Path) -> bool:
    """Return whether a folder is that of a series, and not of one run."""
    return (path / SERIES_NAME).exists()


def runs_in(paths: Sequence[Path]) -> list[Run]:
    """Open the runs in these folders, also those inside of series. Raises RunError."""
    return [run for path in paths for run in (
        SeriesFolder.open(path).runs().values() if is_series_folder(path) else [Run.open(path)])]
