"""What can be seen of a cluster without one: why there is none, what tasks need, and how units are done at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from matlens.errors import ClusterError, ModelError, SettingsError
from matlens.jobs.cluster.units import Outcome, Unit, do_units
from matlens.settings.schema import Settings
from matlens.system.cluster.connection import connected
from matlens.system.cluster.cores import IS_BOUND, bound_to_cores
from matlens.system.cluster.nodes import Node, needs_of
from matlens.system.console import Reporter
from matlens.workers.telling import TellingReporter, packed, show, unpacked
from processes import Cli, without

WITH_RAY = pytest.mark.skipif("not __import__('importlib').util.find_spec('ray')",
                              reason="Ray is not installed: pip install 'matlens[ray]'")


@pytest.fixture
def no_port() -> int:
    """A port of this machine that nobody serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@WITH_RAY
@pytest.mark.parametrize("place", ["ray", "ray://127.0.0.1:{port}"])
def test_no_cluster_at_the_address_is_said_by_its_name(monkeypatch, no_port, place):
    """Ray's own client waits for minutes, and then ends the process."""
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{no_port}")
    with pytest.raises(ClusterError) as caught, connected(place.format(port=no_port)):
        pass
    assert f"127.0.0.1:{no_port}" in str(caught.value)
    assert "ray start --head" in str(caught.value)


@WITH_RAY
def test_a_machine_of_no_cluster_is_told_how_to_begin_one(monkeypatch, tmp_path):
    """`--on ray` alone names no address."""
    ray = pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def init(**options: Any) -> None:
        assert options["address"] == "auto"
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ClusterError) as caught, connected("ray"):
        pass
    assert "ray start --head" in str(caught.value)


@WITH_RAY
def test_another_version_there_is_told_from_no_cluster(monkeypatch, no_port):
    """Ray refuses a driver of another Python; that is mended by installing, not by starting a cluster."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "auto")

    def init(**_: Any) -> None:
        from ray._private.utils import check_version_info

        check_version_info({"ray_version": ray.__version__, "python_version": "3.8.1"}, "this process")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ClusterError) as caught, connected("ray"):
        pass
    assert "3.8.1" in str(caught.value)
    assert "pip install 'matlens[ray]'" in str(caught.value)


@pytest.mark.parametrize("words", [("run", "PHOTOS", "--on", "ray"), ("cluster", "check")])
def test_where_ray_is_not_installed_the_extra_is_named(cli: Cli, tmp_path: Path, monkeypatch, words):
    """Nothing else of the command is done."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_bytes(b"")
    for name, value in without("ray").items():
        monkeypatch.setenv(name, value)
    done = cli(*(tmp_path / "photos" if word == "PHOTOS" else word for word in words), "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "matlens[ray]" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "said"), [
    ({"on": "rays"}, "ray://HOST"), ({"on": "ray://head port"}, "ray://HOST"), ({"on": "ray://a@b:1"}, "ray://HOST"),
    ({"task_cpus": 2}, "--on"), ({"on": "ray", "device": "cuda:1"}, "--device cuda"), ({"on": "ray", "task_cpus": 0},
                                                                                     "task_cpus")])
def test_settings_that_cannot_be_are_refused_with_their_option(options, said):
    """Before anything is connected."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(options=options)
    assert said in str(caught.value)


@pytest.mark.parametrize("place", ["ray", "ray://head", "ray://10.0.0.1:10001", "ray://[::1]:10001"])
def test_addresses_are_taken(place):
    assert Settings.load(options={"on": place}).on == place


SMALL, LARGE, HEAD, CARDS = Node("a", "a", 4, 0), Node("b", "b", 16, 0), Node("h", "h", 0, 0), Node("g", "g", 32, 4)


@pytest.mark.parametrize(("nodes", "cpus", "device", "needs"), [
    ([HEAD, SMALL, LARGE], None, None, (4, 0)), ([SMALL, LARGE], 8, None, (8, 0)), ([SMALL, CARDS], None, None, (8, 1)),
    ([SMALL, CARDS], None, "cpu", (4, 0)), ([SMALL, CARDS], 2, "cuda", (2, 1))])
def test_what_a_task_takes_of_a_node(nodes, cpus, device, needs):
    """As much as the smallest fitting node has, so that all models are trained in the same way; a GPU each."""
    assert needs_of(nodes, cpus, wants_gpu=device == "cuda", may_take_gpu=device is None) == needs


@pytest.mark.parametrize(("nodes", "cpus", "wants_gpu", "said"), [
    ([HEAD], None, False, "h with 0 CPUs"), ([SMALL], 8, False, "8 CPUs"), ([SMALL], None, True, "GPU"),
    ([], None, False, "no node")])
def test_a_cluster_without_what_a_task_takes_is_refused(nodes, cpus, wants_gpu, said):
    """Else the command would wait without end."""
    with pytest.raises(ClusterError) as caught:
        needs_of(nodes, cpus, wants_gpu=wants_gpu, may_take_gpu=False)
    assert said in str(caught.value)


@pytest.mark.skipif(not IS_BOUND or len(os.sched_getaffinity(0)) < 2, reason="takes two cores, and Linux")
def test_tasks_are_bound_to_different_cores_and_let_go_of_them():
    """Two trainings on one core take twice as long; a core that is not given back is lost for good."""
    every = os.sched_getaffinity(0)
    with bound_to_cores(1):
        first = os.sched_getaffinity(0)
        done = subprocess.run([sys.executable, "-c", (
            f"import os\nos.sched_setaffinity(0, {sorted(every)})\n"
            "from matlens.system.cluster.cores import bound_to_cores\n"
            "with bound_to_cores(1):\n    print(*os.sched_getaffinity(0))")], stdout=subprocess.PIPE, text=True,
            check=True)
    assert len(first) == 1
    assert {int(core) for core in done.stdout.split()}.isdisjoint(first)
    assert os.sched_getaffinity(0) == every
    with bound_to_cores(1):
        assert os.sched_getaffinity(0) == first


def test_settings_go_to_a_node_and_come_back():
    """A setting that is lost on the way is another training."""
    settings = Settings.load(options={"seed": 7, "models": "inception_v1", "weights_dir": "/w", "cache_dir": "/c",
                                      "data_dir": "/d", "device": "cpu", "cache_limit": 3.5})
    assert unpacked(packed(settings)) == settings


class Doer:
    """Does units here. `fails`: the jobs that end with an error; `waits`: those that last until they are stopped."""

    def __init__(self, fails: tuple[str, ...] = (), waits: tuple[str, ...] = ()) -> None:
        self.fails, self.waits = fails, waits
        self.done: list[str] = []
        self.stopped = threading.Event()

    def run(self, job: str, task: object, log_file: Path, on_event: Any, environment: Mapping[str, str]) -> None:
        reporter = TellingReporter(lambda event, **content: on_event({"event": event, **content}))
        reporter.say(f"doing {job}")
        with reporter.progress("steps", 4) as advance:
            advance(1, "loss 0.5")
        if job in self.waits:
            assert self.stopped.wait(60)
            raise ModelError("stopped")
        if job in self.fails:
            raise ModelError(f"{job} cannot be")
        self.done.append(job)
        on_event({"event": "made", "what": job})

    def stop(self) -> None:
        self.stopped.set()


def test_units_follow_from_units_and_a_failure_ends_itself_alone(tmp_path, capsys):
    """Two models of a run: one fails, the other is judged, and the run is concluded with what there is."""
    doer, failed = Doer(fails=("first",)), []

    def then(outcome: Outcome) -> list[Unit]:
        if outcome.error is not None:
            failed.append(str(outcome.error))
        else:
            assert outcome.event("made")["what"] == "second"
        return [Unit("", "last", None, tmp_path)] if failed and "second" in doer.done else []

    def begun(outcome: Outcome) -> list[Unit]:
        assert doer.done == ["begin"]
        return [Unit(f"seed 1, {name}", name, None, tmp_path, counts=True, then=then) for name in ("first", "second")]

    do_units([Unit("", "begin", None, tmp_path, then=begun)], doer, Reporter(), "models", 2)
    assert failed == ["first cannot be"]
    assert {"begin", "second"} <= set(doer.done)
    assert "seed 1, second: doing second" in capsys.readouterr().out.splitlines()
    assert not doer.stopped.is_set()


def test_what_stops_the_command_stops_its_units(tmp_path):
    """Ctrl-C, or an error in the main thread: units that wait do not keep the command."""
    doer = Doer(waits=("long",))

    def refuse(outcome: Outcome) -> list[Unit]:
        raise ModelError("it cannot begin")

    with pytest.raises(ModelError, match="it cannot begin"):
        do_units([Unit("", "long", None, tmp_path), Unit("", "short", None, tmp_path, then=refuse)], doer,
                 Reporter(quiet=True), "models", 2)
    assert doer.stopped.is_set()

    class Interrupt(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupt

    doer, before = Doer(waits=("long",)), signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Interrupt):
            do_units([Unit("", "long", None, tmp_path)], doer, Reporter(quiet=True), "models", 1)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert doer.stopped.is_set()


@pytest.mark.parametrize(("text", "line"), [
    ("  epoch 1: loss 2", "  seed 3, acme/tiny: epoch 1: loss 2"), ("acme/tiny: no GPU", "seed 3: acme/tiny: no GPU"),
    ("", "")])
def test_lines_of_units_say_whose_they_are(capsys, text, line):
    """Those of several trainings stand among each other."""
    show({"event": "said", "text": text, "style": ""}, Reporter(), "seed 3, acme/tiny")
    assert capsys.readouterr().out == f"{line}\n"
