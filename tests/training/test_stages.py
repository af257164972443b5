"""Every registered stage: it reaches the child process as it was planned, and says what it needs."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from builders import split_of
from matlens.data.pixels.store import PixelStore
from matlens.errors import CacheError, WorkerError
from matlens.system.transport import decode, encode
from matlens.training.frozen import ActivationViews
from matlens.training.history import Epoch
from matlens.training.stages.base import STAGES, HeadStage, NetworkStage, Stage
from matlens.training.stages.tail_on_activations import TailOnActivations
from matlens.training.stages.tail_on_photos import TailOnPhotos
from matlens.training.stages.whole_network import WholeNetwork
from matlens.training.tasks import TrainTask
from matlens.types import Batch, BytePhotos, Scores

INPUTS = ActivationViews("block_12_add", (Path("/cache/1"), Path("/cache/2")), Path("/cache/3"))
EPOCH = Epoch(1, Scores(0.1 + 0.2, 1 / 3), Scores(1e-17, 0.5), 1e-5, 2.5, 1000 / 7)


def one_of(name: str) -> Stage:
    """A stage with other values than the defaults, as far as it has them."""
    stage, changes = STAGES[name](7), {"recipe": "strong", "cut": "a_layer", "is_second": True, "inputs": INPUTS}
    return replace(stage, **{field: value for field, value in changes.items() if hasattr(stage, field)})


def task_of(*stages: Stage) -> TrainTask:
    return TrainTask(Path("/run"), "resnet50_transfer", Path("/store"), stages, Path("/weights.h5"), (EPOCH,),
                     ("a remark",), {"features": 0.1 + 0.2}, 8)


def sent(task: TrainTask) -> TrainTask:
    return decode(json.loads(json.dumps(encode(task))), TrainTask)


@pytest.mark.parametrize("name", STAGES)
def test_the_child_executes_the_stage_that_the_parent_planned(name):
    """A field that was lost on the way, or a number that was rounded, would train another model."""
    task = task_of(one_of(name))
    assert sent(task) == task
    assert type(sent(task).stages[0]) is STAGES[name]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_in_one_process_and_can_do_without_a_cache_unless_it_says_so(name):
    """The fallback must end: it needs nothing of the parent."""
    stage = one_of(name)
    assert isinstance(stage, HeadStage) != isinstance(stage, NetworkStage)
    if stage.needs_features:
        assert stage.on_photos() == stage
        return
    fallback = stage.on_photos()
    assert fallback.on_photos() == fallback
    assert (fallback.trunks, fallback.is_on_features, fallback.epochs) == ((), False, 7)
    assert bool(stage.trunks) == stage.is_on_features
    assert isinstance(fallback, NetworkStage)
    assert fallback.photos_an_epoch(100) == 100


@pytest.mark.parametrize("name", [name for name in STAGES if issubclass(STAGES[name], NetworkStage)])
@pytest.mark.parametrize("recipe", ["guide", "strong"])
def test_a_stage_names_its_states_as_the_first_version_did(name, recipe):
    """Else a training that is half done begins from nothing."""
    stage: Any = replace(STAGES[name](7), recipe=recipe)
    assert stage.states == ("strong" if recipe == "strong" else "train")


def test_an_epoch_of_activations_has_all_views_or_by_the_recipe_strong_one():
    """The bar of progress would end at a half, or run past its end."""
    stage = TailOnActivations(3, inputs=INPUTS)
    assert (stage.photos_an_epoch(10), replace(stage, recipe="strong").photos_an_epoch(10)) == (20, 10)
    assert (stage.decided_by, replace(stage, cut="x").trained_after) == ([None, "block_12_add", 2], "block_12_add")


def test_activations_that_were_not_computed_are_an_error_that_says_so():
    """A defect of the plan must not train on nothing."""
    with pytest.raises(CacheError, match="same command"):
        TailOnActivations(3, cut="x").batches(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"stage": "nap"}, {"epochs": "many"}, {"epochs": None}])
def test_a_stage_that_is_unknown_or_malformed_is_refused(change):
    """The parent may be of another version than the child that it starts."""
    content = json.loads(json.dumps(encode(task_of(one_of("whole network")))))
    content["stages"][0] |= change
    with pytest.raises(WorkerError, match="nap" if "stage" in change else "epochs"):
        decode(content, TrainTask)


@pytest.mark.parametrize("stage", [WholeNetwork(3), TailOnPhotos(3)], ids=["whole network", "tail on photos"])
@pytest.mark.parametrize("augment", [True, False])
def test_photos_go_as_bytes_to_a_device_that_asks_for_them(tmp_path, stage, augment):
    """Four times less goes to a GPU, which varies the photos itself; a CPU gets floats as ever."""
    split = split_of(per_class=3)
    pixels = np.random.default_rng(0).integers(0, 256, (len(split.photos), 8, 8, 3), dtype=np.uint8)
    store = PixelStore(tmp_path, pixels, {photo.sha256: row for row, photo in enumerate(split.photos)},
                       np.array([zlib.crc32(photo.data) for photo in pixels], np.uint32), {})
    settings = SimpleNamespace(batch_size=4, seed=5, augment=augment, class_weights="none", sampling="natural")

    def batches(takes_bytes: bool) -> list[list[Batch]]:
        work: Any = SimpleNamespace(run=SimpleNamespace(settings=settings, split=split), store=store,
                                    classifier=SimpleNamespace(takes_bytes=takes_bytes))
        train, val = stage.batches(work)
        return [list(train.epoch(1)), list(train.head(1)), list(val)]

    for (kind, as_bytes), as_floats in zip(enumerate(batches(True)), batches(False), strict=True):
        for (photos, labels), (images, labels_wanted) in zip(as_bytes, as_floats, strict=True):
            np.testing.assert_array_equal(labels, labels_wanted)
            assert isinstance(photos, BytePhotos)
            assert isinstance(images, np.ndarray)
            varied = augment and kind == 0
            assert (photos.warps is not None) == (photos.contrasts is not None) == varied
            if not varied:
                np.testing.assert_array_equal(photos.pixels / np.float32(255), images)
