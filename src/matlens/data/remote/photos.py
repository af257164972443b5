"""Photos at addresses that are read one by one, without a copy: those whose classes are asked for."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from matlens.data.layout.walk import has_photo_ending, is_photo
from matlens.data.pixels.files import content_of
from matlens.data.pixels.problems import Problem, UnreadableImageError
from matlens.data.remote.failures import PATIENCE, StoreError
from matlens.data.remote.opening import open_store
from matlens.data.remote.stores import Store, StoredObject
from matlens.errors import DataError
from matlens.settings.addresses import Address
from matlens.system.caches import Say

_LARGEST = 256 << 20
"""Bytes of a photo."""


@dataclass(frozen=True)
class RemotePhoto:
    """A photo at an address."""

    stored: StoredObject
    store: Store = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.stored.public

    @property
    def name(self) -> str:
        """The last part of its name."""
        return self.stored.public.rpartition("/")[2]

    def content(self) -> bytes | Problem:
        """Read the photo, or say why it cannot be read."""
        with tempfile.TemporaryDirectory(prefix="matlens-") as folder:
            file = Path(folder, "photo")
            try:
                self.store.bring(self.stored, file, _LARGEST)
                return content_of(file)
            except UnreadableImageError as error:
                return error.problem
            except StoreError as error:
                return Problem(error.failure.words, "missing" if error.failure.kind == "missing" else "trouble")
            except DataError as error:
                return Problem(str(error), "trouble")


def photos_at(address: Address, say: Say) -> list[RemotePhoto] | str:
    """Return the photo at an address, or those in the folder at it; or say why there are none."""
    if address.kind != "folder":
        return "a manifest and tar shards are read by matlens run; name photos, or a folder of photos"
    try:
        store = open_store(address.scheme, PATIENCE, say)
        if has_photo_ending(address.name):
            folder = address.opening.partition("?")[0].rpartition("/")[0]
            stored = list(store.beside(folder, [address.opening]).values())
        else:
            stored = sorted((found for found in store.below(address.opening)
                             if is_photo(found.name.rpartition("/")[2])), key=lambda found: found.name)
    except StoreError as error:
        return error.failure.words
    except DataError as error:
        return str(error)
    return [RemotePhoto(found, store) for found in stored] or "there is no photo there"
