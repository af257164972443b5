"""How much a generator of inputs makes: a little in each test run, everything when it is asked for."""

from __future__ import annotations

import os


def rounds(usual: int, all_of_them: int) -> int:
    """Return how many inputs to make: `all_of_them` where MATLENS_ATTACKS is `all` (as `make attacks` sets it)."""
    return all_of_them if os.environ.get("MATLENS_ATTACKS") == "all" else usual
