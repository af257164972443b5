"""Who may ask: tokens, and pages of other sites. And what browsers are told about every answer."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from matlens.serving.limits import Refused
from matlens.serving.metrics import Metrics
from matlens.serving.replies import refusal

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"}


def is_local(host: str) -> bool:
    """Return whether a name or an address is one that is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """An ASGI application around another one.

    token: what `Authorization: Bearer` must state for protected paths; None asks for none. Then only requests to a name
    of this machine are answered: a page of another site could else reach the server under a name of its own.
    """

    def __init__(self, app: App, token: str | None, protected: frozenset[str], known: frozenset[str],
                 metrics: Metrics) -> None:
        self._app, self._token, self._protected, self._known, self._metrics = app, token, protected, known, metrics

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer a request, or refuse it before its body is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.lower() for name, _ in message.get("headers", ())}
                message["headers"] = [*message.get("headers", ()), *(
                    (name.lower().encode(), value.encode()) for name, value in HEADERS.items()
                    if name.lower().encode() not in own)]
            await send(message)

        try:
            try:
                self._refuse_strangers(scope)
            except Refused as refused:
                await refusal(refused)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        finally:
            path = scope["path"] if scope["path"] in self._known else "other"
            self._metrics.request(path, status, time.perf_counter() - started)

    def _refuse_strangers(self, scope: Scope) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        try:
            asked, asking = urlsplit(f"//{host}").hostname or "", None if origin is None else urlsplit(origin).netloc
        except ValueError:
            raise Refused(400, "The header Host or Origin is no address.") from None
        if asking is not None and asking != host:
            raise Refused(403, "This request comes from a page of another site, which may not ask here.")
        if self._token is None:
            if not is_local(asked):
                raise Refused(403, "Without a token the server answers to localhost alone. Start it with --token to "
                                   "reach it by another name.")
        elif scope["path"] in self._protected and not self._is_right(headers.get(b"authorization", "")):
            raise Refused(401, "The token is missing or wrong. Send the header: Authorization: Bearer TOKEN")

    def _is_right(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        assert self._token is not None
        return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._token.encode())
