"""How many files this process may have open: each mapped shard holds one."""

from __future__ import annotations

import contextlib

_FEW, _MANY = 16, 65_536
"""Shards that need no more files than systems allow a process at first; and files that are enough for some hundred
million photos."""


def allow_open_files(shards: int) -> None:
    """Raise this process' limit on open files where so many shards may exceed it, as far as the system allows."""
    if shards <= _FEW:
        return
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MANY if hard == resource.RLIM_INFINITY else min(_MANY, hard)
        if soft not in (resource.RLIM_INFINITY, wanted) and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
