"""Addresses of photos that are no plain folder: in object stores, on web servers, in manifests, and in tar shards.

An address may hold what opens it: a user name, a password, a token in its query. That part is never shown or recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from matlens.errors import SettingsError
from matlens.system.console import command
from matlens.system.ownership.places import expanded
from matlens.system.untrusted import in_short

SCHEMES = ("s3", "gs", "https", "http")
MANIFESTS = (".csv", ".tsv", ".parquet", ".pq")
SHARD = ".tar"

_REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(.*)", re.DOTALL)
"""One slash, too: a path object has no two of them in a row. A drive of Windows has one letter."""

_KAGGLE = re.compile(r"/datasets/([\w-]+/[\w-]+)")
"""Which dataset a page is about."""

_LOOKED_AT = 10_000
"""How many entries of a folder are looked at for tar shards."""

Kind = Literal["folder", "manifest", "shards"]


@dataclass(frozen=True)
class Address:
    """Where photos are: what the words of a user stand for where they are no plain folder.

    public: the address without user name, password, query and fragment; it is shown, recorded and compared.
    whole: with them; it opens the address.
    """

    public: str
    whole: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return self.public

    @property
    def scheme(self) -> str:
        """Return `s3`, `gs`, `https` or `http`; "" of files on this machine."""
        return self.public.partition("://")[0] if "://" in self.public else ""

    @property
    def opening(self) -> str:
        """Return the address as the store takes it."""
        return self.whole or self.public

    @property
    def name(self) -> str:
        """Return its last part."""
        return PurePosixPath(self.public).name

    @property
    def kind(self) -> Kind:
        """Return what the name says: a manifest, tar shards, or a folder (in which tar shards may lie)."""
        suffix = PurePosixPath(self.name).suffix.lower()
        return "manifest" if suffix in MANIFESTS else "shards" if suffix == SHARD else "folder"


def address_of(given: Any) -> Address | None:
    """Return the address that a word or a path stands for; None for a plain folder or file of this machine.

    Raises:
        ValueError: the scheme is none that matlens reads, or the address is none, or it holds a key.
    """
    if isinstance(given, Address):
        return given
    if not isinstance(given, str | os.PathLike):
        return None
    words = os.fspath(given)
    match = _REMOTE.fullmatch(words) if isinstance(words, str) else None
    if match is not None and not os.path.exists(words):  # noqa: PTH110 -- too long a name is none
        return _remote(match[1].lower(), match[2])
    return _local(words) if isinstance(words, str) else None


def store_address_of(given: Any) -> Address | None:
    """Return the address of a store or a server that a word stands for; None for whatever lies on this machine.

    Raises ValueError as `address_of` does.
    """
    address = address_of(given)
    return address if address is not None and address.scheme else None


def _remote(scheme: str, rest: str) -> Address:
    if scheme not in SCHEMES:
        raise ValueError(f"begins with {in_short(scheme, 20)}:// -- matlens reads folders, and addresses that begin "
                         f"with {', '.join(f'{name}://' for name in SCHEMES)}")
    if scheme in ("s3", "gs"):
        bucket, _, key = rest.partition("/")
        if "@" in bucket:
            raise ValueError("holds a key before the name of the bucket. Keys do not belong into addresses: set "
                             "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" if scheme == "s3" else
                             "holds a key before the name of the bucket. Set GOOGLE_APPLICATION_CREDENTIALS instead")
        if not bucket:
            raise ValueError(f"names no bucket; write {scheme}://BUCKET/FOLDER")
        return Address(f"{scheme}://{bucket}/{key}".rstrip("/"))
    whole = f"{scheme}://{rest}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is no address of a web server") from error
    if not host:
        raise ValueError(f"names no server; write {scheme}://SERVER/PATH")
    if host.endswith("kaggle.com"):
        page = _KAGGLE.match(parts.path)
        raise ValueError("is that of a page on kaggle.com, and no folder of photos. Download the dataset first, such "
                         f"as with: {command('data', 'fetch', page[1] if page else 'OWNER/DATASET')}")
    named = f"[{host}]" if ":" in host else host
    public = urlunsplit((scheme, named if port is None else f"{named}:{port}", parts.path, "", ""))
    return Address(public, quote(whole.partition("#")[0], safe=":/?[]{}@!$&'()*+,;=%~"))


def _local(words: str) -> Address | None:
    suffix = PurePosixPath(words).suffix.lower()
    if suffix not in (*MANIFESTS, SHARD) and not _holds_shards(words):
        return None
    path = expanded(words)
    return None if suffix in (*MANIFESTS, SHARD) and path.is_dir() else Address(str(path.absolute()))


def _holds_shards(words: str) -> bool:
    """Return whether a folder of this machine holds tar shards and neither folders nor photos."""
    try:
        with os.scandir(Path(words).expanduser()) as entries:
            looked_at = [(entry.name, entry.is_dir()) for entry, _ in zip(entries, range(_LOOKED_AT), strict=False)]
    except (OSError, RuntimeError, ValueError):  # another check tells of it
        return False
    visible = [(name, is_folder) for name, is_folder in looked_at if not name.startswith(".")]
    return any(name.lower().endswith(SHARD) for name, _ in visible) and not any(
        is_folder or name.lower().endswith((".jpg", ".jpeg", ".png")) for name, is_folder in visible)


def as_address(value: Any) -> Any:
    """Take an address, also as a run recorded it. Raises ValueError, which does not quote it, for what is none."""
    address = address_of(value) if value is not None else None
    if address is None and isinstance(value, str) and Path(value).is_absolute() and not Path(value).is_dir():
        return Address(value)  # as a run recorded it: what lay there may be gone, or on another machine
    if value is not None and address is None:
        raise ValueError("is no address of photos; a folder is named by DATA_DIR")
    return address


def divided(options: Mapping[str, Any], called: Mapping[str, str]) -> dict[str, Any]:
    """Return settings in which an address that was given for the folder of the photos stands as `data_address`.

    called: what the user calls the settings. Raises SettingsError, which quotes no address, for one that is none.
    """
    given = dict(options)
    for name in ("data_address", "data_dir"):
        if given.get(name) is None or (name == "data_dir" and "data_address" in given):
            continue
        try:
            address = as_address(given[name]) if name == "data_address" else address_of(given[name])
        except ValueError as error:
            raise SettingsError(f"{called.get(name, name)}: the address {error}.") from None
        given["data_address"] = address
        if address is not None:
            given.pop("data_dir", None)
    return given


def path_or_address(given: str) -> Path | Address:
    """Return what a word of the command line stands for. Raises SettingsError, which quotes no address."""
    try:
        return address_of(given) or expanded(given)
    except ValueError as error:
        what = "the address" if _REMOTE.fullmatch(given) else in_short(repr(given))
        raise SettingsError(f"{what} {error}.") from None
