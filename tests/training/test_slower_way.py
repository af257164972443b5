"""A parent process whose trunk differs goes on without it, and names a device that ended its child."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builders import begin_run, split_of
from matlens.errors import ConversionError, CrashedError, DeviceError, KilledError, ModelError, WorkerError
from matlens.models.weights import FoundWeights
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.training import train as module
from matlens.training.frozen import FrozenFeatures
from matlens.training.stages.tail_on_photos import TailOnPhotos
from matlens.training.stages.whole_network import WholeNetwork
from matlens.training.tasks import TrainTask
from matlens.training.train import TrainingInputs, train

NAME = "mobilenetv2_transfer"
DIFFERS = ConversionError("The converted trunk of it differs from its framework by 0.002 of the largest feature.")


class Parent:
    """A run whose child processes only note what they were asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.tasks: list[TrainTask] = []
        self.failure: Exception | None = None
        self.said = ""
        settings = Settings.load(options={"models": NAME, "cache_dir": folder / "cache", **options})
        self.run = begin_run(folder / "run", settings)
        self.log = self.run.paths.log_file(NAME)
        prepared: Any = SimpleNamespace(split=split_of(), store=SimpleNamespace(folder=folder))
        conversions: Any = None
        self.inputs = TrainingInputs(self.run, prepared, {NAME: FoundWeights(folder / "weights.h5")}, conversions)
        monkeypatch.setattr(module, "run_job", self._run_job)

    def _run_job(self, job: str, task: TrainTask, log_file: Path, hear: Any) -> None:
        self.tasks.append(task)
        with log_file.open("a", encoding="utf-8") as log:
            log.write(self.said)
        if self.failure is not None:
            raise self.failure

    def train(self) -> TrainTask:
        train(self.inputs, NAME, Reporter(quiet=True))
        return self.tasks[-1]


def fails(monkeypatch: pytest.MonkeyPatch, method: str, error: Exception) -> None:
    def fail(*given: Any) -> None:
        raise error

    monkeypatch.setattr(FrozenFeatures, method, fail)


@pytest.mark.parametrize(("options", "method", "stages"), [
    ({}, "pooled", (WholeNetwork(4),)),
    ({"finetune_epochs": 2, "cut": "block_9_add"}, "activations", (
        WholeNetwork(4), TailOnPhotos(2, cut="block_9_add", is_second=True))),
    ({"recipe": "strong"}, "activations", (
        WholeNetwork(2), TailOnPhotos(125, "strong", cut="block_12_add", is_second=True)))])
def test_a_trunk_that_differs_costs_time_and_not_the_run(tmp_path, monkeypatch, capsys, options, method, stages):
    """It trains as with --no-feature-cache, which the user had to give by hand."""
    parent = Parent(tmp_path, monkeypatch, **options)
    fails(monkeypatch, method, DIFFERS)
    task = parent.train()
    assert [type(stage) for stage in task.stages] == [type(stage) for stage in stages]
    assert [getattr(stage, "cut", None) for stage in task.stages] == [getattr(stage, "cut", None) for stage in stages]
    assert not any(stage.is_on_features for stage in task.stages)
    remark, = [remark for remark in task.remarks if "0.002" in remark]
    assert "without cached features" in remark
    assert "trained without augmentation" not in task.remarks
    said = " ".join(capsys.readouterr().err.split())
    assert f"{NAME}: The converted trunk" in said and "slower way" in said


def test_what_is_said_of_the_features_reaches_the_record(tmp_path, monkeypatch):
    """It becomes known only while they are computed."""
    def fail(self: FrozenFeatures, *given: Any) -> None:
        self.remarks.append("features: the CPU is used instead")
        raise DIFFERS

    parent = Parent(tmp_path, monkeypatch)
    monkeypatch.setattr(FrozenFeatures, "pooled", fail)
    assert "features: the CPU is used instead" in parent.train().remarks


def test_another_error_of_a_model_still_ends_it(tmp_path, monkeypatch):
    """A layer that is no cut is the user's to mend."""
    parent = Parent(tmp_path, monkeypatch)
    fails(monkeypatch, "pooled", ModelError("no such layer"))
    with pytest.raises(ModelError, match="no such layer"):
        parent.train()
    assert parent.tasks == []


@pytest.mark.parametrize("device", [None, "cpu", "cuda:1"])
def test_the_child_is_told_the_device(tmp_path, monkeypatch, device):
    """It cannot read it from run.json, which decides nothing of a machine."""
    parent = Parent(tmp_path, monkeypatch, feature_cache=False, device=device)
    assert parent.train().device == device


def test_a_process_that_a_driver_ended_is_explained_by_its_log(tmp_path, monkeypatch):
    """TensorFlow ends the process itself; "signal SIGABRT" tells nobody what to do."""
    parent = Parent(tmp_path, monkeypatch, feature_cache=False)
    parent.said = "F0000 gpu_event: CUDA_ERROR_ILLEGAL_ADDRESS\n"
    parent.failure = CrashedError("the process ended with signal SIGABRT (log: x)")
    with pytest.raises(DeviceError, match=r"stopped working.*--device cpu.*SIGABRT"):
        parent.train()
    parent.said = "Segmentation fault\n"  # of a later start: what the log held before is not blamed
    with pytest.raises(WorkerError, match="SIGABRT"):
        parent.train()
    parent.said = "failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\nFatal error\n"
    with pytest.raises(WorkerError, match="SIGABRT"):  # TensorFlow says that at each start on a machine without a GPU
        parent.train()
    parent.said += "CUDA_ERROR_ILLEGAL_ADDRESS\n"
    with pytest.raises(DeviceError, match="stopped working"):
        parent.train()
    parent.failure = WorkerError("ValueError: a layer of your own")  # an error that has a name is not one of the card
    with pytest.raises(WorkerError, match="a layer of your own"):
        parent.train()
    parent.failure = KilledError("its process was killed")
    parent.said = "CUDA_ERROR_ILLEGAL_ADDRESS"
    with pytest.raises(KilledError, match="--batch-size auto"):
        parent.train()
