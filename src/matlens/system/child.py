"""Run a model's training in a process of its own, and hear of its progress."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matlens.errors import KilledError, WorkerError, named_error

Event = dict[str, Any]


def run_child(kind: str, task: dict[str, Any], log_file: Path, on_event: Callable[[Event], None],
              environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run `matlens.workers.main` on a task until it ends.

    kind: "train", "draft", "confirm", "export", "gradients" or "quantise". The child reads the task from its standard
    input and dies when that closes, however this process ends. Its standard output carries events, one JSON object a
    line; whatever else is printed there goes to `log_file`. `environment` is set in addition to this process' own.

    Raises:
        MatlensError: the one that the child raised; if it ended without one KilledError or WorkerError.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    failure: Event | None = None
    with log_file.open("ab") as log, subprocess.Popen(
            [sys.executable, "-m", "matlens.workers.main"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log, text=True, encoding="utf-8", start_new_session=True,
            env=os.environ | dict(environment)) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended already; its exit code says how
                child.stdin.write(json.dumps({"kind": kind, **task}) + "\n")
                child.stdin.flush()
            for line in child.stdout:
                event = json.loads(line)
                if event["event"] == "failed":
                    failure = event
                if event["event"] in ("failed", "done"):
                    break  # not at the end of the stream: a process that the child left behind may hold it open
                on_event(event)
            code = child.wait()
        except BaseException:
            child.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            _kill_group(child.pid)
    if failure is not None:
        raise named_error(failure["kind"], failure["message"])
    if code == -signal.SIGKILL:
        ways_out = "End other programs that hold memory"
        if kind == "train":
            ways_out += (", or go on with the same command and --batch-size auto; or begin with a smaller --batch-size "
                         "or --img-size in another folder (--out)")
        raise KilledError("its process was killed, most likely because the system ran out of memory. "
                          f"{ways_out} (log: {log_file})")
    if code != 0:
        raise WorkerError(_ending(code, log_file))


def _kill_group(leader: int) -> None:
    """End whatever the child started and left."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


def _ending(code: int, log_file: Path) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"the process ended with {how} (log: {log_file})"
