"""What is computed of each photo by itself, for some photos, in shards: which shards there are, and those to build.

    <cache>/<kind>/<key>/               the index of some photos in their order
        index.json      the shards' names, what they hold, and the SHA-256 of all this
        rows.npy        (N,) int64, where each photo stands in these shards one after the other
    <cache>/<kind>/<stage>-<photos>/    a shard, see `shard`

The index is written before the first shard is computed, so that shards of a run that is under way are not pruned: who
uses an index uses its shards. Several indexes share shards.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.system.caches import Say, note_use, opened_or_made, removed_unless_used, silent, whole_entry
from matlens.system.files import read_json, seal_of, write_json
from matlens.system.ownership.cache_content import INDEX_NAME
from matlens.system.shards.gathered import ShardedRows, joined
from matlens.system.shards.open_files import allow_open_files
from matlens.system.shards.planning import Digests, Shard, ShardPlan, packed, planned, shard_name, stage_of, unpacked
from matlens.system.shards.shard import (
    OpenShard,
    WriteRow,
    open_shard,
    read_numbers,
    read_shard,
    save_numbers,
    write_shard,
)
from matlens.system.untrusted import UNREADABLE, reason_of
from matlens.types import Labels, Progress, unheard

_ROWS, _FORMAT = "rows.npy", 1

Fill = Callable[[tuple[str, ...], WriteRow, Progress], Mapping[str, Any]]
"""Computes the values of photos, by their SHA-256, and writes each with its number among them. Returns what else the
shard's description says."""

BuildAll = Callable[[tuple[Shard, ...], Progress], None]
"""Has shards built, here or elsewhere, and tells how many of their photos are done, of all of them."""


@dataclass(frozen=True, eq=False)
class OpenIndex:
    """The values of some photos. shards: those that hold them. places: (N,) as in the index. about: its other content.
    """

    folder: Path
    shards: tuple[OpenShard, ...]
    places: Labels
    about: Mapping[str, Any]

    @cached_property
    def values(self) -> ShardedRows:
        """The values (N, ...), mapped from the disk."""
        return ShardedRows(tuple(shard.values for shard in self.shards), self.places)

    @cached_property
    def checksums(self) -> npt.NDArray[np.uint32]:
        """CRC-32 of each photo's values, (N,)."""
        return joined([shard.checksums for shard in self.shards], self.places)

    @cached_property
    def digests(self) -> Digests:
        """SHA-256 of the photos' contents, (N,)."""
        return joined([shard.digests for shard in self.shards], self.places)


def open_index(folder: Path, *, verify: bool = False) -> OpenIndex | None:
    """Open the values of the photos of an index. Returns None where the index or one of its shards is not whole.

    verify: read all rows of the shards, too, and compare their checksums.
    """
    with suppress(*UNREADABLE):
        about = read_json(folder / INDEX_NAME)
        if about.pop("sha256") != seal_of(about) or about["format"] != _FORMAT:
            return None
        places = read_numbers(folder / _ROWS, about["photos"])
        if zlib.crc32(places.data) != about["rows"] or any(Path(name).name != name for name in about["shards"]):
            return None
        allow_open_files()
        opened = [open_shard(folder.parent / name, about["rules"]) for name in about["shards"]]
        shards = tuple(shard for shard in opened if shard is not None)
        rows = sum(len(shard.digests) for shard in shards)
        if len(shards) < len(opened) or (len(places) and not 0 <= places.min() <= places.max() < rows):
            return None
        if not verify or all(shard.is_undamaged() for shard in shards):
            return OpenIndex(folder, shards, places, about)
    return None


@dataclass(frozen=True)
class ShardedValues:
    """The values of some photos, in the cache or to be computed.

    cache_dir, kind: where they lie. what: names them in messages, such as "features".
    rules: all that decides the values besides the photo's content: those of other rules are other values.
    digests: SHA-256 of the photos' contents, in the order of the rows; a photo may be there twice.
    fill: computes values. row_shape: returns the shape of one photo's values; called only if one is computed.
    about: goes into descriptions.
    verify: compare the checksums of all rows whenever the values are opened, and not only when rows are read.
    before: called with the number of photos to compute, before the first; it may refuse.
    say: called with a message where another run computes the same, or a damaged shard is computed again.
    """

    cache_dir: Path
    kind: str
    what: str
    rules: str
    digests: Sequence[str]
    dtype: str
    row_shape: Callable[[], tuple[int, ...]]
    fill: Fill
    about: Mapping[str, Any] = field(default_factory=dict)
    verify: bool = True
    before: Callable[[int], object] = lambda _: None
    say: Say = silent

    @cached_property
    def folder(self) -> Path:
        """The folder of the index."""
        key = hashlib.sha256("\n".join([self.rules, *self.digests]).encode()).hexdigest()[:24]
        return self.cache_dir / self.kind / key

    def opened(self) -> OpenIndex | None:
        """Open the values where the cache has them all. Returns None where it has not."""
        return open_index(self.folder, verify=self.verify)

    def missing(self, *, verify: bool = True) -> tuple[Shard, ...]:
        """List the shards that are to be built before `opened_or_made` has nothing to compute.

        verify: take those whose values are damaged for missing, too, which reads the values.
        """
        return self._shards_of(self._plan(verify=verify)[0])

    def build(self, shard: Shard, on_progress: Progress = unheard) -> None:
        """Compute the values of a shard and write it, unless it is there.

        Where several processes build one shard, one computes it and the others wait. Another machine that shares the
        cache may build a shard: it needs the shard alone, with the same rules.

        Raises:
            CacheError: it cannot be written.
        """
        opened_or_made(self._place(shard.name), self.what, self._open, partial(self._make, shard, on_progress),
                       self.say, mark=False)

    def opened_or_made(self, on_progress: Progress = unheard, build_all: BuildAll | None = None) -> OpenIndex:
        """Open the values, and compute those that are missing first.

        build_all: has the shards that are missing built in another way than one after the other here. While it works,
            the index keeps them from being pruned.

        Raises:
            CacheError: they cannot be written. What `fill`, `before` and `build_all` raise is raised here.
        """
        index = opened_or_made(self.folder, self.what, partial(open_index, verify=self.verify),
                               partial(self._make_missing, on_progress, build_all or self._build_all), self.say)
        for shard in index.shards:
            note_use(shard.folder)
        return index

    def there(self) -> tuple[OpenShard, ...]:
        """Open the whole shards that hold some of the photos, as far as they can be read now."""
        used = (self._open(self._place(name)) for name in self._plan()[0].used)
        return tuple(shard for shard in used if shard is not None)

    def in_memory(self, values_of: Callable[[tuple[str, ...], Progress], npt.NDArray[Any]],
                  on_progress: Progress = unheard) -> ShardedRows:
        """Return the values where shards cannot be written.

        values_of: returns the values (n, ...) of photos that no shard has.
        """
        photos, rows = np.unique(packed(self.digests), return_inverse=True)
        opened = {shard.folder.name: shard for shard in self.there()}
        plan = planned(photos, {name: shard.digests for name, shard in opened.items()})
        places = plan.places[rows.reshape(-1)]
        done = len(photos) - sum(map(len, plan.new))
        parts = [opened[name].values for name in plan.used]
        for digests in plan.new:
            parts.append(values_of(unpacked(digests), partial(_shifted, on_progress, done, len(self.digests))))
            done += len(digests)
        return ShardedRows(tuple(parts), places)

    def _make_missing(self, on_progress: Progress, build_all: BuildAll) -> None:
        damaged: list[Path] = []
        plan, places = self._plan(damaged)
        shards = self._shards_of(plan)
        names = [*plan.used, *(shard.name for shard in shards)]
        content = {**self.about, "format": _FORMAT, "rules": self.rules, "photos": len(places), "shards": names,
                   "rows": zlib.crc32(places.data)}
        with whole_entry(self.folder, self.what) as unfinished:
            if shards:
                self.before(sum(len(shard.digests) for shard in shards))
            save_numbers(unfinished / _ROWS, places)
            write_json(unfinished / INDEX_NAME, {**content, "sha256": seal_of(content)})
        for folder in damaged:
            if folder.name not in names:
                removed_unless_used(folder)
        if any(open_shard(self._place(name), self.rules) is None for name in plan.used):
            self._make_missing(on_progress, build_all)  # one went before the index named it
            return
        done = len(set(self.digests)) - sum(len(shard.digests) for shard in shards)
        if shards:
            build_all(shards, partial(_shifted, on_progress, done, len(self.digests)))
        on_progress(len(self.digests), len(self.digests))

    def _build_all(self, shards: tuple[Shard, ...], on_progress: Progress) -> None:
        done, total = 0, sum(len(shard.digests) for shard in shards)
        for shard in shards:
            self.build(shard, partial(_shifted, on_progress, done, total))
            done += len(shard.digests)

    def _make(self, shard: Shard, on_progress: Progress) -> None:
        write_shard(self._place(shard.name), self.what, self.rules, packed(shard.digests), self.row_shape(), self.dtype,
                    lambda write: self.fill(shard.digests, write, on_progress), self.about)

    def _plan(self, damaged: list[Path] | None = None, *, verify: bool = True) -> tuple[ShardPlan, Labels]:
        """Divide the photos among the whole shards that there are and new ones.

        damaged: gets the folders of damaged shards, which are then told of.

        Returns the plan, and where each of `digests` stands in its shards one after the other, (N,).
        """
        allow_open_files()
        photos, rows = np.unique(packed(self.digests), return_inverse=True)
        there = {folder.name: shard.digests for folder in self._folders()
                 if (shard := self._checked(folder, damaged, verify=False)) is not None}
        while True:
            plan = planned(photos, there)
            faulty = [name for name in plan.used if verify and self.verify
                      and self._checked(self._place(name), damaged, verify=True) is None]
            if not faulty:
                return plan, plan.places[rows.reshape(-1)]
            for name in faulty:
                del there[name]

    def _checked(self, folder: Path, damaged: list[Path] | None, *, verify: bool) -> OpenShard | None:
        try:
            shard = read_shard(folder, self.rules)
        except OSError as error:
            if damaged is not None:
                self.say(f"the shard {folder} ({self.what}) cannot be read now ({reason_of(error)}); its photos are "
                         "computed again")
            return None
        if shard is not None and not (verify and not shard.is_undamaged()):
            return shard
        if damaged is not None and folder.exists():
            self.say(f"the shard {folder} ({self.what}) is damaged; its photos alone are computed again")
            damaged.append(folder)
        return None

    def _open(self, folder: Path) -> OpenShard | None:
        shard = open_shard(folder, self.rules)
        return None if shard is not None and self.verify and not shard.is_undamaged() else shard

    def _folders(self) -> Iterator[Path]:
        return (self.cache_dir / self.kind).glob(f"{stage_of(self.rules)}-*")

    def _place(self, name: str) -> Path:
        return self.cache_dir / self.kind / name

    def _shards_of(self, plan: ShardPlan) -> tuple[Shard, ...]:
        return tuple(Shard(shard_name(self.rules, digests), unpacked(digests)) for digests in plan.new)


def _shifted(on_progress: Progress, before: int, total: int, done: int, _: int) -> None:
    on_progress(before + done, total)
