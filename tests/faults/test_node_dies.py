"""A series on a cluster one of whose nodes is killed, and a run that is stopped: nothing is lost, and nothing left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kills import Left

from matlens.data.drawn.synthetic import draw_dataset
from matlens.system.registry import PLUGINS
from ray_nodes import RayNodes, ray_nodes

pytestmark = [pytest.mark.slow, pytest.mark.torch]
EPOCHS = 6


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with ray_nodes(2) as found:
        yield found


@pytest.fixture(scope="module")
def place(nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with photos and a plug-in, whose path is in the environment of all that is begun."""
    folder = tmp_path_factory.mktemp("place")
    draw_dataset(folder / "photos", photos_per_class=8, size=40, seed=1, materials=("brick", "sky", "wood"))
    shutil.copy(Path(__file__).parents[1] / "plugins" / "slow_torch.py", folder / "slow_torch.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLUGINS, str(folder / "slow_torch.py"))
        patch.delenv("OMP_NUM_THREADS", raising=False)
        yield folder


def begin(place: Path, out: str, *more: str, cores: set[int] | None = None) -> subprocess.Popen[str]:
    """Begin a run in a process of its own. cores: on which it must run."""
    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.sched_setaffinity(0, cores or os.sched_getaffinity(0))

    words = [sys.executable, "-m", "matlens", "run", place / "photos", "--models", "acme/slow", "--weights", "none",
             "--img-size", "32", "--batch-size", "8", "--epochs", EPOCHS, "--deterministic", "--device", "cpu",
             "--out", place / out, "--cache-dir", place / "cache", *more]
    return subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            preexec_fn=prepare)


def running(place: Path) -> list[int]:
    """The processes, apart from this one, in whose environment the place is."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(place / "slow_torch.py").encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def left_over(place: Path) -> list[str]:
    return [str(path.relative_to(place)) for path in place.rglob("*") if path.name.endswith((".partial", ".lock"))
            or "cluster.log" in path.name]


def test_a_series_whose_node_is_killed_ends_as_one_without_a_cluster(nodes: RayNodes, place: Path) -> None:
    """The results of a cluster are those of one machine, to the last bit, whatever becomes of its nodes."""
    with begin(place, "alone", "--seeds", "2", cores={min(os.sched_getaffinity(0))}) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    shutil.rmtree(place / "cache")

    placed, killed, lines = {}, "", []
    with begin(place, "there", "--seeds", "2", "--on", "ray") as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if match := re.search(r"(seed \d+), acme/slow: on .*, (\w{6})\)", line):
                placed[match[1]] = match[2]
            if not killed and (match := re.search(r"(seed \d+), acme/slow: epoch 1:", line)):
                killed = match[1]
                nodes.kill(placed[killed])
    said = "".join(lines)
    assert process.returncode == 0, said
    assert killed
    assert placed[killed] in nodes.nodes[0], "it went on on the other node"
    assert re.search(rf"warning: {killed}, acme/slow: .* is gone", said)
    assert f"{killed}, acme/slow: Slow: goes on with epoch" in said
    nodes.add()
    for seed in ("seed-42", "seed-43"):
        whole, found = (Left.of(place / out / seed, "acme/slow") for out in ("alone", "there"))
        assert found.differences(whole) == []
    assert {path.name for path in (place / "there").iterdir()} == {path.name for path in (place / "alone").iterdir()}
    assert left_over(place) == []
    assert running(place) == []


def test_ctrl_c_ends_what_a_run_began_on_the_cluster_and_the_same_command_goes_on(nodes: RayNodes, place: Path) -> None:
    """By Ray's client, as from a machine that is no node."""
    def stopped(out: str) -> tuple[int, str]:
        lines = []
        with begin(place, out, "--on", nodes.client) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if "epoch 1:" in line:
                    process.send_signal(signal.SIGINT)
        return process.returncode, "".join(lines)

    code, said = stopped("run")
    assert code == 130, said
    assert "Go on with" in said
    assert "Traceback" not in said
    assert running(place) == []
    with begin(place, "run", "--on", nodes.client) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    assert "goes on with epoch" in said
    assert left_over(place) == []
    assert running(place) == []
