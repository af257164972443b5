"""A few kills of the hundreds that `make faults` does, and that a kill after epoch 2 costs no epoch."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from kill_jobs import Stage
from kills import MODELS, Harness, Left, children_of, kill_and_compare, uninterrupted

pytestmark = pytest.mark.slow
SIGNALS = dict(zip(MODELS, (signal.SIGINT, signal.SIGTERM), strict=True))


@pytest.fixture(scope="module", params=MODELS)
def harness(request, tmp_path_factory) -> tuple[Harness, str]:
    made = Harness(tmp_path_factory.mktemp("faults"))
    made.prepare(request.param)
    return made, request.param


def test_a_kill_after_epoch_2_goes_on_with_epoch_3(harness: tuple[Harness, str]) -> None:
    """As soon as an epoch is told of, its state is on the disk."""
    made, model = harness
    out = made.folder / "epoch-2"
    with made.start(model, out) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "epoch 2:" in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    said = made.finish(model, out)
    # Another epoch may have ended between the line and the kill, an earlier one cannot be gone on with.
    resumed = json.loads((out / "run.json").read_text())["resumed_at_epoch"][model]
    assert resumed in (3, 4)
    assert f"goes on with epoch {resumed}" in said
    assert [number for number in range(1, 5) if f"epoch {number}:" in said] == list(range(resumed, 5))
    assert Left.of(out, model).differences(made.whole[model]) == []


def test_a_killed_run_ends_as_an_uninterrupted_one(harness: tuple[Harness, str]) -> None:
    """At any moment, in either process."""
    made, model = harness
    made.kill_and_go_on(model, np.random.default_rng(1))


def test_a_signal_ends_a_run_in_an_orderly_way(harness: tuple[Harness, str]) -> None:
    """Children gone, one line that says how to go on, the exit code that shells know; and it does go on."""
    made, model = harness
    number = SIGNALS[model]
    out = made.folder / f"signal-{number}"
    with made.start(model, out) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "epoch 1:" in line:
                break
        children = children_of(process.pid)
        os.kill(process.pid, number)
        rest = process.communicate(timeout=600)[0]
    assert process.returncode == 128 + number
    line, = (line for line in rest.splitlines() if "Go on with" in line)
    assert str(out) in line
    assert "Traceback" not in rest
    assert children
    assert not [child for child in children if Path(f"/proc/{child}").exists()
                and "\nState:\tZ" not in Path(f"/proc/{child}/status").read_text()]
    assert "goes on with epoch" in made.finish(model, out)
    assert Left.of(out, model).differences(made.whole[model]) == []


@pytest.mark.parametrize("name", ["audit", "fetch", "copies"])
def test_other_jobs_that_were_killed_end_as_uninterrupted_ones(tmp_path: Path, name: str) -> None:
    """Those that need no framework; `make faults` kills the others too."""
    stage = Stage(tmp_path)
    job = stage.jobs()[name]()
    whole, seconds = uninterrupted(stage, job)
    kill_and_compare(stage, job, whole, seconds, np.random.default_rng(7))
