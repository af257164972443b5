"""A training's process that the system kills for want of memory, as it does on a CPU."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from kills import EPOCHS, Harness, children_of

from matlens.models.registry import file_stem
from matlens.system.registry import PLUGINS

pytestmark = pytest.mark.slow
MODEL = "inception_v1"


@pytest.fixture(scope="module")
def harness(tmp_path_factory) -> Harness:
    return Harness(tmp_path_factory.mktemp("memory"))


def child_killed(harness: Harness, out: Path, models: str, *more: str) -> tuple[int, str]:
    """(exit code, what it said) of a run whose first training process is killed after its first epoch."""
    with harness.start(models, out, *more) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "epoch 1:" in line:
                os.kill(children_of(process.pid)[0], signal.SIGKILL)
                break
        said += process.communicate()[0]
    return process.returncode, said


def test_the_others_go_on_and_what_is_missing_is_named(harness: Harness, monkeypatch) -> None:
    """Hours of the other models must not be lost, and nobody must take the rest for the whole."""
    out, killed, other = harness.folder / "two", MODEL, "acme/tiny"
    monkeypatch.setenv(PLUGINS, str(Path(__file__).parents[1] / "plugins" / "tiny_torch.py"))
    code, said = child_killed(harness, out, f"{killed},{other}")
    assert code == 1
    assert f"{killed} failed: its process was killed" in said
    assert "--batch-size auto" in said
    assert not (out / "reports" / f"{killed}_results.json").exists()
    assert (out / "reports" / f"{file_stem(other)}_results.json").exists()
    for page in (out / "reports" / "model_comparison.md", out / "report.html"):
        assert killed in page.read_text(), page
    again = harness.finish(f"{killed},{other}", out)
    assert "goes on with epoch" in again
    assert "already trained" in again
    assert "Not in this table" not in (out / "reports" / "model_comparison.md").read_text()


def test_auto_goes_on_in_parts(harness: Harness) -> None:
    """The whole batch was too much for the machine; half of it at once is the next thing to try, by itself."""
    out = harness.folder / "auto"
    code, said = child_killed(harness, out, MODEL, "--batch-size", "auto")
    assert code == 0, said
    assert "it goes on, 32 photos at once" in said
    assert "goes on with epoch" in said
    results = json.loads((out / "reports" / f"{MODEL}_results.json").read_text())
    assert (results["batch_size"], results["micro_batch"], results["epochs"]) == (64, 32, EPOCHS)
    assert any("memory was short" in remark for remark in results["remarks"])
