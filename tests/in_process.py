"""Do jobs in the process of a test, which may have the framework already, instead of in a child process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matlens.system.transport import ChildProcess, encode
from matlens.workers.registry import JOBS


class InProcess:
    """A transport that takes the place of all child processes.

    asked: (job, task) of each job. on_event: called with each event, before whoever asked for the job hears it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *allowed: str) -> None:
        """allowed: the jobs that may be asked for; a test that asks for another one fails."""
        self.allowed, self.does = allowed, True
        self.asked: list[tuple[str, Any]] = []
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None
        monkeypatch.setattr(ChildProcess, "run", staticmethod(self.run))

    def run(self, job: str, task: Any, log_file: Path, on_event: Callable[[dict[str, Any]], None],
            environment: object) -> None:
        assert job in self.allowed, f"the job {job} was asked for"
        self.asked.append((job, task))

        def tell(event: str, **content: Any) -> None:
            told = json.loads(json.dumps({"event": event, **content}))
            self.on_event(told)
            on_event(told)

        if self.does:
            JOBS[job].run(json.loads(json.dumps(encode(task))), tell)
