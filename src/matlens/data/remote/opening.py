"""Open the store of an address, and each of those that a manifest names."""

from __future__ import annotations

import threading
from collections.abc import Callable

from matlens.data.remote.local import LocalFiles
from matlens.data.remote.objects import ObjectStore
from matlens.data.remote.stores import Store
from matlens.data.remote.web import WebServer
from matlens.data.source.patience import Patience
from matlens.settings.addresses import Address
from matlens.system.caches import Say

Stores = Callable[[str], Store]
"""Returns the store of a scheme; "" stands for that of the address itself."""


def open_store(scheme: str, patience: Patience, say: Say) -> Store:
    """Return the store of a scheme. Raises DataError where a package that reads it is not installed."""
    if not scheme:
        return LocalFiles()
    if scheme in ("s3", "gs"):
        return ObjectStore(scheme, patience, say)
    return WebServer(scheme, patience, say)


def stores_of(address: Address, patience: Patience, say: Say) -> Stores:
    """Return what opens the store of an address, and those that its manifest names: each once, in any thread."""
    opened: dict[str, Store] = {}
    lock = threading.Lock()

    def store_of(scheme: str) -> Store:
        scheme = scheme or address.scheme
        with lock:
            if scheme not in opened:
                opened[scheme] = open_store(scheme, patience, say)
            return opened[scheme]

    return store_of
