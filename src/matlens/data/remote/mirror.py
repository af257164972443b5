"""The local copy of photos that lie elsewhere: an entry of the cache that follows its source.

    <cache>/sources/<key>/photos/<class>/...   the photos, as a folder of class folders
    <cache>/sources/<key>/index-00000.json     of at most SHARD photos each: where they come from, sizes and tags
    <cache>/sources/<key>/about.json           the address, and how many photos there are
    <cache>/sources/<key>/arriving/            what is being written

The key is that of the address without what opens it. A shard of the index is written when its photos are there, so that
what was interrupted goes on from there. A photo that is there is known by the size and the time of change of its file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from matlens.data.layout.walk import has_photo_ending
from matlens.settings.addresses import Address
from matlens.system.files import read_json, write_json, write_text
from matlens.system.ownership.cache_content import ENTRY_MARK, ENTRY_MARK_NAME
from matlens.system.untrusted import UNREADABLE, stays_inside

SHARD = 4096
"""Photos of a shard of the index."""

_FORMAT = 1
_ABOUT = "about.json"


@dataclass(frozen=True)
class Here:
    """A photo of the copy. origin: the public address that it comes from. tag: of the object when it was read.

    size, written: of the file in the copy: bytes, and the time of change in nanoseconds. among: how many photos come
    from the same object, which is a tar shard where there are several.
    """

    origin: str
    tag: str
    size: int
    written: int
    among: int = 1


class Mirror:
    """The copy of the photos of one address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.photos, self.arriving = folder, folder / "photos", folder / "arriving"
        self.index: dict[str, Here] = {}
        self._new: dict[str, Here] = {}

    @classmethod
    def place(cls, address: Address, cache_dir: Path) -> Path:
        """Return the folder of the cache in which the copy of an address lies."""
        return cache_dir / "sources" / hashlib.sha256(f"{_FORMAT} {address}".encode()).hexdigest()[:24]

    @classmethod
    def opened(cls, folder: Path) -> Mirror:
        """Open a copy, or begin one. The caller must hold the entry's lock. Raises OSError, WriteError."""
        mirror = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / ENTRY_MARK_NAME, ENTRY_MARK)
        shutil.rmtree(mirror.arriving, ignore_errors=True)
        for place in (mirror.photos, mirror.arriving):
            place.mkdir(exist_ok=True)
        mirror.index = {place: here for place, here in read_index(folder).items() if mirror._is_there(place, here)}
        return mirror

    def add(self, file: Path, place: str, origin: str, tag: str, among: int = 1) -> None:
        """Move a file that has arrived to its place, and note it in the index."""
        target = self.photos / place
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        about = target.stat()
        self.index[place] = self._new[place] = Here(origin, tag, about.st_size, about.st_mtime_ns, among)
        if len(self._new) >= SHARD:
            self.write_shard()

    def write_shard(self) -> None:
        """Write what was added since the last shard into a shard of the index."""
        if self._new:
            _write(self.folder, sum(1 for _ in self.folder.glob("index-*.json")), self._new)
            self._new = {}

    def drop(self, places: Iterable[str]) -> None:
        """Remove photos."""
        for place in list(places):
            self.index.pop(place, None)
            self._new.pop(place, None)
            (self.photos / place).unlink(missing_ok=True)

    def finish(self, address: Address, is_changed: bool) -> None:
        """Remove what is not in the index, empty folders too; and where photos went, write the index anew."""
        write_json(self.folder / _ABOUT, {"format": _FORMAT, "address": str(address),
                                          "photos": sum(map(has_photo_ending, self.index))})
        self.write_shard()
        for folder, _, files in os.walk(self.photos, topdown=False):
            inside = Path(folder).relative_to(self.photos).as_posix()
            for name in files:
                if (name if inside == "." else f"{inside}/{name}") not in self.index:
                    Path(folder, name).unlink()
            with suppress(OSError):  # it is not empty
                if folder != str(self.photos):
                    Path(folder).rmdir()
        if is_changed:
            shards = sorted(self.folder.glob("index-*.json"))
            entries = list(self.index.items())
            number = 0
            for number, start in enumerate(range(0, len(entries), SHARD), 1):
                _write(self.folder, number - 1, dict(entries[start:start + SHARD]))
            for shard in shards[number:]:
                shard.unlink()
        shutil.rmtree(self.arriving, ignore_errors=True)

    def _is_there(self, place: str, here: Here) -> bool:
        with suppress(OSError):
            about = (self.photos / place).lstat()
            return (about.st_size, about.st_mtime_ns) == (here.size, here.written)
        return False


def read_index(folder: Path) -> dict[str, Here]:
    """Read the index of a copy; what is damaged of it is passed over, so that those photos are brought again."""
    index: dict[str, Here] = {}
    for shard in sorted(folder.glob("index-*.json")):
        with suppress(*UNREADABLE):
            content = read_json(shard)
            if content["format"] == _FORMAT:
                index |= {place: Here(**about) for place, about in content["photos"].items() if stays_inside(place)}
    return index


def _write(folder: Path, number: int, photos: Mapping[str, Here]) -> None:
    write_json(folder / f"index-{number:05d}.json", {
        "format": _FORMAT, "photos": {place: asdict(here) for place, here in photos.items()}})
