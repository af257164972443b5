"""A few of the interruptions that `make faults` does by the hundred."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from kill_jobs import Stage
from kills import EPOCHS, Harness, Left, children_of, kill_and_compare, uninterrupted

from matlens.system.registry import PLUGINS

pytestmark = pytest.mark.slow
SIGNALS = {"acme/small": signal.SIGINT, "inception_v1": signal.SIGTERM}
"""By model: one of each framework, that of Keras as small as can be, since each process traces it anew."""


@pytest.mark.parametrize("model", SIGNALS)
def test_a_run_that_is_stopped_and_then_killed_ends_as_an_uninterrupted_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """No epoch is lost: as soon as one is told of, its state is on the disk."""
    monkeypatch.setenv(PLUGINS, str(Path(__file__).parents[1] / "plugins" / "small_keras.py"))
    made, out = Harness(tmp_path), tmp_path / "run"
    made.finish(model, tmp_path / "whole")
    stop_in_order(made, model, out)
    with made.start(model, out) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "epoch 3:" in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    said = made.finish(model, out)
    # Another epoch may have ended between the line and the kill, an earlier one cannot be gone on with.
    resumed = json.loads((out / "run.json").read_text())["resumed_at_epoch"][model]
    assert resumed in (4, 5)
    assert f"goes on with epoch {resumed}" in said
    assert [number for number in range(1, EPOCHS + 1) if f"epoch {number}:" in said] == list(range(resumed, EPOCHS + 1))
    assert Left.of(out, model).differences(Left.of(tmp_path / "whole", model)) == []


def stop_in_order(made: Harness, model: str, out: Path) -> None:
    """A signal after the first epoch: children gone, one line that says how to go on, the code that shells know."""
    number = SIGNALS[model]
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


@pytest.mark.parametrize("name", ["audit", "fetch"])
def test_other_jobs_that_were_killed_end_as_uninterrupted_ones(tmp_path: Path, name: str) -> None:
    """Two that need no framework; `make faults` kills the others too."""
    stage = Stage(tmp_path)
    job = stage.jobs()[name]()
    whole, seconds = uninterrupted(stage, job)
    kill_and_compare(stage, job, whole, seconds, np.random.default_rng(7))
