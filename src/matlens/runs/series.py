"""The folder of a series: a run for each split of `minc:all` or `kfold:K`, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import RunError
from matlens.runs.paths import SERIES_NAME
from matlens.runs.run import KAGGLE_WORKING, Run, is_unused_folder, out_option
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import stays_inside


@dataclass(frozen=True)
class SeriesFolder:
    """splits: the protocols of the runs, by the folder that each has in `path`."""

    path: Path
    protocol: str
    splits: dict[str, str]

    @property
    def reports(self) -> Path:
        """The folder of the tables."""
        return self.path / "reports"

    def runs(self) -> dict[str, Run]:
        """The runs that were begun, by protocol."""
        return {split: Run.open(self.path / name) for name, split in self.splits.items()
                if all((self.path / name / file).exists() for file in ("run.json", "split.json"))}

    @classmethod
    def open(cls, path: Path) -> SeriesFolder:
        """A series that is there. Raises RunError."""
        try:
            content: dict[str, Any] = read_json(path / SERIES_NAME)
            splits = {str(name): str(split) for name, split in content["splits"].items()}
            if any(Path(name).name != name or not stays_inside(name) for name in splits):
                raise ValueError("a run lies outside")
            return cls(path, str(content["protocol"]), splits)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path} is not the folder of a series: {SERIES_NAME} is missing or damaged "
                                 f"({error}).") from error

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


def is_series_folder(path: Path) -> bool:
    """Whether a folder is that of a series, and not of one run."""
    return (path / SERIES_NAME).exists()


def runs_in(paths: Sequence[Path]) -> list[Run]:
    """The runs in these folders, those of a series too. Raises RunError."""
    return [run for path in paths for run in (
        SeriesFolder.open(path).runs().values() if is_series_folder(path) else [Run.open(path)])]
