"""Bring photos from where they lie into the cache, in shards, and follow what changes there."""

from __future__ import annotations

import filecmp
import itertools
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.filesize import decimal

from matlens.data.remote.failures import PATIENCE
from matlens.data.remote.mirror import SHARD, Mirror, read_index
from matlens.data.remote.opening import Stores, stores_of
from matlens.data.remote.plan import Plan, plan_of
from matlens.data.remote.stores import Arrived, StoredObject, too_large
from matlens.data.remote.tars import unpack_shard
from matlens.data.source.patience import Patience
from matlens.errors import CacheError, DataError, MatlensError
from matlens.settings.addresses import Address
from matlens.settings.schema import Settings
from matlens.system.caches import opened_or_made, used_by_others, writing
from matlens.system.console import Reporter

_AT_ONCE = 16
"""Objects that are read at the same time."""

_NAMED = 3
_LARGEST_LOOK = 2000
"""Photos of a web server that are asked for once more after a run; of other stores a listing tells of all."""


def with_photos_here(settings: Settings, reporter: Reporter) -> Settings:
    """Return settings whose photos lie in a folder of this machine: those at an address are brought into the cache.

    Raises:
        DataError: they cannot be read, change meanwhile, or are more than the cache may hold.
        CacheError: the cache cannot be written, or another run uses what would have to change.
    """
    address = settings.data_address
    if address is None or _is_here(settings):
        return settings
    root = bring(address, settings.cache_dir, settings.cache_limit, reporter)
    return settings.model_copy(update={"data_dir": root})


def _is_here(settings: Settings) -> bool:
    assert settings.data_address is not None
    place = Mirror.place(settings.data_address, settings.cache_dir).resolve()
    return settings.data_dir.resolve().is_relative_to(place)


def bring(address: Address, cache_dir: Path, cache_limit: float, reporter: Reporter, patience: Patience = PATIENCE,
          ) -> Path:
    """Bring the photos at an address into the cache, or what of them is not there as it is now.

    Args:
        cache_limit: in GB; more photos than this are refused before anything is read, where the store tells sizes.

    Returns:
        The folder of class folders. It counts as in use until this process ends.
    """
    folder = Mirror.place(address, cache_dir.absolute())
    followed: list[Path] = []

    def follow() -> None:
        with writing(folder, f"the photos of {address}"):
            _Following(address, Mirror.opened(folder), cache_limit * 1e9, reporter,
                       stores_of(address, patience, reporter.say)).follow()
        followed.append(folder / "photos")

    return opened_or_made(folder, f"the photos of {address}", lambda _: followed[0] if followed else None, follow,
                          reporter.say)


@dataclass
class _Following:
    """One time of making a copy what its source is now."""

    address: Address
    mirror: Mirror
    most: float
    reporter: Reporter
    _store: Stores
    _changed: list[str] = field(default_factory=list)

    def follow(self) -> None:
        """Compare, refuse what does not fit, bring what is missing, and look whether the source stood still."""
        before = len(self.mirror.index)
        plan = self._plan()
        for remark in plan.remarks:
            self.reporter.warn(remark)
        wanted = self._shards_wanted(plan) if plan.are_shards else self._wanted(plan)
        self._refuse_too_much(plan, wanted)
        self._refuse_to_grow([place for place in wanted if place not in self.mirror.index] if before else [])
        brought = 0
        try:
            brought = self._unpack(wanted) if plan.are_shards else self._bring(wanted)
        finally:
            self.mirror.write_shard()
        if brought and self._store("").tells_tags:
            self._refuse_unsteady(plan)
        self.mirror.finish(self.address, is_changed=bool(self._changed) or before > 0 < brought)
        if self._changed and before:
            some = ", ".join(self._changed[:_NAMED])
            self.reporter.warn(f"{len(self._changed):,} objects of {self.address} changed or went since they were "
                               f"brought here last, such as {some}")
        size = sum(here.size for here in self.mirror.index.values())
        count = len(self.mirror.index)
        self.reporter.say(f"{count:,} files of {self.address} are here ({decimal(size)}): {brought:,} brought now, "
                          f"{count - brought:,} were here")

    def _plan(self) -> Plan:
        return plan_of(self.address, self._store, self.mirror.arriving / "manifest")

    def _wanted(self, plan: Plan) -> dict[str, StoredObject]:
        """Take out of the copy what went or changed. Returns what is to be brought, or asked for, by place."""
        index = self.mirror.index
        self._take_out([place for place, here in index.items() if (stored := plan.objects.get(place)) is None
                        or here.origin != stored.public or stored.tag not in ("", here.tag)])
        return {place: stored for place, stored in plan.objects.items()
                if place not in index or not stored.tag}

    def _shards_wanted(self, plan: Plan) -> dict[str, StoredObject]:
        """Do the same for shards. Those that are here stay only if they are the first ones: names depend on earlier
        shards."""
        photos = self.mirror.index.values()
        counted = Counter((photo.origin, photo.tag, photo.among) for photo in photos)
        whole = {(origin, tag) for (origin, tag, among), count in counted.items() if count == among}
        names = list(plan.objects)
        kept = len(list(itertools.takewhile(lambda name: (plan.objects[name].public, plan.objects[name].tag) in whole,
                                            names)))
        staying = {plan.objects[name].public for name in names[:kept]}
        self._take_out([place for place, photo in self.mirror.index.items() if photo.origin not in staying])
        return {name: plan.objects[name] for name in names[kept:]}

    def _take_out(self, places: list[str]) -> None:
        if not places:
            return
        if used_by_others(self.mirror.folder):
            raise CacheError(f"{len(places):,} objects of {self.address} changed or went since they were brought here, "
                             f"such as {self.mirror.index[places[0]].origin}, and another run is using them as they "
                             "were. Wait until it ends, or set MATLENS_CACHE to another folder.")
        self._changed += [self.mirror.index[place].origin for place in places]
        self.mirror.drop(places)

    def _refuse_to_grow(self, places: Sequence[str]) -> None:
        """Raise CacheError where objects would join a copy that another run reads, which must stay as it is."""
        if places and used_by_others(self.mirror.folder):
            raise CacheError(f"{len(places):,} new objects lie at {self.address}, such as {places[0]}, and another run "
                             "is using what was brought before. Wait until it ends, or set MATLENS_CACHE to another "
                             "folder.")

    def _refuse_too_much(self, plan: Plan, wanted: Mapping[str, StoredObject]) -> None:
        size, more = plan.size, sum(stored.size or 0 for stored in wanted.values())
        what = f"The {len(plan.objects):,} {'shards' if plan.are_shards else 'photos'} at {self.address}"
        if size is not None and size > self.most:
            raise DataError(f"{what} take {size / 1e9:.3g} GB, and the cache may hold {self.most / 1e9:.3g} GB. "
                            f"Give --cache-limit {_above(size)} or more (CACHE_LIMIT in the file that MATLENS_CONFIG "
                            "names), or name fewer photos in a manifest.")
        free = shutil.disk_usage(self.mirror.folder).free
        if more + 50e6 > free:
            raise CacheError(f"{what} need {more / 1e9:.3g} GB more in {self.mirror.folder.parents[1]}, which has "
                             f"{free / 1e9:.3g} GB free. Make room, or set MATLENS_CACHE to another folder.")

    def _room(self) -> int:
        return int(self.most) - sum(here.size for here in self.mirror.index.values())

    def _bring(self, wanted: Mapping[str, StoredObject]) -> int:
        """Bring photos, shard by shard. Returns how many came."""
        places, brought = list(wanted), 0
        room, stop, lock = self._room(), threading.Event(), threading.Lock()

        def one(number: int, place: str) -> Arrived | None:
            nonlocal room
            if stop.is_set():
                return None
            stored, here = wanted[place], self.mirror.index.get(place)
            most = room + (here.size if here else 0)  # it takes the place of what is here
            if most <= 0:
                raise too_large(str(self.address), int(self.most))
            arrived = self._store(_scheme(stored)).bring(stored, self.mirror.arriving / f"{number:08d}", most,
                                                         here.tag if here else "")
            with lock:
                room -= arrived.size - (here.size if here else 0) if arrived else 0
            return arrived

        with self.reporter.progress("bringing photos", len(places)) as advance, ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for start in range(0, len(places), SHARD):
                    shard = places[start:start + SHARD]
                    arriving: list[Future[Arrived | None]] = [
                        pool.submit(one, start + offset, place) for offset, place in enumerate(shard)]
                    for offset, (place, future) in enumerate(zip(shard, arriving, strict=True)):
                        arrived = future.result()
                        if arrived is not None:
                            if room < 0:
                                raise too_large(str(self.address), int(self.most))
                            file = self.mirror.arriving / f"{start + offset:08d}"
                            if place in self.mirror.index and not filecmp.cmp(file, self.mirror.photos / place, False):
                                self._take_out([place])
                            brought += place not in self.mirror.index
                            self.mirror.add(file, place, wanted[place].public, arrived.tag)
                        advance(start + offset + 1, "")
                    self.mirror.write_shard()
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
        return brought

    def _unpack(self, shards: Mapping[str, StoredObject]) -> int:
        """Bring shards one after another, and take their photos out of them. Returns how many photos came."""
        brought = 0
        archive, inside = self.mirror.arriving / "shard.tar", self.mirror.arriving / "photos"
        with self.reporter.progress("bringing shards", len(shards)) as advance:
            for number, stored in enumerate(shards.values(), 1):
                arrived = self._store("").bring(stored, archive, self._room())
                assert arrived is not None
                inside.mkdir()
                unpacked = unpack_shard(archive, stored.public, inside, self._room(), self.mirror.index)
                for file, place in unpacked.photos:
                    self.mirror.add(file, place, stored.public, arrived.tag, len(unpacked.photos))
                self.mirror.write_shard()
                shutil.rmtree(inside)
                archive.unlink()
                if unpacked.others:
                    self.reporter.warn(f"{len(unpacked.others):,} samples of {stored.public} have no photo or no "
                                       f"label, such as {unpacked.others[0][:100]}")
                brought += len(unpacked.photos)
                advance(number, "")
        return brought

    def _refuse_unsteady(self, plan: Plan) -> None:
        """Raise DataError where objects changed or went while they were read."""
        now, then = self._plan().tags(), plan.tags()
        if unsteady := [public for public, tag in then.items() if now.get(public) != tag]:
            raise DataError(f"{len(unsteady):,} objects of {self.address} changed while they were read, such as "
                            f"{unsteady[0]}. Wait until nobody writes there, then repeat the command: it goes on with "
                            "what has arrived.")


def tell_changes(settings: Settings, reporter: Reporter, patience: Patience = PATIENCE) -> None:
    """Warn of objects at an address that changed or went since they were brought: the run is of what they were."""
    if settings.data_address is None:
        return
    try:
        changed = _changes(settings.data_address, settings.cache_dir, reporter, patience)
    except MatlensError as error:  # what is done is done
        reporter.warn(f"whether photos of {settings.data_address} changed during the run is not known: {error}")
        return
    if changed:
        reporter.warn(f"{len(changed):,} objects of {settings.data_address} changed or went during the run, such as "
                      f"{', '.join(changed[:_NAMED])}; the results are of what they were")


def _changes(address: Address, cache_dir: Path, reporter: Reporter, patience: Patience) -> list[str]:
    folder = Mirror.place(address, cache_dir.absolute())
    index, store_of = read_index(folder), stores_of(address, patience, reporter.say)
    then = {here.origin: here.tag for here in index.values()}
    with tempfile.TemporaryDirectory() as scratch:
        plan = plan_of(address, store_of, Path(scratch, "manifest"))
    now = {stored.public: stored for stored in plan.objects.values()}
    changed = [origin for origin, tag in then.items() if origin not in now or now[origin].tag not in ("", tag)]
    asked = [origin for origin, tag in then.items()  # a server that gives no tags would send each photo again
             if tag and origin in now and not now[origin].tag][:_LARGEST_LOOK]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looks = pool.map(lambda origin: store_of(_scheme(now[origin])).has_changed(now[origin], then[origin]), asked)
        return changed + [origin for origin, is_changed in zip(asked, looks, strict=True) if is_changed]


def _scheme(stored: StoredObject) -> str:
    return stored.address.partition("://")[0] if "://" in stored.address else ""


def _above(size: int) -> str:
    return f"{size / 1e9 * 1.1 + 0.1:.1f}"
