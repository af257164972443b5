"""Whether settings are typed as options, which messages then name in place of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_typed: ContextVar[bool] = ContextVar("typed", default=False)


def are_typed() -> bool:
    """Return whether a command line gives the settings."""
    return _typed.get()


@contextmanager
def typed_options() -> Iterator[None]:
    """Inside, what is given to `Settings.load` was typed as options."""
    before = _typed.set(True)
    try:
        yield
    finally:
        _typed.reset(before)
