"""What of a cache folder is matlens' own: by a marker in the folder, and by a mark in each entry and all that it holds.

A folder that the user named by mistake may hold others' files under any name, so a name alone shows nothing. Earlier
versions left no mark in an entry: their entries are known by what they say of themselves.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from matlens.errors import WriteError
from matlens.system.files import read_json, write_text
from matlens.system.ownership.locks import is_lock
from matlens.system.untrusted import UNREADABLE, open_regular, read_bounded

ENTRY_KINDS = ("pixels", "features", "trunks", "drafts", "activations", "copies", "shots", "counts",
               "libraries", "facts", "sources")
"""The folders of a cache that hold entries."""

_FOLDERS_IN = {"sources": ("photos", "arriving")}
"""The folders that an entry may hold, by its kind: those of photos that were brought here."""

ENTRY_NAME = re.compile(r"(?:([\w.-]+)-)?[0-9a-f]{24}(?:-\d+)?")
"""A model's name, where the entry is of one, a key, and a number of classes."""

MARKER_NAME = "matlens-cache.txt"

_MARK = """matlens keeps a cache here: decoded photos, converted networks and their outputs.
Make room with: matlens data store --prune
"""

ENTRY_MARK_NAME = "matlens-entry.txt"
"""In each entry; holds ENTRY_MARK."""

ENTRY_MARK = "matlens made this folder, and removes it when it makes room in its cache.\n"

SHARD_NAME = "shard.json"
"""In an entry that holds a shard of the values of many photos."""

INDEX_NAME = "index.json"
"""In an entry that names the shards, entries of their own, in which some photos lie."""

_DESCRIPTIONS = {"pixels": ("store.json", "img_size"), "features": ("features.json", "sha256"),
                 "trunks": ("trunk.json", "parity"), "activations": ("activations.json", "shape")}
"""The file in which an entry says what it is, and a key that it has besides its format, by the entry's kind."""

_DRAFT_NAME, _DRAFT_HEAD = "trunk.xml", re.compile(rb"<\?xml [^>]*\?>\s*<net name=")
"""The network of a draft, which has no description, and how it begins."""

_LOCK_FILE = re.compile(rf"({'|'.join(ENTRY_KINDS)})\.(?P<entry>.+)\.(lock|[0-9a-f]{{8}}\.used)")

_ENDINGS = frozenset({".npy", ".json", ".xml", ".bin", ".h5", ".pth"})
"""Those of the files in an entry."""


def is_cache(cache_dir: Path) -> bool:
    """Return whether a folder is a cache of matlens', by its marker; that of an earlier version by an entry in it."""
    try:
        return read_bounded(cache_dir / MARKER_NAME, len(_MARK)) == _MARK.encode()
    except UNREADABLE:
        return any(is_entry(folder, folder.name) for kind in ENTRY_KINDS for folder in (cache_dir / kind).glob("*"))


def say_whose(cache_dir: Path) -> None:
    """Write the marker of a cache, unless the cache is read-only, or a file lies there."""
    marker = cache_dir / MARKER_NAME
    if not os.path.lexists(marker):
        with suppress(OSError, WriteError):
            write_text(marker, _MARK)


def is_entry(folder: Path, name: str) -> bool:
    """Return whether a folder is an entry, or was to become the one of this name: by its mark and all that it holds.

    One of an earlier version is known by what it says of itself, in place of a mark.
    """
    if not ENTRY_NAME.fullmatch(name) or folder.is_symlink() or not folder.is_dir():
        return False
    with suppress(OSError):
        folders = _FOLDERS_IN.get(folder.parent.name, ())
        are_of_entry = all(not file.is_symlink() and (file.is_dir() if file.name in folders else file.is_file() and (
            file.suffix in _ENDINGS or file.name == ENTRY_MARK_NAME)) for file in list(folder.iterdir()))
        return are_of_entry and (_is_marked(folder) or _says_what(folder))
    return False


def shards_named_in(folder: Path) -> frozenset[str]:
    """Return the names of the entries that the index in a folder needs; none where there is no index."""
    with suppress(*UNREADABLE):
        return frozenset(map(str, read_json(folder / INDEX_NAME)["shards"]))
    return frozenset()


def is_entry_lock(file: Path) -> bool:
    """Return whether a file is the lock of an entry, by its name and content; earlier versions left it empty."""
    named = _LOCK_FILE.fullmatch(file.name)
    return bool(named and ENTRY_NAME.fullmatch(named["entry"]) and is_lock(file, empty=True))


def _is_marked(folder: Path) -> bool:
    try:
        return read_bounded(folder / ENTRY_MARK_NAME, len(ENTRY_MARK)) == ENTRY_MARK.encode()
    except UNREADABLE:
        return False


def _says_what(folder: Path) -> bool:
    """Return whether a folder says of itself that it is an entry of the kind that the folder around it is for."""
    try:
        if folder.parent.name in _DESCRIPTIONS:
            name, key = _DESCRIPTIONS[folder.parent.name]
            about = read_json(folder / name)
            return type(about["format"]) is int and key in about
        with open_regular(folder / _DRAFT_NAME) as network:
            return _DRAFT_HEAD.match(network.read(1000)) is not None
    except UNREADABLE:
        return False
