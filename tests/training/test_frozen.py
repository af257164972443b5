"""Features of a frozen trunk: where the engine finds the trunk, and who computes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matlens.errors import DeviceError, ModelError
from matlens.system.console import Reporter
from matlens.training import frozen
from matlens.training.frozen import FrozenFeatures


class Conversion:
    """One whose draft is removed, since it was confirmed meanwhile."""

    order = SimpleNamespace(key="key", until=None)

    def __init__(self, folder: Path, error: ModelError | None = None) -> None:
        self._folder, self._error = folder, error
        self.network = folder / "drafts" / "key"

    def confirmed(self) -> Any:
        if self._error:
            raise self._error
        trunk = self._folder / "trunks" / "key"
        trunk.mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(folder=trunk)


@pytest.fixture
def engine_of(tmp_path, monkeypatch):
    def opened(file: Path, img_size: tuple[int, int], *, pooled: bool, precision: str,
               ) -> tuple[Path, tuple[int, int], bool]:
        assert precision == "float32"
        if not file.parent.exists():
            raise ModelError(f"OpenVINO cannot open {file}")
        return file, img_size, pooled

    monkeypatch.setattr(frozen, "PhotoEngine", opened)
    run: Any = SimpleNamespace(settings=SimpleNamespace(cache_dir=tmp_path, img_size=(64, 48)))
    prepared: Any = SimpleNamespace(store=None)
    conversions: Any = None
    features = FrozenFeatures(run, "m", None, prepared, conversions, Reporter(quiet=True))
    return lambda conversion, pooled: features._cache(conversion).engine_for(pooled)


def test_a_draft_that_is_confirmed_before_it_is_read_does_not_stop_the_run(tmp_path, engine_of):
    """It is removed then, and the trunk lies elsewhere; decoding photos may take as long as confirming."""
    trunk = tmp_path / "trunks" / "key" / "trunk.xml"
    assert engine_of(Conversion(tmp_path), True) == (trunk, (64, 48), True)
    assert engine_of(Conversion(tmp_path), False) == (trunk, (64, 48), False)


def test_a_trunk_that_differs_is_told_instead(tmp_path, engine_of):
    """Not that its draft is gone."""
    with pytest.raises(ModelError, match="differs"):
        engine_of(Conversion(tmp_path, ModelError("it differs")), True)


@pytest.mark.parametrize(("features_on", "device", "has_gpu", "wanted"), [
    ("auto", None, True, True), ("auto", None, False, False), ("auto", "cpu", True, False),
    ("auto", "cuda:1", True, True), ("auto", "mps", False, True), ("openvino", "cuda", True, False),
    ("framework", "cpu", False, True)])
def test_who_computes_features_follows_the_device_that_is_asked_for(monkeypatch, features_on, device, has_gpu, wanted):
    """`--device cpu` on a machine with a card must not touch the card, and a named card is used."""
    monkeypatch.setattr(frozen, "has_nvidia_gpu", lambda: has_gpu)
    run: Any = SimpleNamespace(settings=SimpleNamespace(features_on=features_on, device=device))
    nothing: Any = None
    assert FrozenFeatures(run, "m", None, nothing, nothing, Reporter(quiet=True))._wants_framework is wanted


def test_a_card_that_computes_no_features_is_told_and_stands_in_the_results(tmp_path, monkeypatch, capsys):
    """The run takes the CPU for the one thing that is costly there; whoever reads its times must know."""
    def run_job(job: str, task: Any, log_file: Path, hear: Any) -> None:
        for _ in range(2):  # of features, and of activations
            hear({"event": "warning", "text": "cuda:0 has no kernels. The CPU is used instead."})
        raise DeviceError("cuda:1 stopped working.")

    monkeypatch.setattr(frozen, "run_job", run_job)
    monkeypatch.setattr(frozen, "has_nvidia_gpu", lambda: True)
    settings = SimpleNamespace(features_on="auto", device=None, cache_dir=tmp_path)
    run: Any = SimpleNamespace(settings=settings, path=tmp_path, paths=SimpleNamespace(log_file=lambda name: tmp_path))
    prepared: Any = SimpleNamespace(store=SimpleNamespace(folder=tmp_path))
    conversion: Any = Conversion(tmp_path)
    features = FrozenFeatures(run, "mobilenetv2_transfer", None, prepared, conversion, Reporter(quiet=True))
    assert not features._computes_in_framework(conversion, [])
    assert ["cuda:0 has no kernels" in remark or "cuda:1 stopped working. OpenVINO" in remark
            for remark in features.remarks] == [True, True]
    assert "cuda:1 stopped working" in " ".join(capsys.readouterr().err.split())
