"""The folder of a series: a run for each split of `minc:all` or `kfold:K`, or for each of several seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matlens.errors import RunError
from matlens.runs.ownership import KAGGLE_WORKING, is_unused_folder, read_series, refuse_ways_out
from matlens.runs.paths import SERIES_NAME
from matlens.runs.record import RunRecord
from matlens.runs.run import Run, out_option
from matlens.settings.protocols import draws
from matlens.settings.schema import Settings
from matlens.system.files import write_json
from matlens.system.untrusted import reading, stays_inside


@dataclass(frozen=True)
class SeriesFolder:
    """A series, whose runs differ in their split or in their seed.

    splits: the protocols of the runs, by the name of the folder that each has in `path`; empty in a series of seeds.
    seeds: the runs' seeds, likewise; empty in a series of splits. All of them train on one split of `protocol`.
    """

    path: Path
    protocol: str
    splits: Mapping[str, str]
    seeds: Mapping[str, int]

    @classmethod
    def of_splits(cls, path: Path, protocol: str, splits: tuple[str, ...]) -> SeriesFolder:
        """Name the folders of a series of splits. Nothing is written."""
        return cls(path, protocol, {split.replace(":", "-"): split for split in splits}, {})

    @classmethod
    def of_seeds(cls, path: Path, protocol: str, first: int, count: int) -> SeriesFolder:
        """Name the folders of a series of seeds that count up from the first. Nothing is written."""
        return cls(path, protocol, {}, {f"seed-{seed}": seed for seed in range(first, first + count)})

    @property
    def runs_by_folder(self) -> dict[str, str]:
        """What each run is, by its folder's name: a split's protocol, or "seed 42"."""
        return {**self.splits, **{folder: f"seed {seed}" for folder, seed in self.seeds.items()}}

    @property
    def reports(self) -> Path:
        """The folder of the tables."""
        return self.path / "reports"

    def settings_of(self, folder: str, settings: Settings) -> Settings:
        """Return the settings of the run in one of the folders, from those of the series."""
        if not self.seeds:
            return settings.model_copy(update={"protocol": self.splits[folder], "seeds": None})
        split_seed = settings.seed_of_split if draws(self.protocol) else None
        return settings.model_copy(update={"seed": self.seeds[folder], "split_seed": split_seed, "seeds": None})

    def settings_from(self, settings: Settings) -> Settings:
        """Return the settings that ask for this series, from those of its first run."""
        if not self.seeds:
            return settings.model_copy(update={"protocol": self.protocol})
        return settings.model_copy(update={"seed": next(iter(self.seeds.values())), "seeds": len(self.seeds)})

    def runs(self) -> dict[str, Run]:
        """Open the runs that were begun, by what they are. Raises what `Run.open` raises."""
        return {name: Run.open(folder) for name, folder in self._begun().items()}

    def records(self) -> dict[str, RunRecord]:
        """Read the records of the runs that were begun, by what they are, and leave their splits unread."""
        return {name: RunRecord.read(folder) for name, folder in self._begun().items()}

    def _begun(self) -> dict[str, Path]:
        return {name: self.path / folder for folder, name in self.runs_by_folder.items()
                if all((self.path / folder / file).exists() for file in ("run.json", "split.json"))}

    @classmethod
    def open(cls, path: Path) -> SeriesFolder:
        """Open the series of a folder. Raises RunError."""
        with reading(path / SERIES_NAME, "the manifest of a series", RunError,
                     f"{path} is not the folder of a series. Name the folder that was given to matlens run --out."):
            protocol, splits, seeds = read_series(path / SERIES_NAME)
            if any(Path(name).name != name or not stays_inside(name) or _leads_out(path, name)
                   for name in (*splits, *seeds)):
                raise ValueError("a run lies outside")
        refuse_ways_out(path)
        return cls(path, protocol, splits, seeds)

    def refuse_if_foreign(self) -> None:
        """Raise RunError if the folder holds other things, another series, or this one with more seeds."""
        if not (self.path / SERIES_NAME).exists():
            if self.path.exists() and self.path != KAGGLE_WORKING and not is_unused_folder(self.path):
                raise RunError(f"{self.path} is there already and is not the folder of a series. "
                               "Name a new folder with --out; nothing in it was changed.")
            return
        there = SeriesFolder.open(self.path)
        if there == self or (there.protocol == self.protocol and there.seeds and self._goes_on_with(there.seeds)):
            return
        if there.seeds and there.seeds.items() > self.seeds.items() and there.protocol == self.protocol:
            raise RunError(f"{self.path} holds a series of {len(there.seeds)} seeds already, and none of them is left "
                           f"out of its figures. Give --seeds {len(there.seeds)} or more to go on with it, or name a "
                           "new folder with --out.")
        differ_in = "seeds" if there.seeds else "splits"
        raise RunError(f"{self.path} holds a series of other {differ_in} ({there.protocol}: "
                       f"{', '.join(there.runs_by_folder.values())}). Name a new folder with --out.")

    def _goes_on_with(self, seeds: Mapping[str, int]) -> bool:
        return list(self.seeds.items())[:len(seeds)] == list(seeds.items())

    def create(self) -> SeriesFolder:
        """Begin the series, or go on with the one that is there, with more seeds if they are more. Raises RunError."""
        self.refuse_if_foreign()
        members = {"seeds": dict(self.seeds)} if self.seeds else {"splits": dict(self.splits)}
        if not (self.path / SERIES_NAME).exists() or SeriesFolder.open(self.path) != self:
            with out_option():
                write_json(self.path / SERIES_NAME, {"format": 1, "protocol": self.protocol, **members})
        return self

    def withdraw_if_empty(self) -> None:
        """Remove what `create` wrote where none of the runs could begin, so that nothing is left of a mistake."""
        if not any(self.path.glob("*/run.json")):
            (self.path / SERIES_NAME).unlink(missing_ok=True)


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
