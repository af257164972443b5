"""The calibration beside an artifact: bound to its head, absent in earlier versions, refused where it is damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from matlens.errors import ModelError, WriteError
from matlens.features.artifact import Artifact, write_about
from matlens.features.beside import calibrate_artifact
from matlens.features.calibrator import FILE_NAME, Calibrator

HALF = Calibrator.at(2, 2)
VECTOR = Calibrator("vector", (0.5, 2.0), (0.1, -0.1))


def artifact_in(folder, head: bytes = b"head"):
    """As much of an artifact as is read before its network is."""
    folder.mkdir()
    for name in ("trunk.xml", "trunk.bin", "head.npz"):
        (folder / name).write_bytes(head if name == "head.npz" else b"trunk")
    write_about(folder, "m", ("a", "b"), (32, 32), parity=0.0)
    return folder


@pytest.mark.parametrize("calibrator", [HALF, VECTOR])
def test_an_artifact_takes_its_calibration_along(tmp_path, calibrator):
    folder = artifact_in(tmp_path / "m.artifact")
    before = (folder / "artifact.json").read_bytes()
    assert Artifact.open(folder).calibrator is None, "artifacts of earlier versions have none"
    calibrate_artifact(folder, calibrator)
    moved = folder.rename(tmp_path / "moved")
    assert Artifact.open(moved).calibrator == calibrator
    assert (moved / "artifact.json").read_bytes() == before, "what was measured of the artifact stays valid"
    calibrate_artifact(moved, None)
    assert Artifact.open(moved).calibrator is None


def test_the_int8_version_has_the_same_if_it_has_the_same_head(tmp_path):
    float32, int8 = artifact_in(tmp_path / "m.artifact"), artifact_in(tmp_path / "m.int8.artifact")
    older = artifact_in(tmp_path / "older.int8.artifact", b"another head")
    calibrate_artifact(float32, HALF, [int8, older])
    assert Artifact.open(int8).calibrator == HALF
    assert Artifact.open(older).calibrator is None


@pytest.mark.parametrize("change", [
    {"head": "0" * 64}, {"scale": [1.0]}, {"scale": [1.0, 1.0, 1.0], "bias": [0, 0, 0]}, {"scale": [-1.0, 1.0]},
    {"scale": [1.0, 1e9]}, {"bias": [float("nan"), 0.0]}, {"method": "other"}, {"format": 2}, {"scale": "x"},
    {"method": "temperature", "scale": [1.0, 2.0]}])
def test_a_calibration_that_does_not_fit_is_refused_and_raw_probabilities_stay(tmp_path, change):
    folder = artifact_in(tmp_path / "m.artifact")
    calibrate_artifact(folder, VECTOR)
    content = json.loads((folder / FILE_NAME).read_text("utf-8"))
    (folder / FILE_NAME).write_text(json.dumps({**content, **change}), "utf-8")
    artifact = Artifact.open(folder)  # for what needs no calibration
    with pytest.raises(ModelError, match=rf"{FILE_NAME}.*matlens evaluate RUN.*--raw"):
        _ = artifact.calibrator


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"format": 1}'])
def test_a_damaged_calibration_is_refused_by_name(tmp_path, content):
    folder = artifact_in(tmp_path / "m.artifact")
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(ModelError, match=FILE_NAME):
        _ = Artifact.open(folder).calibrator


def test_a_calibration_of_other_classes_or_of_a_strangers_link_is_refused(tmp_path):
    folder = artifact_in(tmp_path / "m.artifact")
    with pytest.raises(ModelError, match=r"2 classes.*3"):
        calibrate_artifact(folder, Calibrator.at(2, 3))
    calibrate_artifact(folder, HALF)
    (folder / FILE_NAME).rename(tmp_path / "outside.json")
    (folder / FILE_NAME).symlink_to(tmp_path / "outside.json")
    with pytest.raises(ModelError, match=FILE_NAME):
        _ = Artifact.open(folder).calibrator
    before = (tmp_path / "outside.json").read_bytes()
    with pytest.raises(WriteError, match=FILE_NAME):
        calibrate_artifact(folder, VECTOR)
    assert (tmp_path / "outside.json").read_bytes() == before, "the link is never followed"


def test_probabilities_of_0_and_1_stay_in_order_and_sum_to_1():
    calibrated = VECTOR.apply(np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32))
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    assert calibrated.argmax(axis=1)[:2].tolist() == [0, 1]
