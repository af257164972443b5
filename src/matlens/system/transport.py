"""Run a job elsewhere and receive its events: in a child process, or by another transport with the same interface.

A job is named, and its task is a frozen dataclass (`matlens.workers` has both). Both sides exchange JSON: the
task goes one way, events come back, and the error that the job raised comes last, by the name of its class.
"""

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
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from matlens.errors import CrashedError, KilledError, WorkerError, named_error
from matlens.system.files import appending
from matlens.system.resources import MORE_MEMORY, allowed_addresses

Event = dict[str, Any]
"""`event` is its name; the rest are plain values."""

OnEvent = Callable[[Event], None]

Task = TypeVar("Task")

_LOG = {"PYTHONIOENCODING": "utf-8:backslashreplace"}
"""Logs are in UTF-8, whatever the terminal is in; and what a library prints may be anything."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


def encode(task: object) -> Any:
    """Turn a task into values that JSON has."""
    return TypeAdapter[Any](type(task)).dump_python(task, mode="json")


def decode(content: Any, task_type: type[Task]) -> Task:
    """Make the task that `encode` turned into plain values. Raises WorkerError where they are not of this type."""
    try:
        return TypeAdapter(task_type).validate_python(content)
    except ValueError as error:
        raise WorkerError(f"The task is not a {task_type.__name__}: {error}") from error


class Transport(Protocol):
    """Where jobs are done."""

    def run(self, job: str, task: object, log_file: Path, on_event: OnEvent, environment: Mapping[str, str]) -> None:
        """Do the job and return when it has ended; see `run_job`."""


class ChildProcess:
    """Do each job in a process of its own, which ends with this one, however that ends."""

    def run(self, job: str, task: object, log_file: Path, on_event: OnEvent, environment: Mapping[str, str]) -> None:
        """Do the job; see `run_job`.

        The child reads the job and its task from its standard input and ends when that closes. Its standard output
        carries events, one JSON object a line; whatever else is printed there goes to `log_file`.
        """
        failure: Event | None = None
        with appending(log_file) as log, subprocess.Popen(
                [sys.executable, "-m", "matlens.workers.main"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, text=True, encoding="utf-8", start_new_session=True,
                env=os.environ | _LOG | dict(environment)) as child:
            assert child.stdin is not None and child.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # it has ended already; its exit code says how
                    child.stdin.write(json.dumps({"job": job, "task": encode(task)}) + "\n")
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
            raise KilledError("its process was killed, most likely because the system ran out of memory. End other "
                              f"programs that hold memory (log: {log_file})")
        if code != 0:
            raise CrashedError(_ending(code, log_file))


CHILD_PROCESS = ChildProcess()


def run_job(job: str, task: object, log_file: Path, on_event: OnEvent = lambda event: None,
            environment: Mapping[str, str] = _NOTHING, transport: Transport = CHILD_PROCESS) -> None:
    """Run a job, and return when it has ended.

    Args:
        job: the name under which it is registered (`matlens.workers.registry`).
        task: a dataclass of the type that the job takes; its paths must be absolute.
        log_file: what the job prints is added to this file.
        on_event: called with each event that the job tells of.
        environment: variables that are set in addition to those of this process.

    Raises:
        MatlensError: the one that the job raised; KilledError or CrashedError if it ended without one.
    """
    transport.run(job, task, log_file, on_event, environment)


def _kill_group(leader: int) -> None:
    """End whatever the child started and left."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


def _ending(code: int, log_file: Path) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    # Libraries crash in many ways where they get no memory, and most of them say nothing.
    limit = allowed_addresses()
    why = f". Its limit of {limit / 1e6:,.0f} MB of addresses is a likely reason. {MORE_MEMORY}" if limit else ""
    return f"the process ended with {how} (log: {log_file}){why}"
