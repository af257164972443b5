"""How much trouble a download bears."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How many failures a download tolerates, and how slow it may be.

    tries: in a row that brought next to nothing. pause: seconds before the second try, doubled before each further one.
    stall: seconds without a byte after which a connection is given up.
    slowest: bytes a second; a connection that brings fewer over `window` seconds of waiting is given up. A modem of
        1998 brings 7,000; at 1,000 MINC-2500 takes a month.
    """

    tries: int = 6
    pause: float = 1.0
    stall: float = 30.0
    slowest: float = 1000.0
    window: float = 60.0
