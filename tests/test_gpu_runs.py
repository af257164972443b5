"""Whole runs on a real GPU, as a user starts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matlens.runs.paths import RunPaths
from processes import GPU_TESTS_ON, Cli

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

SMALL = ("--img-size", "64", "--epochs", "1", "--batch-size", "8", "--weights", "none")


@pytest.mark.parametrize("recipe", ["guide", "strong"])
def test_every_model_is_trained_on_the_gpu_and_kept(drawn: Path, cli: Cli, tmp_path: Path, recipe: str) -> None:
    """Two of three trainings were lost on a card."""
    models = ("inception_v1", "vgg19_scratch", "mobilenetv2_transfer")
    done = cli("run", "--data", drawn, "--out", tmp_path / "run", "--models", ",".join(models), "--recipe", recipe,
               *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    paths = RunPaths(tmp_path / "run")
    for model in models:
        record = json.loads(paths.training_file(model).read_text("utf-8"))
        assert record["device"].startswith(GPU_TESTS_ON)
        assert record["parity"] <= 1e-4
        assert record.get("predicted_by", "artifact") == "artifact"
        assert paths.results_file(model).exists()


def test_the_cpu_that_is_named_is_used(drawn: Path, cli: Cli, tmp_path: Path) -> None:
    """`--device cpu` is the way out that messages about cards name."""
    done = cli("run", "--data", drawn, "--out", tmp_path / "run", "--models", "inception_v1", "--device", "cpu", *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads(RunPaths(tmp_path / "run").training_file("inception_v1").read_text("utf-8"))
    assert record["device"] == "cpu"


def test_a_hidden_card_that_is_asked_for_is_named(drawn: Path, cli: Cli, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that hides it is what a user must know."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = cli("run", "--data", drawn, "--out", tmp_path / "run", "--models", "inception_v1", "--device", "cuda",
               *SMALL)
    said = " ".join(done.stderr.split())
    assert done.returncode not in (0, -9)
    assert "CUDA_VISIBLE_DEVICES" in said
    assert "Traceback" not in said
