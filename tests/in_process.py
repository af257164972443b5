"""Do jobs in the process of a test, which may have the framework already, instead of in a child process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matlens.system.transport import ChildProcess, encode
from matlens.workers.registry import JOBS

OnEvent = Callable[[dict[str, Any]], None]


class InProcess:
    """Takes the place of all child processes.

    jobs: those that are done here, by name. elsewhere: those that get a real child process. A test fails that asks for
    any other job.
    asked: the task of each job that was to be done here.
    on_event: called with each event, before whoever asked for the job hears it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *jobs: str) -> None:
        self.jobs, self.elsewhere, self.is_idle = jobs, (), False
        self.asked: list[Any] = []
        self.on_event: OnEvent = lambda event: None
        self._child = ChildProcess.run
        monkeypatch.setattr(ChildProcess, "run", lambda process, *order: self.run(process, *order))

    def run(self, process: ChildProcess, job: str, task: Any, log_file: Path, on_event: OnEvent, environment: Any,
            ) -> None:
        if job in self.elsewhere:
            self._child(process, job, task, log_file, on_event, environment)
            return
        assert job in self.jobs, f"the job {job} was asked for"
        self.asked.append(task)

        def tell(event: str, **content: Any) -> None:
            told = json.loads(json.dumps({"event": event, **content}))
            self.on_event(told)
            on_event(told)

        if not self.is_idle:
            JOBS[job].run(json.loads(json.dumps(encode(task))), tell)
