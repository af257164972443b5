"""Jobs: each has a typed task, one file adds another, and what goes wrong in a child process is told by its class."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from matlens.errors import DeviceError, SettingsError, WorkerError
from matlens.models.protocol import BuildOrder
from matlens.system.transport import decode, encode, run_job
from matlens.training.history import Epoch
from matlens.training.stages.whole_network import WholeNetwork
from matlens.types import Scores
from matlens.workers.registry import JOBS, job, job_named

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path

from matlens.errors import DeviceError
from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class Place:
    path: Path
    lines: tuple[str, ...]
    share: float


@job("count_lines")
def count_lines(task: Place, tell: Tell) -> None:
    print("not an event")
    if not task.lines:
        raise DeviceError("there is no line")
    if task.share > 1:
        raise ZeroDivisionError("a share above 1")
    task.path.write_text("\\n".join(task.lines))
    tell("counted", lines=len(task.lines), share=task.share)
"""


@dataclasses.dataclass(frozen=True)
class Place:
    """A task like the plug-in's."""

    path: Path
    lines: tuple[str, ...] = ("a", "b")
    share: float = 1 / 3


@dataclasses.dataclass(frozen=True)
class Misplaced(Place):
    """A task with a value of another type."""

    share: str = "much"  # type: ignore[assignment]


@pytest.fixture
def plugin(tmp_path, monkeypatch) -> Path:
    """A throw-away file that adds a job, known to child processes alone."""
    (tmp_path / "lines.py").write_text(PLUGIN)
    monkeypatch.setenv("MATLENS_PLUGINS", str(tmp_path / "lines.py"))
    return tmp_path


def asked(name: str, task: object, folder: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    run_job(name, task, folder / "log", events.append)
    return events


def test_a_job_of_ones_own_is_one_file(plugin):
    """It is done in a child process; what it prints goes to the log, and numbers cross to the last digit."""
    assert asked("count_lines", Place(plugin / "written"), plugin) == [
        {"event": "counted", "lines": 2, "share": 1 / 3}]
    assert (plugin / "written").read_text() == "a\nb"
    assert "not an event" in (plugin / "log").read_text()


@pytest.mark.parametrize(("name", "task", "error", "facts"), [
    ("count_lines", Place(Path("x"), lines=()), DeviceError, ("no line",)),
    ("count_lines", Place(Path("x"), share=2.0), WorkerError, ("ZeroDivisionError", "a share above 1")),
    ("count_lines", Misplaced(Path("x")), WorkerError, ("Place", "share")),
    ("count_pages", Place(Path("x")), WorkerError, ("count_pages", "count_lines", "train", "gradients"))],
    ids=["an error of ours", "a defect", "a malformed task", "an unknown job"])
def test_what_goes_wrong_in_a_job_is_raised_here_by_its_class(plugin, name, task, error, facts):
    """Else the user reads an exit code, and has to look for the log."""
    with pytest.raises(error) as raised:
        asked(name, task, plugin)
    assert type(raised.value) is error
    assert all(fact in str(raised.value) for fact in facts), raised.value


def test_a_plugin_that_takes_a_jobs_name_is_refused_by_that_name(plugin):
    """Two jobs of one name would be one or the other, by chance."""
    (plugin / "lines.py").write_text(PLUGIN.replace("count_lines", "export"))
    with pytest.raises(SettingsError, match=r"lines\.py.*'export'"):
        asked("count_pages", Place(plugin / "written"), plugin)


def untyped(task, tell) -> None:
    """A job whose task is of no type."""


def plain(task: int, tell: object) -> None:
    """A job whose task is no dataclass."""


def unresolved(task: Nowhere, tell: object) -> None:  # type: ignore[name-defined] # noqa: F821
    """A job whose task's type is not imported."""


def taskless() -> None:
    """A job without a task."""


@pytest.mark.parametrize("function", [untyped, plain, unresolved, taskless])
def test_a_job_without_a_typed_task_fails_at_its_declaration(function):
    """The child process would otherwise start, and fail there."""
    with pytest.raises(ValueError, match="'nothing'"):
        job("nothing")(function)
    assert "nothing" not in JOBS


def sample(annotation: Any) -> Any:
    """A value of an annotated type, unlike any default."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:  # of a stage
        return WholeNetwork(7, "strong")
    if origin in (typing.Union, types.UnionType):
        return sample(arguments[0])
    if origin is typing.Literal:
        return arguments[-1]
    if origin is tuple:
        return (sample(arguments[0]),) * 2 if arguments[-1] is ... else tuple(map(sample, arguments))
    if annotation is BuildOrder:  # refuses what its model does not have
        return BuildOrder("mobilenetv2_transfer", 7, (64, 96), Path("/a b/ü"), {"alpha": 0.35}, "float16", "cuda:1")
    if dataclasses.is_dataclass(annotation):
        return annotation(**{name: sample(hint) for name, hint in typing.get_type_hints(
            annotation, include_extras=True).items() if typing.get_origin(hint) is not typing.ClassVar})
    if origin is not None:  # a mapping
        return {sample(arguments[0]): sample(arguments[1])}
    return {str: "ü", int: 7, float: 0.1 + 0.2, bool: True, Path: Path("/a b/ü")}[annotation]


@pytest.mark.parametrize("name", JOBS)
def test_every_jobs_task_survives_the_way_to_another_process(name):
    """A field that is lost, or a type that JSON does not have, shows only when the job is asked for."""
    task = sample(JOBS[name].task_type)
    assert decode(json.loads(json.dumps(encode(task))), JOBS[name].task_type) == task
    assert dataclasses.fields(task), "a task says what to do"


def test_the_epochs_of_a_task_come_back_to_the_last_digit():
    """The history of a head goes through the task into the results."""
    epoch = Epoch(1, Scores(0.1 + 0.2, 1e-17), Scores(1 / 3, 1.0), 1e-5, 2.5, 1000 / 7)
    assert decode(json.loads(json.dumps(encode(epoch))), Epoch) == epoch


@pytest.mark.parametrize("name", JOBS)
def test_asking_for_a_job_imports_no_other_one_and_nothing_heavy(name):
    """A child process must begin in no time, and hold no memory for what it does not do."""
    code = (f"import sys\nfrom matlens.workers.registry import job_named\njob_named({name!r})\n"
            "print(*(module for module in sys.modules if sys.modules[module] is not None))")
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                check=True).stdout.split())
    others = {other.do.__module__ for other in JOBS.entries()} - {job_named(name).do.__module__}
    heavy = {"tensorflow", "keras", "torch", "torchvision", "openvino", "matplotlib", "pandas", "sklearn"}
    assert not loaded & (others | heavy)
    assert ("matlens.training.loop" in loaded) == (name == "train")
