"""The jobs by name: each is a function of a typed task, which tells of its progress in events.

    @job("features")
    def features(task: FeaturesTask, tell: Tell) -> None: ...

A job of one's own is declared in the same way in a file that `MATLENS_PLUGINS` names.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_type_hints

from matlens.errors import WorkerError
from matlens.system.registry import Registry
from matlens.system.transport import decode

_PACKAGE, _LATER = "matlens.workers.jobs", "matlens.jobs.tasks"
"""The packages of jobs: of those that need one framework, and of those that are a part of the main job, which knows all
rooms. The second one is named and not imported here, since it stands later in the flow."""


class Tell(Protocol):
    """Tells the process that asked for the job of an event."""

    def __call__(self, event: str, **content: Any) -> None:
        """Send an event: its name, and plain values."""


@dataclass(frozen=True)
class Job:
    """A registered job. task_type: the dataclass that `do` takes as its first argument."""

    name: str
    task_type: type[Any]
    do: Callable[[Any, Tell], None]

    def run(self, content: Any, tell: Tell) -> None:
        """Do the job. content: the task in plain values (`matlens.system.transport.encode`)."""
        self.do(decode(content, self.task_type), tell)


JOBS: Registry[Job] = Registry("job", _PACKAGE, WorkerError, more=(_LATER,))
"""All jobs. Asking for their list imports all of their files; `job_named` imports one."""

JobFunction = TypeVar("JobFunction", bound=Callable[[Any, Tell], None])


def job(name: str) -> Callable[[JobFunction], JobFunction]:
    """Register a function as a job. Raises ValueError for a name that is taken, or a task that is no dataclass."""
    def register(function: JobFunction) -> JobFunction:
        JOBS.register(Job(name, _task_type(name, function), function))
        return function

    return register


def job_named(name: str) -> Job:
    """Look a job up, without importing the files of other jobs. Raises WorkerError, which names the known ones."""
    for package in (_PACKAGE, _LATER):
        module = f"{package}.{name}"
        if name.isidentifier() and importlib.util.find_spec(module) is not None:
            importlib.import_module(module)
            break
    return JOBS[name]


def _task_type(name: str, function: Callable[..., None]) -> type[Any]:
    """Return the type of a function's first argument."""
    first = next(iter(function.__code__.co_varnames[:function.__code__.co_argcount]), None)
    try:
        task_type = get_type_hints(function).get(first or "")
    except NameError as error:
        raise ValueError(f"the job '{name}' has a task of an unknown type ({error}); import the type where the job is "
                         "declared, outside of TYPE_CHECKING") from error
    if not isinstance(task_type, type) or not dataclasses.is_dataclass(task_type):
        raise ValueError(f"the job '{name}' has no typed task: its first argument must be annotated with a dataclass")
    return task_type
