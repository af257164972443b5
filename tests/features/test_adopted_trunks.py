"""A trunk that was confirmed for some classes serves photos of other classes, and no process is started for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from matlens.features.conversion import Conversion
from matlens.features.trunks import CachedTrunk, TrunkOrder
from matlens.models.protocol import BuildOrder
from matlens.system.files import checksum, write_json
from matlens.system.transport import ChildProcess

INPUTS = 5


class Started(Exception):
    """A process would have been started."""


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrunkOrder:
    def start(job: str, *_: Any) -> None:
        raise Started(job)

    monkeypatch.setattr(ChildProcess, "run", staticmethod(start))
    (tmp_path / "weights.h5").write_bytes(b"weights")
    return TrunkOrder(BuildOrder("mobilenetv2_transfer", 4, (64, 64), tmp_path / "weights.h5"))


def known(order: TrunkOrder, cache: Path, classes: int, units: int | None = None) -> Path:
    """Write the entry of a trunk by hand, as an earlier run leaves it."""
    folder = replace(order, build=replace(order.build, num_classes=classes)).folder(cache)
    folder.mkdir(parents=True)
    (folder / "trunk.xml").write_text(f"<of {classes}/>")
    (folder / "trunk.bin").write_bytes(bytes(range(40)))
    layers = [{"config": {"name": "image"}}, {"config": {"name": "predictions", "units": units or classes}}]
    with h5py.File(folder / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": layers}})
        weights = file.create_group("model_weights/predictions/predictions")
        weights["kernel"], weights["bias"] = np.ones((INPUTS, classes), np.float32), np.ones(classes, np.float32)
        file["matlens"] = "{}"
    write_json(folder / "trunk.json", {
        "format": 2, "until": "out", "parity": 3e-6, "model": "model.h5", "parameters": [100, 60],
        "versions": {"keras": "9"}, "sha256": {file.name: checksum(file) for file in sorted(folder.iterdir())}})
    return folder


def test_no_process_is_started_for_other_classes_and_the_record_is_that_of_the_comparison(order, tmp_path):
    """TensorFlow would take four seconds to compare the same bytes again."""
    source = known(order, tmp_path, 6)
    conversion = Conversion(order, tmp_path, lambda _: None, lambda _: None)
    conversion.do()
    trunk = conversion.confirmed()
    assert trunk.folder == order.folder(tmp_path) != source
    assert (trunk.parity, trunk.until, trunk.versions) == (3e-6, "out", {"keras": "9"})
    assert trunk.parameters == (100 - 2 * (INPUTS + 1), 60 - 2 * (INPUTS + 1))
    assert [(trunk.folder / name).read_bytes() == (source / name).read_bytes()
            for name in ("trunk.xml", "trunk.bin", "model.h5")] == [True, True, False]
    with h5py.File(trunk.model_template) as file:
        assert file["model_weights/predictions/predictions/kernel"].shape == (INPUTS, 4)
        assert json.loads(file.attrs["model_config"])["config"]["layers"][-1]["config"]["units"] == 4
    assert CachedTrunk.open(source) is not None


@pytest.mark.parametrize("fault", ["damaged", "no head", "two minds", "of another head", "of a cut", "pytorch"])
def test_what_is_not_surely_the_same_trunk_goes_the_whole_way(order, tmp_path, fault):
    """A check that protects results must not be passed over because a folder looks like it."""
    wanted = order
    source = known(replace(order, build=replace(order.build, linear_head=fault == "of another head")), tmp_path, 6,
                   units=7 if fault == "two minds" else None)
    about = json.loads((source / "trunk.json").read_text())
    if fault == "damaged":
        (source / "trunk.bin").write_bytes(b"other bytes")
    elif fault == "no head":
        with h5py.File(source / "model.h5", "a") as file:
            del file["model_weights/predictions"]
        write_json(source / "trunk.json", about | {"sha256": about["sha256"] | {
            "model.h5": checksum(source / "model.h5")}})
    elif fault == "of a cut":
        wanted = replace(order, until="block_9_add")
    elif fault == "pytorch":
        (source / "model.h5").rename(source / "model.pth")
        sums = {name.replace(".h5", ".pth"): value for name, value in about["sha256"].items()}
        write_json(source / "trunk.json", about | {"model": "model.pth", "sha256": sums})
    conversion = Conversion(wanted, tmp_path, lambda _: None, lambda _: None)
    conversion.do()
    with pytest.raises(Exception, match="Started"):
        conversion.confirmed()
    assert not wanted.folder(tmp_path).exists()
    assert not list((tmp_path / "trunks").glob(".*.partial"))
