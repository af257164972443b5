"""What of a source is brought, and where each object goes in the local copy. Nothing but manifests is read for it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from matlens.data.drawn.mark import MARK
from matlens.data.layout.walk import has_photo_ending, is_hidden
from matlens.data.remote.manifest import LARGEST, read_manifest
from matlens.data.remote.opening import Stores
from matlens.data.remote.stores import Store, StoredObject, refuse_odd
from matlens.data.remote.tars import spread
from matlens.errors import DataError
from matlens.settings.addresses import MANIFESTS, SHARD, Address, address_of
from matlens.system.registry import did_you_mean
from matlens.system.untrusted import in_short

_LISTS = re.compile(r"(?:[^/]+/)*labels/(train|validate|test)\d+\.txt")
"""The official splits of MINC-2500, as its layout has them."""



@dataclass(frozen=True)
class Plan:
    """What is brought from an address.

    objects: by the place that each gets in the copy; of shards, by the shard's name. are_shards: they are tar files,
    whose photos get places when they are unpacked. remarks: what to say of objects that are not brought.
    """

    objects: dict[str, StoredObject]
    are_shards: bool = False
    remarks: tuple[str, ...] = field(default=())

    @property
    def size(self) -> int | None:
        """Return the bytes of all objects; None where the store does not tell before they are read."""
        sizes = [stored.size for stored in self.objects.values()]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def tags(self) -> dict[str, str]:
        """Return the tags of the objects by their public addresses."""
        return {stored.public: stored.tag for stored in self.objects.values()}


def plan_of(address: Address, stores: Stores, scratch: Path) -> Plan:
    """Return what there is to bring.

    Args:
        stores: returns the store of a scheme; "" stands for the address' own.
        scratch: a file that a manifest is written to.

    Raises:
        DataError: there is nothing, it cannot be read, or its names are none that files can have.
    """
    if address.kind == "manifest":
        return _of_manifest(address, stores, scratch)
    store = stores("")
    if address.kind == "shards":
        return _of_shards(address, store)
    objects = {stored.name: stored for stored in store.below(address.opening)}
    photos = {name: stored for name, stored in objects.items()
              if (has_photo_ending(name) or _LISTS.fullmatch(name) or PurePosixPath(name).name == MARK)
              and not _has_hidden(name)}
    shards = {name: stored for name, stored in objects.items() if name.lower().endswith(SHARD)}
    if not any(map(has_photo_ending, photos)) and shards:
        refuse_odd(sorted(shards), str(address))
        return Plan(dict(sorted(shards.items())), are_shards=True, remarks=_others(len(objects) - len(shards), address,
                                                                                  sorted(objects.keys() - shards)))
    if not any(map(has_photo_ending, photos)):
        raise DataError(f"No photos lie at {address}, which holds {len(objects):,} other objects"
                        f"{f', such as {min(objects)[:100]}' if objects else ''}. {_way_out(objects, address)}")
    refuse_odd(sorted(photos), str(address))
    return Plan(dict(sorted(photos.items())), remarks=_others(len(objects) - len(photos), address,
                                                              sorted(objects.keys() - photos)))


def _way_out(objects: dict[str, StoredObject], address: Address) -> str:
    manifests = sorted(name for name in objects if name.lower().endswith(MANIFESTS) and "/" not in name)
    if manifests:
        return f"Name the manifest: --data {address.public.rstrip('/')}/{manifests[0]}"
    return "Name the folder that holds a folder of photos for each class, a manifest (.csv, .parquet), or tar shards."


def _others(count: int, address: Address, names: list[str]) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count:,} object{'s' * (count != 1)} at {address} {'are' if count != 1 else 'is'} not brought, since "
            f"{'their names are' if count != 1 else 'its name is'} not those of photos, such as "
            f"{in_short(names[0], 100)}",)


def _has_hidden(name: str) -> bool:
    return any(map(is_hidden, name.split("/")))


def _of_manifest(address: Address, stores: Stores, scratch: Path) -> Plan:
    store = stores("")
    listed = next(iter(store.beside(_parent(address.opening), [address.opening]).values()), None)
    if listed is None:
        raise DataError(f"{address} is not there.{_near(address, store)} Correct the address.")
    store.bring(listed, scratch, LARGEST)
    manifest = read_manifest(scratch, address)
    base = _parent(address.public)
    if not manifest.rows:
        instead = f", but {in_short(_shown(manifest.others[0].path), 100)}" if manifest.others else ""
        raise DataError(f"{address} names no photo{instead}. A photo's path ends in .jpg, .png or the like.")
    places = Counter(row.place(base) for row in manifest.rows)
    if twice := next((place for place, count in places.items() if count > 1), None):
        rows = [row.number for row in manifest.rows if row.place(base) == twice]
        raise DataError(f"{address}: rows {rows[0]} and {rows[1]} both name {twice}. Take one of them out.")
    refuse_odd(sorted(places), str(address))
    by_scheme: dict[str, list[str]] = defaultdict(list)
    for row in manifest.rows:
        scheme, colon, _ = row.path.partition("://")
        by_scheme[scheme.lower() if colon else ""].append(row.path)
    objects: dict[str, StoredObject] = {}
    for scheme, paths in by_scheme.items():
        objects |= stores(scheme).beside(_parent(address.opening), paths)
    if missing := [row for row in manifest.rows if row.path not in objects]:
        raise DataError(f"{len(missing):,} of the {len(manifest.rows):,} photos that {address} names are not there, "
                        f"such as {in_short(_shown(missing[0].path), 200)} (row {missing[0].number}). Put them there, "
                        "or take their rows out.")
    remarks = []
    if manifest.others:
        remarks.append(f"{len(manifest.others):,} rows of {address} are passed over, since their paths do not end as "
                       f"photos' do, such as {in_short(_shown(manifest.others[0].path), 100)}")
    if manifest.unused:
        remarks.append(f"columns of {address} that are not used: {', '.join(manifest.unused[:10])}")
    return Plan({row.place(base): objects[row.path] for row in manifest.rows}, remarks=tuple(remarks))


def _of_shards(address: Address, store: Store) -> Plan:
    names = spread(address.opening, str(address))
    listed = store.beside(_parent(address.opening), names)
    if missing := [name for name in names if name not in listed]:
        shown = missing[0].partition("?")[0].rpartition("/")[2]
        raise DataError(f"{len(missing):,} of the {len(names):,} shards of {address} are not there, such as {shown}. "
                        "Correct the address.")
    objects = {stored.public: stored for stored in (listed[name] for name in names)}
    return Plan(objects, are_shards=True)


def _shown(path: str) -> str:
    """Return a path of a manifest without what opens it."""
    return str(address_of(path) or path) if "://" in path else path


def _parent(address: str) -> str:
    return address.partition("?")[0].rpartition("/")[0] if "://" in address else str(Path(address).parent)


def _near(address: Address, store: Store) -> str:
    names = [stored.name for stored in store.below(_parent(address.public)) if "/" not in stored.name]
    return did_you_mean(address.name, names)
