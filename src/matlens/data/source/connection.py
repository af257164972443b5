"""Open an address over HTTP, within limits on how slow and how long the server's answer may be."""

from __future__ import annotations

import functools
import http.client
import io
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from matlens.data.source.patience import Patience

_HEADERS = 1 << 20
"""How many bytes may come beside the file itself: a server may send answers that only announce another one for ever."""


class _TooSlow(OSError):
    """A server sends so little that the download would not end."""


class _TooMuch(OSError):
    """A server sends more than it may."""


class _Measured(io.RawIOBase):
    """The bytes of a connection, with an eye on how fast they come.

    Only the time that is spent waiting for the server counts, so that a slow disk is not taken for a slow server.
    """

    def __init__(self, raw: io.RawIOBase, patience: Patience, most: int) -> None:
        self._raw, self._patience, self._left = raw, patience, most + _HEADERS
        self._waited, self._arrived = 0.0, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has arrived. Raises OSError where that is too little in too long a time, or too much."""
        begin = time.monotonic()
        count = self._raw.readinto(buffer) or 0
        self._waited += time.monotonic() - begin
        self._arrived += count
        self._left -= count
        if self._left < 0:
            raise _TooMuch("the server sends more than it may")
        if self._waited >= self._patience.window:
            if self._arrived < self._waited * self._patience.slowest:
                raise _TooSlow(f"the server sends {self._arrived / self._waited:,.0f} bytes a second")
            self._waited, self._arrived = 0.0, 0
        return count

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()
        super().close()


class _MeasuredResponse(http.client.HTTPResponse):
    def __init__(self, *arguments: Any, measured: Callable[[Any], _Measured], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fp = io.BufferedReader(measured(self.fp.detach()))


def open_address(request: urllib.request.Request, patience: Patience, most: int) -> http.client.HTTPResponse:
    """Ask a server, and follow where it leads as long as that is HTTP.

    Args:
        most: the bytes that may come.

    Raises:
        OSError: as urllib's URLError or HTTPError; reading the answer raises it too where the server is too slow.
        http.client.HTTPException, ValueError: the server's answer, or the address that it leads to, is none.
    """
    response = functools.partial(_MeasuredResponse, measured=functools.partial(_Measured, patience=patience, most=most))

    def connection(kind: Callable[..., http.client.HTTPConnection], *arguments: Any, **options: Any,
                   ) -> http.client.HTTPConnection:
        made = kind(*arguments, **options)
        made.response_class = response  # type: ignore[assignment]
        return made

    class OverHTTP(urllib.request.HTTPHandler):
        def http_open(self, asked: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(functools.partial(connection, http.client.HTTPConnection), asked)

    class OverHTTPS(urllib.request.HTTPSHandler):
        def https_open(self, asked: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(functools.partial(connection, http.client.HTTPSConnection), asked)

    opener = urllib.request.OpenerDirector()  # build_opener would add files, FTP and data addresses
    for handler in (urllib.request.ProxyHandler(), OverHTTP(), OverHTTPS(), urllib.request.HTTPDefaultErrorHandler(),
                    urllib.request.HTTPRedirectHandler(), urllib.request.HTTPErrorProcessor(),
                    urllib.request.UnknownHandler()):
        opener.add_handler(handler)
    answer: http.client.HTTPResponse = opener.open(request, timeout=patience.stall)
    return answer
