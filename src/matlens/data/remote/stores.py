"""What matlens asks of a place of photos: list it, bring an object, look whether one has changed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from matlens.data.layout.walk import is_hidden
from matlens.errors import DataError

_LONGEST_NAME = 255
_NEEDED = {"s3": ("s3fs", "cloud"), "gs": ("gcsfs", "gcs"), "https": ("aiohttp", "cloud"), "http": ("aiohttp", "cloud")}


@dataclass(frozen=True)
class StoredObject:
    """An object of a store.

    address: as the store takes it, maybe with a token. public: the same without. name: relative to what was listed.
    size: in bytes; None where only reading it tells. tag: what differs when the object does: an ETag, or its time of
    change; "" where that is not known before it is read.
    """

    address: str
    public: str
    name: str
    size: int | None = None
    tag: str = ""


@dataclass(frozen=True)
class Arrived:
    """An object that was brought: its bytes, and the tag that it had; "" where the store gives none."""

    size: int
    tag: str


class Store(Protocol):
    """A place of photos. All methods raise StoreError, and retry what passes."""

    tells_tags: bool
    """Whether a listing has sizes and tags."""

    def below(self, address: str) -> Iterator[StoredObject]:
        """List all objects below an address, with names relative to it."""

    def beside(self, base: str, paths: list[str]) -> dict[str, StoredObject]:
        """Return the objects that a manifest names, by the path there; those that are missing are left out.

        base: the address of the manifest's folder.
        """

    def bring(self, wanted: StoredObject, to: Path, most: int, known: str = "") -> Arrived | None:
        """Write an object of at most `most` bytes to a file. Returns None if its tag is still the one that is known.

        Raises DataError, which names it, where the object is another one than was listed, or larger.
        """

    def has_changed(self, wanted: StoredObject, known: str) -> bool:
        """Return whether an object is another one than when it had this tag, or gone."""


def refuse_missing(scheme: str) -> None:
    """Raise DataError, which names the extra, where a package that reads a scheme is not installed."""
    package, extra = _NEEDED[scheme]
    try:
        importlib.import_module(package)
        importlib.import_module("fsspec")
    except ImportError as error:
        missing = error.name if error.name in ("fsspec", package) else package
        raise DataError(f"{scheme}:// needs {missing}, which is not installed. Install it with: "
                        f"pip install 'matlens[{extra}]'") from None


def file_system(scheme: str, **options: Any) -> Any:
    """Return fsspec's file system for a scheme, one that remembers no listing. Its packages must be installed."""
    import fsspec

    return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False, **options)


def changed(public: str) -> DataError:
    """Return the error for an object that changes under one's hands."""
    return DataError(f"{public} changed while it was read. Wait until nobody writes there, then repeat the command: it "
                     "goes on with what has arrived.")


def too_large(public: str, most: int) -> DataError:
    """Return the error for an object that is larger than there is room for."""
    return DataError(f"{public} has more than {most / 1e9:.2g} GB, which is all that --cache-limit leaves. Give "
                     "--cache-limit a larger number (CACHE_LIMIT in the file that MATLENS_CONFIG names), or take the "
                     "object out.")


def can_be_class(label: str) -> bool:
    """Return whether a folder of this name is a class."""
    return bool(label) and label.isprintable() and not is_hidden(label) and not set(label) & set("/\\") and (
        len(label.encode()) <= _LONGEST_NAME)


def refuse_odd(names: list[str], where: str) -> None:
    """Raise DataError for names that no folder of photos can have: those that lead elsewhere, and two of one name."""
    files = set(names)
    if len(files) < len(names):
        twice = next(name for name in files if names.count(name) > 1)
        raise DataError(f"{where} names {twice!r} twice. Give each photo a name of its own.")
    for name in names:
        parts = name.split("/")
        if any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_NAME for part in parts) or re.search(
                r"[\\\0]", name):
            raise DataError(f"{where} holds {name[:200]!r}, which no file can be called. Rename the object.")
        for end in range(1, len(parts)):
            if "/".join(parts[:end]) in files:
                raise DataError(f"{where} holds both {'/'.join(parts[:end])!r} and, as if that were a folder, "
                                f"{name!r}. Rename one of the two.")
