"""How many files this process may have open: each mapped shard holds one."""

from __future__ import annotations

import contextlib

_MANY = 65_536
"""Files that are enough for some hundred million photos."""


def allow_open_files() -> None:
    """Raise this process' limit on open files, as far as the system allows: many shards are open at once."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MANY if hard == resource.RLIM_INFINITY else min(_MANY, hard)
        if soft not in (resource.RLIM_INFINITY, wanted) and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
