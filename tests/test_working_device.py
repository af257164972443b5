"""Jobs compute on a device that was tried: a framework's own choice may be a card that fails at its first kernel."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builders import begin_run
from in_process import InProcess
from matlens.errors import DeviceError, KilledError
from matlens.features.trunks import TrunkOrder
from matlens.models.preflight import Preflight
from matlens.models.protocol import BuildOrder, on_working_device
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.system.transport import ChildProcess, run_job
from matlens.training.frozen import FeaturesTask, FrozenFeatures
from matlens.workers.jobs import confirm, draft, features

ORDER = BuildOrder("inception_v1", 3)


class Built(Exception):
    pass


class Room:
    """A framework whose devices answer as they are told to."""

    def __init__(self, answer: Preflight | DeviceError) -> None:
        self.answer, self.asked, self.built = answer, [], []

    def preflight(self, device: str | None) -> Preflight:
        self.asked.append(device)
        if isinstance(self.answer, DeviceError):
            raise self.answer
        return self.answer

    def build(self, order: BuildOrder) -> Any:
        self.built.append(order.device)
        raise Built


@pytest.mark.parametrize(("asked", "found", "built"), [
    (None, Preflight("cpu"), None), (None, Preflight("cuda:0"), None), ("cuda", Preflight("cuda:0"), "cuda:0"),
    ("cpu", Preflight("cpu"), "cpu"), (None, Preflight("cpu", "no kernels"), "cpu"),
    (None, Preflight("cuda:1", "cuda:0 is full"), "cuda:1")])
def test_an_order_goes_to_a_device_that_computes(asked, found, built):
    """Where all is well and none is named, the framework chooses as it always did."""
    room: Any = Room(found)
    order, seen = on_working_device(room, BuildOrder("inception_v1", 3, device=asked))
    assert (order.device, seen, room.asked) == (built, found, [asked])


@pytest.mark.parametrize("job", ["draft", "confirm"])
def test_trunks_are_converted_there(job, monkeypatch, tmp_path):
    """Else a card without kernels would cost every pretrained model."""
    from matlens.features.conversion import TrunkTask

    room = Room(Preflight("cpu", "no kernels"))
    for place in (draft, confirm):
        monkeypatch.setattr(place, "open_framework", lambda model: room)
    InProcess(monkeypatch, job)
    with pytest.raises(Built):
        run_job(job, TrunkTask(TrunkOrder(ORDER), tmp_path), tmp_path / "log")
    assert room.built == ["cpu"]


def features_task(folder: Path, device: str | None, gpu_only: bool) -> FeaturesTask:
    run = begin_run(folder / "run", Settings(models=("inception_v1",)))
    return FeaturesTask(TrunkOrder(BuildOrder("inception_v1", 2, device=device)), run.path, folder, folder / "cache",
                        gpu_only)


def asked_for_features(room: Room, task: FeaturesTask, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr(features, "open_framework", lambda model: room)
    monkeypatch.setattr(features, "open_store", lambda folder: None)
    InProcess(monkeypatch, "features")
    events: list[dict[str, Any]] = []
    run_job("features", task, task.run_dir / "log", events.append)
    return events


def test_features_are_left_to_openvino_where_the_gpu_fails(monkeypatch, tmp_path):
    """It computes them faster than the framework does on a CPU; the user hears why."""
    room = Room(Preflight("cpu", "no kernels"))
    assert asked_for_features(room, features_task(tmp_path, None, True), monkeypatch) == [
        {"event": "warning", "text": "no kernels"}]
    assert room.built == []


def test_features_are_not_computed_without_a_gpu_that_is_named(monkeypatch, tmp_path):
    """Who names a card is told that it is not there."""
    with pytest.raises(DeviceError, match="no cuda"):
        asked_for_features(Room(DeviceError("no cuda")), features_task(tmp_path, "cuda", True), monkeypatch)


def test_features_on_a_gpu_are_the_frameworks(monkeypatch, tmp_path):
    """On the card that was found."""
    room = Room(Preflight("cuda:1", "cuda:0 is full"))
    with pytest.raises(Built):
        asked_for_features(room, features_task(tmp_path, None, True), monkeypatch)
    assert room.built == ["cuda:1"]


@pytest.mark.parametrize(("device", "features_on", "nvidia", "wanted"), [
    (None, "auto", True, True), (None, "auto", False, False), ("cpu", "auto", True, False),
    ("cuda", "auto", False, True), ("cpu", "framework", False, True), ("cuda", "openvino", True, False),
    (None, "openvino", True, False)])
def test_the_framework_computes_features_where_a_gpu_is_or_is_named(monkeypatch, tmp_path, device, features_on, nvidia,
                                                                    wanted):
    """--device cpu leaves a GPU alone; a GPU that is named and not there is not passed over in silence."""
    monkeypatch.setattr("matlens.training.frozen.has_nvidia_gpu", lambda: nvidia)
    run = begin_run(tmp_path / "run", Settings(device=device, features_on=features_on))
    frozen = FrozenFeatures(run, "inception_v1", None, *[None] * 3)  # type: ignore[arg-type]
    assert frozen._wants_framework is wanted


class Frozen:
    """The features of a run on a machine with a GPU, whose child process does as it is told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, child: Any, **settings: Any) -> None:
        monkeypatch.setattr(ChildProcess, "run", lambda process, job, task, log, on_event, environment: child(on_event))
        monkeypatch.setattr("matlens.training.frozen.has_nvidia_gpu", lambda: True)
        monkeypatch.setattr(FrozenFeatures, "_cache", lambda *given: SimpleNamespace(holds=lambda *given: False))
        run = begin_run(folder / "run", Settings(models=("inception_v1",), cache_dir=folder / "cache", **settings))
        prepared: Any = SimpleNamespace(store=SimpleNamespace(folder=folder), split=run.split)
        unused: Any = None
        self.conversion: Any = SimpleNamespace(order=TrunkOrder(ORDER))
        self.features = FrozenFeatures(run, "inception_v1", None, prepared, unused, Reporter())

    def computed(self) -> bool:
        part: Any = SimpleNamespace(digests=("a",), view=0)
        return self.features._computes_in_framework(self.conversion, [part])


def test_a_features_job_that_warns_is_heard(monkeypatch, tmp_path, capsys):
    """The bar of progress must not stumble over it."""
    def child(on_event: Any) -> None:
        on_event({"event": "warning", "text": "no kernels"})
        on_event({"event": "photos", "done": 1})

    assert not Frozen(tmp_path, monkeypatch, child).computed()
    assert "inception_v1: no kernels" in capsys.readouterr().err


@pytest.mark.parametrize("error", [DeviceError("the GPU stopped working."), KilledError("it has too little memory.")])
def test_a_card_that_fails_at_features_leaves_them_to_openvino(monkeypatch, tmp_path, capsys, error):
    """They come out the same there; a card that was named is not replaced."""
    def child(on_event: Any) -> None:
        raise error

    assert not Frozen(tmp_path, monkeypatch, child).computed()
    assert f"{error} OpenVINO" in " ".join(capsys.readouterr().err.split())
    for options in ({"device": "cuda"}, {"features_on": "framework"}):
        with pytest.raises(type(error)):
            Frozen(tmp_path / str(options), monkeypatch, child, **options).computed()
