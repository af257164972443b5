"""What a server takes at most, and how it says no."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """What a server takes.

    request_bytes: of a request's body; a ZIP may unpack to four times as many. photo_bytes: of one photo.
    photo_pixels: of one photo. photos: in one request. queue: photos that wait or are computed, of all requests.
    upload_seconds: for a request's body to arrive. answer_seconds: from then to its answer.
    held_bytes: of the bodies of all requests that are under way.
    """

    request_bytes: int = 64 << 20
    photo_bytes: int = 32 << 20
    photo_pixels: int = 50_000_000
    photos: int = 100
    queue: int = 1024
    upload_seconds: float = 30.0
    answer_seconds: float = 120.0
    held_bytes: int = 512 << 20

    @property
    def unpacked_bytes(self) -> int:
        """Bytes that the photos of a ZIP may unpack to."""
        return 4 * self.request_bytes


class Refused(Exception):
    """A request that is not answered: status, in words why, and after how many seconds to try again (0: never)."""

    def __init__(self, status: int, words: str, retry_after: int = 0) -> None:
        super().__init__(words)
        self.status, self.words, self.retry_after = status, words, retry_after


class Overloaded(Refused):
    """There is too much to do now."""

    def __init__(self, words: str, retry_after: int = 1) -> None:
        super().__init__(429, f"{words} Try again in {retry_after} s.", retry_after)


class Account:
    """The bytes that one request holds, of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.held = ledger, 0

    def take(self, n: int) -> None:
        """Hold so many bytes more. Raises Overloaded where all requests together would hold too many."""
        with self._ledger.lock:  # ZIPs are unpacked in threads
            if self._ledger.held + n > self._ledger.limit:
                raise Overloaded("The uploads that are under way take all the memory that is there for them.")
            self._ledger.held += n
            self.held += n


class Ledger:
    """Counts the bytes that all requests hold. limit: the most."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held, self.lock = limit, 0, threading.Lock()

    @contextmanager
    def account(self) -> Iterator[Account]:
        """Give a request its account, whose bytes are free again when it ends."""
        account = Account(self)
        try:
            yield account
        finally:
            with self.lock:
                self.held -= account.held
