"""Bind a task to some of a node's cores, so that it has as many threads as alone on a machine of so many."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

IS_BOUND = sys.platform == "linux"
"""Whether tasks can be bound here."""


@contextmanager
def bound_to_cores(count: int) -> Iterator[None]:
    """Let the processes that are started inside run on `count` cores, other ones than those of this user's other tasks.

    Frameworks start a thread for each core that they may use, and how many there are decides in which order numbers
    are added up. Where the system cannot bind a process, or has no more cores, nothing is done.
    """
    if not IS_BOUND or count >= len(before := os.sched_getaffinity(0)):
        yield
        return
    with ExitStack() as held:
        chosen: list[int] = []
        for core in sorted(before):
            if len(chosen) < count and _taken(core, held):
                chosen.append(core)
        # Where all are taken, some are shared, but their number is right.
        chosen += [core for core in sorted(before) if core not in chosen][:count - len(chosen)]
        os.sched_setaffinity(0, chosen)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def _taken(core: int, held: ExitStack) -> bool:
    """Take a core, unless another task has it. A name in Linux' abstract namespace ends with its process, however."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0matlens-core-{os.getuid()}-{core}")
    except OSError:
        name.close()
        return False
    held.callback(name.close)
    return True
