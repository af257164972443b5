"""Connections whose clients must state what they want soon: uvicorn waits for a request's headers without end."""

from __future__ import annotations

import asyncio
from typing import Any


def patient_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol for HTTP, which closes a connection whose request has no end of its headers by then.

    Bodies have a limit of their own (`uploads.body_of`), and so have connections that wait for another request
    (uvicorn's `timeout_keep_alive`).
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class PatientProtocol(H11Protocol):
        _given_up_at: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._given_up_at = self.loop.call_later(seconds, transport.close)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._wait()
            elif self._given_up_at is None and not self.transport.is_closing():
                self._given_up_at = self.loop.call_later(seconds, self.transport.close)

        def on_response_complete(self) -> None:
            self._wait()
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait()
            super().connection_lost(exc)

        def _wait(self) -> None:
            """Wait for what is under way: nothing is to be given up."""
            if self._given_up_at is not None:
                self._given_up_at.cancel()
                self._given_up_at = None

    return PatientProtocol
