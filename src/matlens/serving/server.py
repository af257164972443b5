"""Listen, and answer until a signal ends it: what is under way by then is finished."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matlens.errors import SettingsError, UsageError
from matlens.serving.security import App, is_local
from matlens.system.console import command

_FINISH_SECONDS = 60
"""How long requests that are under way may take after a signal."""
_HEADER_BYTES = 32 << 10


def refuse_open_door(host: str, token: str | None, runs: tuple[object, ...] = ("RUN",), words: str = "serve") -> None:
    """Raise SettingsError for an address that others reach, without a token; and for a token that is easily guessed.

    words, runs: the command and what it serves, for the message.
    """
    if token is not None and (len(token) < 8 or not token.isascii() or not token.isprintable() or " " in token):
        raise SettingsError("--token must have 8 characters or more, of ASCII and without blanks. This makes one: "
                            "openssl rand -hex 16")
    if token is None and not is_local(host):
        raise SettingsError(f"At {host} others can reach the server, so it needs a token: "
                            f"{command(words, *runs, '--host', host)} --token \"$(openssl rand -hex 16)\"")


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that is bound. Raises UsageError where the port is in use, or the address is none of ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)[0]
        # asyncio lets a socket send at once only if it says that it is of TCP; else each answer waits 40 ms for a
        # client to confirm that its head arrived.
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"There is no address {host} here ({error.strerror or error}). Name one of this machine with "
                         "--host, such as 127.0.0.1.") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"Port {port} of {host} is in use by another program. Take another one, such as: "
                             f"--port {port + 1 if port < 65535 else 8000}") from error
        raise UsageError(f"The server cannot listen at port {port} of {host} ({error.strerror}). Take another one, "
                         "such as: --port 8000") from error
    return bound


def serve(app: App, bound: socket.socket, is_ready: Callable[[], bool], on_ready: Callable[[], None],
          header_seconds: float = 30) -> None:
    """Answer requests until SIGINT or SIGTERM, and then until those under way are answered.

    Args:
        is_ready: whether photos are answered, which is asked until it says so. What it raises ends the server, and is
            raised here.
        on_ready: called then.
        header_seconds: how long a client may take to state a request.
    """
    import uvicorn

    from matlens.serving.connections import patient_protocol

    failures: list[Exception] = []

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Take signals as a wish to end; uvicorn would raise them once more afterwards."""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        waits = True

        async def on_tick(self, counter: int) -> bool:
            """Look whether the server is ready, ten times a second, and whether it should end."""
            try:
                if self.waits and is_ready():
                    self.waits = False
                    on_ready()
            except Exception as error:  # noqa: BLE001 -- it is raised when the server has ended
                failures.append(error)
                self.should_exit = True
            return await super().on_tick(counter)

    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, ws="none", loop="asyncio", lifespan="on",
        http=patient_protocol(header_seconds), h11_max_incomplete_event_size=_HEADER_BYTES, timeout_keep_alive=15,
        timeout_graceful_shutdown=_FINISH_SECONDS)
    Server(config).run(sockets=[bound])
    if failures:
        raise failures[0]
