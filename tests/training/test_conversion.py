"""Trunks are converted by one run while others wait; a disk that is full while they are written is told."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import numpy as np
import pytest

from matlens.errors import RunFolderError
from matlens.features.trunks import CachedTrunk, convert_trunk, trunk_folder
from matlens.models.protocol import BuildOrder
from matlens.settings import Settings
from matlens.training import conversion

NAME = "mobilenetv2_transfer"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights.h5").write_bytes(b"weights")
    return tmp_path / "weights.h5"


def test_two_runs_at_once_convert_a_trunk_once(tmp_path, weights, monkeypatch):
    """Converting ResNet50 takes half a minute and a gigabyte of memory."""
    converting, may_end = threading.Event(), threading.Event()
    converted: list[str] = []

    def child(kind: str, task: dict[str, str], *_: object) -> None:
        converted.append(task["folder"])
        converting.set()
        assert may_end.wait(20)
        Path(task["folder"]).mkdir()

    monkeypatch.setattr(conversion, "run_child", child)
    monkeypatch.setattr(CachedTrunk, "open", lambda folder: CachedTrunk(folder, "", 0, (1, 1), {})
                        if folder.exists() else None)
    monkeypatch.setattr("matlens.caches._PATIENCE", 0.05)
    settings = Settings(img_size=64, cache_dir=tmp_path / "cache")
    first = conversion.TrunkConversions(settings, {NAME: weights}, 4)
    assert converting.wait(20)
    waiting = threading.Event()
    second = conversion.TrunkConversions(settings, {NAME: weights}, 4, lambda _: waiting.set())
    assert waiting.wait(20)
    may_end.set()
    assert first.trunk(NAME) == second.trunk(NAME)
    assert len(converted) == 1


def test_a_folder_for_trunks_that_cannot_be_written_is_named(tmp_path, weights):
    """Before a process is started."""
    (tmp_path / "trunks").write_text("in the way")
    found = conversion.TrunkConversions(Settings(img_size=64, cache_dir=tmp_path), {NAME: weights}, 4)
    with pytest.raises(RunFolderError, match=rf"Cannot write the converted trunk.*{tmp_path}.*--cache-dir"):
        found.trunk(NAME)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "-"), RuntimeError("basic_ios::clear: iostream error")])
def test_a_disk_that_fills_up_while_a_trunk_is_written_is_told_and_leaves_nothing(tmp_path, weights, error):
    """A tenth of a gigabyte and more; OpenVINO's part or Keras'."""
    class Classifier:
        def export_trunk(self, folder: Path) -> None:
            (folder / "trunk.bin").write_bytes(b"half")

        def save(self, path: Path, about: dict[str, object]) -> None:
            raise error

        def features(self, photos: np.ndarray) -> np.ndarray:
            raise AssertionError("nothing to compare")

    order = BuildOrder(NAME, 4, (64, 64), weights, 1.0)
    folder = trunk_folder(tmp_path, order)
    with pytest.raises(RunFolderError, match=rf"{tmp_path}.*no space left.*--cache-dir|{tmp_path}.*No space"):
        convert_trunk(Classifier(), order, folder, {})  # type: ignore[arg-type]
    assert not list((tmp_path / "trunks").iterdir())
