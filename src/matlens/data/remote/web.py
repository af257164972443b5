"""Web servers: photos by their addresses, of a manifest or of an index page that fsspec can list."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from matlens.data.remote.failures import StoreError, patiently
from matlens.data.remote.stores import Arrived, StoredObject, changed, file_system, refuse_missing, too_large
from matlens.data.source.patience import Patience
from matlens.errors import DataError
from matlens.settings.addresses import Address, address_of
from matlens.system.caches import Say

_BLOCK = 1 << 18
_DEEPEST = 16
_MOST_PAGES = 20_000
_ASKED = {"Accept-Encoding": "identity"}
"""Else a server may compress what it sends, and its length says nothing."""


class _TooMuch(Exception):
    """An object has more bytes than it may."""


class WebServer:
    """A web server. Its objects have no sizes and tags before they are read; an object that is here is asked for with
    its tag, which a server answers without sending it again."""

    tells_tags = False

    def __init__(self, scheme: str, patience: Patience, say: Say) -> None:
        self._patience, self._say = patience, say
        refuse_missing(scheme)
        self._system = file_system(scheme, encoded=True, simple_links=False, client_kwargs={
            "trust_env": True, "timeout": _timeout(patience)})

    def below(self, address: str) -> Iterator[StoredObject]:
        """Follow the links of an index page that lead below it. Raises DataError where these are too many."""
        top = _as_folder(address)
        waiting, seen, pages = [(top, 0)], {top}, 1
        while waiting:
            page, depth = waiting.pop()
            public = _public(page)
            links = patiently(functools.partial(self._system.ls, page, detail=True), public, self._patience,
                              self._say)
            for link in sorted(str(entry["name"]) for entry in links):
                parts = urlsplit(link)
                if parts.query or parts.fragment or link in seen or not link.startswith(page):
                    continue
                seen.add(link)
                if not link.endswith("/"):
                    yield StoredObject(link, _public(link), unquote(link.removeprefix(top)))
                elif depth >= _DEEPEST or pages >= _MOST_PAGES:
                    raise DataError(f"{_public(top)} has more than {_MOST_PAGES:,} index pages, or folders that are "
                                    f"more than {_DEEPEST} deep. Name the photos in a manifest.")
                else:
                    pages += 1
                    waiting.append((link, depth + 1))

    def beside(self, base: str, paths: list[str]) -> dict[str, StoredObject]:
        """Return the addresses of a manifest's photos. Whether they are there is seen when they are read."""
        top = _as_folder(base)
        objects = {}
        for path in paths:
            address = address_of(path).opening if "://" in path else f"{top}{quote(path)}"  # type: ignore[union-attr]
            objects[path] = StoredObject(address, _public(address), path)
        return objects

    def bring(self, wanted: StoredObject, to: Path, most: int, known: str = "") -> Arrived | None:
        """Write what an address gives to a file, unless the server says that it is what is known."""
        try:
            return patiently(lambda: self._got(wanted.address, to, most, known), wanted.public, self._patience,
                             self._say)
        except _TooMuch:
            raise too_large(wanted.public, most) from None
        except StoreError as error:
            if known and error.failure.kind == "missing":
                raise changed(wanted.public) from None
            raise

    def has_changed(self, wanted: StoredObject, known: str) -> bool:
        """Ask whether what is there has another tag, without reading it."""
        try:
            return patiently(lambda: self._got(wanted.address, None, 0, known), wanted.public, self._patience,
                             self._say) is not None
        except StoreError as error:
            if error.failure.kind == "missing":
                return True
            raise

    def _got(self, url: str, to: Path | None, most: int, known: str) -> Arrived | None:
        from fsspec.asyn import sync

        arrived: Arrived | None = sync(self._system.loop, _get, self._system, url, to, most, known)
        return arrived


async def _get(system: Any, url: str, to: Path | None, most: int, known: str) -> Arrived | None:
    session = await system.set_session()
    asked = dict(_ASKED)
    if known:  # a time of change has no quotes, and an ETag has some
        asked["If-None-Match" if '"' in known else "If-Modified-Since"] = known
    async with session.get(system.encode_url(url), headers=asked) as answer:
        if answer.status == HTTPStatus.NOT_MODIFIED and known:
            return None
        answer.raise_for_status()
        tag = str(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")[:1000]
        if known and tag == known:
            return None
        size = 0
        if to is None:
            return Arrived(0, tag)
        if (answer.content_length or 0) > most:
            raise _TooMuch
        with to.open("wb") as file:
            async for block in answer.content.iter_chunked(_BLOCK):
                size += len(block)
                if size > most:
                    raise _TooMuch
                file.write(block)
        return Arrived(size, tag if tag.isprintable() else "")


def _timeout(patience: Patience) -> Any:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, sock_connect=patience.stall, sock_read=patience.stall)


def _as_folder(address: str) -> str:
    """Return the address of a folder without query, with user and password, and with the slash at its end."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/", "", ""))


def _public(address: str) -> str:
    known = address_of(address)
    return known.public if isinstance(known, Address) else ""
