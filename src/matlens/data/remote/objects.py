"""Object stores: S3 and what speaks its protocol (s3fs), and Google's (gcsfs)."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from matlens.data.remote.failures import NO_CREDENTIALS, NOT_THERE, StoreError, Truncated, patiently
from matlens.data.remote.stores import Arrived, StoredObject, changed, file_system, refuse_missing, too_large
from matlens.data.source.patience import Patience
from matlens.errors import DataError
from matlens.system.caches import Say
from matlens.system.registry import did_you_mean
from matlens.system.untrusted import in_short, open_regular

_MD5 = re.compile(r"[0-9a-f]{32}")
"""An ETag of an object that was uploaded in one piece, unless the store encrypts it with a key of its own."""

_CALLS = {"s3": {"config_kwargs": {"retries": {"max_attempts": 1}}, "max_concurrency": 1}, "gs": {}}
"""One try, since `patiently` tries again and says so; and one request an object, which cannot mix two versions."""


class ObjectStore:
    """A store of objects under keys. Keys that share a beginning up to a slash are a folder."""

    tells_tags = True

    def __init__(self, scheme: str, patience: Patience, say: Say) -> None:
        self._scheme, self._patience, self._say = scheme, patience, say
        refuse_missing(scheme)
        self._system = self._opened()
        self._is_anonymous = False

    def _opened(self, **options: Any) -> Any:
        system = file_system(self._scheme, **_CALLS[self._scheme], **options)
        if self._scheme == "s3":
            system.retries = 1
        return system

    def below(self, address: str) -> Iterator[StoredObject]:
        """List all objects below an address, folder by folder."""
        top = address.rstrip("/")
        prefix = f"{top}/".removeprefix(f"{self._scheme}://")
        try:
            entries = self._asked(functools.partial(_listed, folder=top), top)
        except StoreError as error:
            if error.failure != NOT_THERE or "/" not in prefix[:-1]:
                raise
            raise DataError(f"Nothing lies at {top}.{self._near(top)} Name the folder that holds a folder of photos "
                            "for each class.") from None
        for entry in entries:
            if entry["type"] == "directory":
                inside = self._asked(functools.partial(_found, folder=entry["name"]), top)
                yield from (self._object(found, prefix) for found in inside if _is_object(found, prefix))
            elif _is_object(entry, prefix):
                yield self._object(entry, prefix)

    def _near(self, top: str) -> str:
        """Ask which folder beside a missing one is meant; where none is like it, say what there is."""
        upper, _, last = top.rpartition("/")
        with suppress(DataError):  # no folder lies there either, or it may not be listed
            entries = self._asked(functools.partial(_listed, folder=upper), upper)
            names = sorted(str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in entries
                           if entry["type"] == "directory")
            return did_you_mean(last, names, f"{upper}/") or (
                f" {upper} holds {', '.join(in_short(name, 60) for name in names[:8])}." if names else "")
        return ""

    def beside(self, base: str, paths: list[str]) -> dict[str, StoredObject]:
        """Look the objects of a manifest up in the listings of their folders."""
        by_key = {path: f"{self._scheme}://{path.partition('://')[2]}" if "://" in path else
                  f"{base.rstrip('/')}/{path}" for path in paths}
        listed: dict[str, StoredObject] = {}
        for folder in sorted({key.rpartition("/")[0] for key in by_key.values()}):
            try:
                entries = self._asked(functools.partial(_listed, folder=folder), folder)
            except StoreError as error:
                if error.failure != NOT_THERE:
                    raise
                continue
            for entry in entries:
                if entry["type"] != "directory":
                    stored = self._object(entry, "")
                    listed[stored.address] = stored
        return {path: listed[key] for path, key in by_key.items() if key in listed}

    def bring(self, wanted: StoredObject, to: Path, most: int, known: str = "") -> Arrived | None:
        """Write an object to a file, and hold it to the size and the ETag that were listed."""
        if known and known == wanted.tag:
            return None
        if (wanted.size or 0) > most:
            raise too_large(wanted.public, most)

        def once(system: Any) -> int:
            try:
                system.get_file(wanted.address, str(to))
            except FileNotFoundError:
                raise changed(wanted.public) from None
            size = to.stat().st_size
            if size != wanted.size or (_MD5.fullmatch(wanted.tag) and _md5_of(to) != wanted.tag):
                system.invalidate_cache()
                now = self._object(system.info(wanted.address), "")
                if (now.size, now.tag) != (wanted.size, wanted.tag):
                    raise changed(wanted.public)
                if size != wanted.size:
                    raise Truncated(f"it ended after {size:,} of {wanted.size or 0:,} bytes")
            return size

        return Arrived(self._asked(once, wanted.public), wanted.tag)

    def has_changed(self, wanted: StoredObject, known: str) -> bool:
        """Look at an object."""
        try:
            now = self._object(self._asked(lambda system: system.info(wanted.address), wanted.public), "")
        except StoreError as error:
            if error.failure.kind == "missing":
                return True
            raise
        return now.tag != known

    def _asked(self, action: Callable[[Any], Any], name: str) -> Any:
        """Ask the store; where this machine has no credentials at all, as anybody, for stores that let anybody read."""
        try:
            return patiently(lambda: action(self._system), name, self._patience, self._say)
        except StoreError as error:
            if self._is_anonymous and error.failure.kind == "denied":
                raise StoreError(name, NO_CREDENTIALS) from None
            if self._is_anonymous or error.failure != NO_CREDENTIALS or self._scheme != "s3":
                raise
        self._system, self._is_anonymous = self._opened(anon=True), True
        return self._asked(action, name)

    def _object(self, entry: dict[str, Any], prefix: str) -> StoredObject:
        name = str(entry["name"])
        address = f"{self._scheme}://{name}"
        tag = str(entry.get("ETag") or entry.get("etag") or entry.get("LastModified") or entry.get("mtime") or "")
        return StoredObject(address, address, name.removeprefix(prefix), int(entry.get("size") or 0), tag.strip('"'))


def _listed(system: Any, folder: str) -> Any:
    return system.ls(folder, detail=True)


def _found(system: Any, folder: str) -> Any:
    return list(system.find(folder, detail=True).values())


def _is_object(entry: dict[str, Any], prefix: str) -> bool:
    """Return whether an entry is no folder, nor the empty object by which some tools mark one."""
    name = str(entry["name"])
    return entry["type"] != "directory" and name.startswith(prefix) and name != prefix and not name.endswith("/")


def _md5_of(file: Path) -> str:
    with open_regular(file) as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
