"""Jobs as Ray tasks, on a cluster of this machine: what they tell, how they fail, and what is left of them."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from matlens.errors import ClusterError, MatlensError, WeightsError, WorkerError
from matlens.jobs.cluster.check import check_cluster
from matlens.jobs.cluster.robustness import robustness_on
from matlens.jobs.measure import measure_robustness
from matlens.robustness.curves import Robustness
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.cluster import transport
from matlens.system.cluster.connection import connected
from matlens.system.cluster.nodes import SharedPath, faults_of, living_nodes, looked_at, own_look
from matlens.system.cluster.transport import RayTasks
from matlens.system.console import Reporter
from matlens.system.files import read_json
from matlens.system.registry import PLUGINS
from ray_nodes import RayNodes, ray_nodes

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class File:
    """As the tasks of `plugins/waiting.py`."""

    file: Path


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with ray_nodes(2) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLUGINS, str(Path(__file__).parents[1] / "plugins" / "waiting.py"))
        yield found


@pytest.fixture(scope="module")
def ray(nodes: RayNodes) -> Iterator[Any]:
    with connected("ray") as module:
        yield module


@pytest.fixture
def tasks(ray: Any, tmp_path: Path) -> Iterator[RayTasks]:
    made = RayTasks(ray, 1, 0, [tmp_path])
    yield made
    made.stop()
    made.close()


class Asked(threading.Thread):
    """A job that is done in a thread, with what it told and how it ended."""

    def __init__(self, tasks: RayTasks, job: str, file: Path) -> None:
        super().__init__(daemon=True)
        self._do = lambda: tasks.run(job, File(file), file.parent / "log.txt", self.events.append, {})
        self.events: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._do()
        except (MatlensError, OSError) as error:
            self.error = error

    def told(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait until something was told of so often, and return the last one of these."""
        found = until(lambda: [event for event in list(self.events) if event["event"] == name][count - 1:] or (
            self.error and pytest.fail(f"{self.error}")))
        return found[0]


def until(look: Callable[[], Any]) -> Any:
    """Return what `look` sees as soon as it sees something. It fails after some minutes, to end a hang."""
    for _ in range(3000):
        if seen := look():
            return seen
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_jobs_run_at_once_each_on_a_core_of_its_own_and_tell_what_they_did(tasks, tmp_path, monkeypatch):
    """Two nodes do two jobs at the same time; how many threads they have is not left to Ray."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    asked = [Asked(tasks, "wait", tmp_path / "file") for _ in range(2)]
    waiting = [job.told("waiting") for job in asked]
    (tmp_path / "file").write_text("here")
    for job in asked:
        job.join(120)
        assert job.error is None
        assert job.events[-1] == {"event": "waited", "content": "here"}
    assert len({event["pid"] for event in waiting} | {os.getpid()}) == 3
    assert [event["threads"] for event in waiting] == [None, None]
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        assert all(len(event["cores"]) == 1 and set(event["cores"]) < cores for event in waiting)
        assert waiting[0]["cores"] != waiting[1]["cores"]


def test_the_error_of_a_job_comes_back_with_the_name_of_its_node(tasks, tmp_path):
    """Whoever asked sees the same class as alone, and where to look."""
    with pytest.raises(WeightsError) as caught:
        tasks.run("refuse", File(tmp_path / "x"), tmp_path / "log.txt", lambda event: None, {})
    assert str(tmp_path / "x") in str(caught.value)
    assert os.uname().nodename in str(caught.value)


def test_a_node_that_joins_late_without_the_shared_disk_is_named(ray, tmp_path):
    """It was not looked at when the run began."""
    lacking = RayTasks(ray, 1, 0, [tmp_path / "not there"])
    with pytest.raises(ClusterError) as caught:
        lacking.run("wait", File(tmp_path / "x"), tmp_path / "log.txt", lambda event: None, {})
    lacking.close()
    assert str(tmp_path / "not there") in str(caught.value)
    assert os.uname().nodename in str(caught.value)


def test_stopping_ends_the_processes_of_all_jobs(ray, tmp_path):
    """After Ctrl-C nothing computes on; nobody would see what."""
    tasks = RayTasks(ray, 1, 0, [tmp_path])
    asked = [Asked(tasks, "wait", tmp_path / "file") for _ in range(3)]  # one of them waits for a CPU
    until(lambda: sum(any(event["event"] == "waiting" for event in list(job.events)) for job in asked) == 2)
    tasks.stop()
    tasks.close()
    for job in asked:
        job.join(60)
        assert isinstance(job.error, WorkerError)
    for job in asked:
        for event in job.events:
            assert event["event"] != "waiting" or until(lambda event=event: is_gone(event["pid"]))
    with pytest.raises(WorkerError):
        tasks.run("wait", File(tmp_path / "file"), tmp_path / "log.txt", lambda event: None, {})


def test_each_node_is_looked_at_and_what_is_wrong_is_named(ray, tmp_path, monkeypatch):
    """A path that is another one on the node, other code, another Python: each is found before anything is trained."""
    shared = [SharedPath(tmp_path / "out", "--out", True), SharedPath(Path(__file__), "--data")]
    here = living_nodes(ray)
    assert sorted(node.cpus for node in here) == [0, 1, 1]
    seen = looked_at(ray, here, shared, ("numpy",))
    own = own_look(shared, ("numpy",))
    assert [faults_of(node, own, shared) for node in seen] == [[], [], []]
    assert not any(path.name != "out" for path in tmp_path.rglob("*")), "nothing is left of looking"

    monkeypatch.chdir(tmp_path / "out")
    (tmp_path / "out" / "photos").mkdir()
    only_here = [SharedPath(Path("/proc/self/cwd/photos"), "--data")]  # it leads to each process's own folder
    seen = looked_at(ray, here, only_here, ())
    for node, fault in zip(seen, [faults_of(node, own_look(only_here, ()), only_here) for node in seen], strict=True):
        assert node.node.name in fault[0]
        assert "/proc/self/cwd/photos" in fault[0]
    other = {**own, "code": "0" * 64, "versions": {**own["versions"], "python": "3.10.1"}}
    faults = " ".join(faults_of(looked_at(ray, here[:1], shared, ("numpy",))[0], other, shared))
    assert "3.10.1" in faults
    assert "code of matlens" in faults


def test_robustness_on_a_cluster_is_what_it_is_here(ray, small_run, tmp_path, monkeypatch):
    """Both models at once, each with the same photos and the same perturbations."""
    monkeypatch.setattr("matlens.jobs.cluster.tasks.LIBRARIES_THAT_COUNT", ("numpy",))
    runs = [Run.open(shutil.copytree(small_run, tmp_path / name)) for name in ("here", "there")]
    names = runs[0].model_names
    measure_robustness(runs[0], names, 3, Reporter(quiet=True))
    settings = Settings.load(options={"on": "ray", "cache_dir": tmp_path / "cache"})
    robustness_on(settings, runs[1], names, 3, Reporter(quiet=True))
    for name in names:
        here, there = (read_json(run.paths.on_request_file(name, Robustness.kind)) for run in runs)
        assert there["curves"] == here["curves"]
        assert there["n_photos"] == here["n_photos"] == 3
    here, there = ({str(path.relative_to(run.path)) for path in run.path.rglob("*")} for run in runs)
    assert {path for path in here ^ there if not path.startswith("logs/")} == set()


def test_checking_a_cluster_names_each_node_and_leaves_nothing(ray, tmp_path, capsys):
    """What a user reads before the first run there."""
    settings = Settings.load(options={"on": "ray", "cache_dir": tmp_path / "cache"})
    check_cluster(settings, Path(__file__).parent, tmp_path / "runs", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert sorted((node["cpus"], node["gpus"], node["faults"]) for node in said) == [(0, 0, []), (1, 0, []), (1, 0, [])]
    assert all(node["said"]["paths"][str(tmp_path / "runs")]["free"] > 0 for node in said)
    check_cluster(settings, None, tmp_path / "runs", as_json=False)
    told = capsys.readouterr().out
    assert all(node["node"] in told for node in said)
    assert list(tmp_path.iterdir()) == []


def test_a_job_whose_node_dies_begins_again_on_another_one(nodes, tasks, tmp_path):
    """A node that is lost costs its own tasks their time, and no more."""
    job = Asked(tasks, "wait", tmp_path / "file")
    first = job.told("waiting")
    node = job.told("placed")["id"]
    nodes.kill(node)
    second = job.told("waiting", 2)
    assert job.told("lost")["node"]
    assert job.told("placed", 2)["id"] != node
    assert until(lambda: is_gone(first["pid"])), "a process of the dead node computes on"
    assert second["pid"] != first["pid"]
    (tmp_path / "file").write_text("here")
    job.join(120)
    assert job.error is None
    assert job.events[-1]["event"] == "waited"
    nodes.add()


def test_a_task_that_no_living_node_can_take_is_not_waited_for_without_end(nodes, ray, tmp_path, monkeypatch):
    """The last node with a GPU may be gone."""
    monkeypatch.setattr(transport, "PATIENCE", 1.0)
    monkeypatch.setattr(transport, "LOOK_EVERY", 0.2)
    tasks = RayTasks(ray, 64, 0, [tmp_path])
    with pytest.raises(ClusterError) as caught:
        tasks.run("wait", File(tmp_path / "file"), tmp_path / "log.txt", lambda event: None, {})
    tasks.stop()
    tasks.close()
    assert "64 CPUs" in str(caught.value)
