"""What of a cache folder is matlens' own: by a marker in the folder, and by all that an entry holds.

A folder that the user named by mistake may hold others' files under any name, so a name alone shows nothing.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from matlens.errors import WriteError
from matlens.system.files import read_json, write_text
from matlens.system.ownership.locks import is_lock
from matlens.system.untrusted import UNREADABLE, read_bounded

ENTRY_KINDS = ("pixels", "features", "trunks", "drafts", "activations")
"""The folders of a cache that hold entries."""

ENTRY_NAME = re.compile(r"(?:([\w.-]+)-)?[0-9a-f]{24}(?:-\d+)?")
"""A model's name, where the entry is of one, a key, and a number of classes."""

MARKER_NAME = "matlens-cache.txt"

_MARK = """matlens keeps a cache here: decoded photos, converted networks and their outputs.
Make room with: matlens data store --prune
"""

_LOCK_FILE = re.compile(rf"({'|'.join(ENTRY_KINDS)})\.(?P<entry>.+)\.(lock|[0-9a-f]{{8}}\.used)")

_ENDINGS = frozenset({".npy", ".json", ".xml", ".bin", ".h5"})
"""Those of the files in an entry, which holds no folders."""


def is_cache(cache_dir: Path) -> bool:
    """Return whether a folder is a cache of matlens', by its marker; that of an earlier version by an entry in it."""
    try:
        return read_bounded(cache_dir / MARKER_NAME, len(_MARK)) == _MARK.encode()
    except UNREADABLE:
        return any(is_entry(folder, folder.name) and _says_what(folder)
                   for kind in ENTRY_KINDS for folder in (cache_dir / kind).glob("*"))


def say_whose(cache_dir: Path) -> None:
    """Write the marker of a cache, unless the cache is read-only, or a file lies there."""
    marker = cache_dir / MARKER_NAME
    if not os.path.lexists(marker):
        with suppress(OSError, WriteError):
            write_text(marker, _MARK)


def is_entry(folder: Path, name: str) -> bool:
    """Return whether a folder is an entry, or is being made to the one of this name: by all that it holds."""
    if not ENTRY_NAME.fullmatch(name) or folder.is_symlink() or not folder.is_dir():
        return False
    with suppress(OSError):
        return all(not file.is_symlink() and file.is_file() and file.suffix in _ENDINGS
                   for file in list(folder.iterdir()))
    return False


def is_entry_lock(file: Path) -> bool:
    """Return whether a file is the lock of an entry, by its name and content; earlier versions left it empty."""
    named = _LOCK_FILE.fullmatch(file.name)
    return bool(named and ENTRY_NAME.fullmatch(named["entry"]) and is_lock(file, empty=True))


def _says_what(folder: Path) -> bool:
    """Return whether an entry's description can be read."""
    try:
        return isinstance(read_json(min(folder.glob("*.json")))["format"], int)
    except UNREADABLE:
        return False
