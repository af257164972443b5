"""Trunks are converted by one run while others wait; a draft is used at once, and an unconfirmed one is removed."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlens.errors import CacheError, ModelError, WorkerError
from matlens.features.cache import FeatureCache
from matlens.features.conversion import Conversion, TrunkConversions, TrunkTask
from matlens.features.trunks import CachedTrunk, TrunkOrder, confirm_trunk, draft_trunk
from matlens.models.protocol import BuildOrder
from matlens.system.transport import ChildProcess

NAME = "mobilenetv2_transfer"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights.h5").write_bytes(b"weights")
    return tmp_path / "weights.h5"


@pytest.fixture
def order(weights: Path) -> TrunkOrder:
    return TrunkOrder(BuildOrder(NAME, 4, (64, 64), weights))


class Children:
    """In place of the processes that draft and confirm: they leave empty files. What each job does first is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **first: Any) -> None:
        self.first, self.jobs, self.environments = first, [], []
        monkeypatch.setattr(ChildProcess, "run", staticmethod(self.run))
        monkeypatch.setattr(CachedTrunk, "open", lambda folder: CachedTrunk(folder, "", 0, (1, 1), {}, folder)
                            if folder.exists() else None)

    def run(self, job: str, task: TrunkTask, log: Path, on_event: Any, environment: dict[str, str]) -> None:
        self.jobs.append(job)
        self.environments.append(dict(environment))
        on_event({"event": "warning", "text": f"{job} is slow"})
        self.first.get(job, lambda: None)()
        folder = task.order.draft(task.cache_dir) if job == "draft" else task.order.folder(task.cache_dir)
        folder.mkdir(parents=True)
        for name in ("trunk.xml", "trunk.bin"):
            (folder / name).touch()


def waits_for(event: threading.Event) -> Any:
    def wait() -> None:
        assert event.wait(20)

    return wait


def raises(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return fail


def test_two_runs_at_once_convert_a_trunk_once(tmp_path, order, monkeypatch):
    """Converting ResNet50 takes half a minute and a gigabyte of memory."""
    may_end = threading.Event()
    children = Children(monkeypatch, confirm=waits_for(may_end))
    monkeypatch.setattr("matlens.system.ownership.locks.PATIENCE", 0.05)
    first = TrunkConversions([order], tmp_path / "cache").of(NAME, None)
    assert first.network == first.order.draft(tmp_path / "cache")
    waiting = threading.Event()
    second = TrunkConversions([order], tmp_path / "cache", lambda _: waiting.set()).of(NAME, None)
    assert waiting.wait(20)
    may_end.set()
    assert first.confirmed() == second.confirmed()
    assert first.network == second.network == first.order.folder(tmp_path / "cache")
    assert children.jobs == ["draft", "confirm"]


def test_features_can_be_computed_from_the_draft_while_it_is_compared(tmp_path, order, monkeypatch):
    """Comparing takes TensorFlow's start and more; a draft by Keras' OpenVINO backend is there in seconds."""
    may_end = threading.Event()
    children = Children(monkeypatch, confirm=waits_for(may_end))
    one = Conversion(order, tmp_path)
    thread = threading.Thread(target=one.do)
    thread.start()
    assert one.network == order.draft(tmp_path)
    assert children.environments[0] == {"KERAS_BACKEND": "openvino"}
    may_end.set()
    assert one.confirmed().folder == order.folder(tmp_path)
    thread.join()
    assert children.environments == [{"KERAS_BACKEND": "openvino"}, {}], "the framework itself is who confirms"


def test_where_the_draft_fails_the_framework_drafts_itself(tmp_path, order, monkeypatch):
    """Another Keras may have an OpenVINO backend that is not up to it: seconds are lost, not the run."""
    children = Children(monkeypatch, draft=raises(WorkerError("no such operation")))
    one = Conversion(order, tmp_path)
    one.do()
    assert one.network == one.confirmed().folder == order.folder(tmp_path)
    assert children.jobs == ["draft", "confirm"]


def test_pytorch_drafts_only_once(tmp_path, weights, monkeypatch):
    """It has no other backend, so what fails once fails twice."""
    children = Children(monkeypatch, draft=raises(ModelError("no such layer")))
    one = Conversion(TrunkOrder(BuildOrder("inception_v1", 4, (64, 64), weights), "inception9z"), tmp_path)
    one.do()
    for ask in (lambda: one.network, one.confirmed):
        with pytest.raises(ModelError, match="no such layer"):
            ask()
    assert children.jobs == ["draft"]


class Store:
    """Photos of nothing."""

    rows, decoding, pixels = {"a": 0, "b": 1}, "1", np.zeros((2, 8, 8, 3), np.uint8)

    def read(self, rows: list[int]) -> np.ndarray:
        return self.pixels[rows]


class Engine:
    """Computes at once, while the trunk is still compared."""

    shape = (1, 1, 3)

    def run(self, photos, n, keep, on_progress):
        for index in range(n):
            keep(index, np.zeros(self.shape, np.float32))


def test_nothing_is_kept_where_the_trunk_turns_out_to_differ(tmp_path, order, monkeypatch):
    """Neither it nor the features that were computed with it meanwhile."""
    Children(monkeypatch, confirm=raises(ModelError("differs from its framework")))
    one = Conversion(order, tmp_path)
    one.do()
    cache = FeatureCache(tmp_path, order.key, NAME, Store(),  # type: ignore[arg-type]
                         lambda pooled: Engine(), confirm=one.confirmed)
    for ask in (one.confirmed, lambda: one.network, lambda: cache.features(["aa" * 32, "bb" * 32]),
                lambda: cache.activations(["aa" * 32, "bb" * 32])):
        with pytest.raises(ModelError, match="differs from its framework"):
            ask()
    for kind in ("trunks", "features", "activations"):
        assert [path for path in (tmp_path / kind).glob("*-*") if path.is_dir()] == []


def test_a_defect_while_converting_reaches_who_waits(tmp_path, order, monkeypatch):
    """A thread that died without a word would leave the run waiting for ever."""
    Children(monkeypatch, confirm=raises(KeyError("a defect")))
    one = Conversion(order, tmp_path)
    one.do()
    with pytest.raises(WorkerError, match=r"KeyError.*a defect"):
        one.confirmed()


def test_a_folder_for_trunks_that_cannot_be_written_is_named(tmp_path, order):
    """Before a process is started."""
    (tmp_path / "trunks").write_text("in the way")
    with pytest.raises(CacheError, match=rf"{tmp_path}.*--cache-dir"):
        TrunkConversions([order], tmp_path).of(NAME, None).confirmed()


def test_a_slow_layout_is_told_with_the_models_name(tmp_path, order, monkeypatch):
    """Else a network that takes ten times as long as it could stays so in silence."""
    Children(monkeypatch)
    warnings: list[str] = []
    TrunkConversions([order], tmp_path, warn=warnings.append).of(NAME, None).confirmed()
    assert warnings == [f"{NAME}: draft is slow", f"{NAME}: confirm is slow"]


class Classifier:
    """Writes half of a trunk, or half of what belongs to it."""

    last_conv_layer_name, parameters = "last", (1, 1)

    def __init__(self, error: Exception, while_drafting: bool) -> None:
        self.error, self.while_drafting = error, while_drafting

    def export_trunk(self, folder: Path, until: str | None = None) -> None:
        (folder / "trunk.bin").write_bytes(b"half")
        if self.while_drafting:
            raise self.error
        (folder / "trunk.xml").write_bytes(b"whole")

    def features(self, photos: np.ndarray, until: str | None = None) -> np.ndarray:
        return np.ones((len(photos), 2, 2, 3), np.float32)

    def save(self, path: Path, about: dict[str, object]) -> None:
        path.write_bytes(b"half")
        raise self.error


@pytest.mark.parametrize("while_drafting", [True, False])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "-"), RuntimeError("basic_ios::clear: iostream error")])
def test_a_disk_that_fills_up_while_a_trunk_is_written_is_told_and_leaves_nothing(tmp_path, order, monkeypatch, error,
                                                                                 while_drafting):
    """A tenth of a gigabyte and more; OpenVINO's part or Keras'."""
    classifier: Any = Classifier(error, while_drafting)
    monkeypatch.setattr("matlens.features.trunks.TrunkEngine", lambda file: classifier)
    monkeypatch.setattr("matlens.features.trunks.lay_channels_first", lambda file: None)
    with pytest.raises(CacheError, match=rf"{tmp_path}.*(no space left.*|No space.*)--cache-dir"):
        draft_trunk(classifier, order, tmp_path)
        confirm_trunk(classifier, order, tmp_path, {})
    assert not list((tmp_path / ("drafts" if while_drafting else "trunks")).iterdir())
