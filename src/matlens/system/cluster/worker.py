"""Do a job of matlens inside of a Ray task: in a child process, as alone, which ends with the task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import CrashedError, MatlensError
from matlens.system.cluster.cores import bound_to_cores
from matlens.system.cluster.looking import look
from matlens.system.transport import CHILD_PROCESS, Event, OnEvent
from matlens.system.untrusted import open_regular

_LAST_WORDS = 400
"""Letters of a log that a message repeats, where a job ended without a word."""


@dataclass(frozen=True)
class JobOrder:
    """A job for a node. It travels as plain values.

    task: in plain values (`matlens.system.transport.encode`).
    log_file: on a shared disk.
    environment: variables of the machine that asks, for the job; None takes one out.
    paths: which the node must see. code: what `looking.look` says of matlens' code on the machine that asks.
    """

    job: str
    task: Any
    log_file: str
    environment: Mapping[str, str | None]
    cores: int
    paths: tuple[str, ...]
    code: str


def done_here(order: JobOrder, node: str, tell: OnEvent) -> Event | None:
    """Do a job in a child process of this one. Returns None, or the failure: its `kind` and `message`."""
    own = look((), ("matlens",))
    if own["code"] != order.code:
        return _failure(f"The node {node} has other code of matlens ({own['versions'].get('matlens')}) than the "
                        "machine that asks. Install the same on all.")
    for path in order.paths:
        if not Path(path).exists():
            return _failure(f"The node {node} does not see {path}. Photos, run and cache must lie on disks that all "
                            "nodes share, at the same path.")
    # Ray sets the number of threads by itself; alone, the cores decide it.
    for name, value in order.environment.items():
        if value is None:
            os.environ.pop(name, None)
    environment = {name: value for name, value in order.environment.items() if value is not None}
    log = Path(order.log_file)
    with bound_to_cores(order.cores):
        try:
            CHILD_PROCESS.run(order.job, order.task, log, tell, environment)
        except MatlensError as error:
            said = ""
            if isinstance(error, CrashedError) and log.exists():
                with open_regular(log) as opened:
                    opened.seek(max(0, log.stat().st_size - _LAST_WORDS))
                    said = f": {opened.read().decode('utf-8', 'replace').strip()}"
            return {"kind": type(error).__name__, "message": f"{error}{said} (on the node {node})"}
    return None


def _failure(message: str) -> Event:
    return {"kind": "ClusterError", "message": message}
