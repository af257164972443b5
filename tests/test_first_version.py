"""Runs and caches that the first version of matlens left: they are gone on with, evaluated, compared and repeated."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import FIRST_VERSION
from in_process import InProcess
from matlens.runs.record import RunRecord
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord
from matlens.training.checkpoints import resumption_key

NAME = "mobilenetv2_transfer"
WEIGHTS = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
NOT_COMPARED = {"cache_dir", "cache_limit", "output_dir", "models_dir", "reports_dir", "dataset_name", "weights_dir",
                "models", "auto_batch", "material_groups"}
"""Settings that did not decide the key of a state."""


def key_of(about_run: dict[str, Any], trunk_key: str) -> str:
    """A state's key, as the first version made it of what its run.json holds."""
    settings = {key: value for key, value in about_run["settings"].items() if key not in NOT_COMPARED}
    return hashlib.sha256(json.dumps([NAME, about_run["split_hash"], settings, trunk_key],
                                     sort_keys=True).encode()).hexdigest()


def trunk_key() -> str:
    return next((FIRST_VERSION / "trunks").iterdir()).name.split("-")[1]


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with run/, half/, photos/, cache/ and weights/. Only its place is another one."""
    InProcess(monkeypatch)  # nothing here may need a framework
    shutil.copytree(FIRST_VERSION, tmp_path, dirs_exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "trunks").rename(tmp_path / "cache" / "trunks")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS).write_bytes(b"weights")
    for name in ("run", "half"):
        file = tmp_path / name / "run.json"
        content = json.loads(file.read_text())
        content["data_root"] = content["settings"]["data_dir"] = str(tmp_path / "photos")
        content["settings"]["weights_dir"] = str(tmp_path / "weights")
        file.write_text(json.dumps(content))
    state, = (tmp_path / "half" / "states" / NAME).iterdir()
    with np.load(state) as arrays:
        values = dict(arrays)
    about = json.loads(values["about"].tobytes()) | {"key": key_of(content, trunk_key())}
    np.savez(state, **values | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)})

    # The key of a trunk is of the OpenVINO that converted it, too.
    version, openvino = importlib.metadata.version, content["versions"]["openvino"]
    monkeypatch.setattr(importlib.metadata, "version",
                        lambda package: openvino if package == "openvino" else version(package))
    return tmp_path


def command(left: Path, out: str) -> list[object]:
    """The command with which the first version began the run."""
    return ["run", "--data", left / "photos", "--models", NAME, "--weights-dir", left / "weights", "--img-size", 48,
            "--epochs", 6, "--batch-size", 4, "--seed", 3, "--cache-dir", left / "cache", "--out", left / out]


def probabilities(run: Path) -> np.ndarray:
    with np.load(run / "reports" / f"{NAME}_predictions.npz") as file:
        return file["probabilities"]


def test_the_key_of_a_state_is_made_as_it_was():
    """Else a training that is half done begins from nothing, after hours."""
    with np.load(FIRST_VERSION / "half" / "states" / NAME / "head-0004.npz") as file:
        recorded = json.loads(file["about"].tobytes())["key"]
    run = Run.open(FIRST_VERSION / "half")
    assert recorded == key_of(json.loads((FIRST_VERSION / "half" / "run.json").read_text()), trunk_key())
    assert recorded == resumption_key(run.settings, NAME, run.split.hash, trunk_key())


def test_a_half_trained_run_goes_on_with_its_next_epoch(left, matlens):
    """From its state and its trunk, to the same model as the run that was left alone."""
    code, out, err = matlens(*command(left, "half"))
    assert code == 0, err
    assert [number for number in range(1, 7) if f"epoch {number}:" in out] == [5, 6]
    assert RunRecord.read(left / "half").resumed_at_epoch == {NAME: 5}
    before, after = (TrainingRecord.read(RunRecord.read(left / name), NAME) for name in ("run", "half"))
    for curve, values in before.history.items():
        assert after.history[curve] == pytest.approx(values, rel=1e-4), curve
    np.testing.assert_allclose(probabilities(left / "half"), probabilities(left / "run"), atol=1e-5)
    assert not (left / "half" / "states").exists()


def test_a_finished_run_is_not_trained_again(left, matlens):
    """The same command only draws what is missing."""
    model = (left / "run" / "models" / f"{NAME}.h5").stat().st_mtime_ns
    code, out, err = matlens(*command(left, "run"))
    assert code == 0, err
    assert "already trained" in out
    assert (left / "run" / "models" / f"{NAME}.h5").stat().st_mtime_ns == model


def test_a_finished_run_is_evaluated_used_and_compared(left, matlens):
    """Results, artifact and predictions are read as they are."""
    results = left / "run" / "reports" / f"{NAME}_results.json"
    before = json.loads(results.read_text())
    results.unlink()
    code, _, err = matlens("evaluate", left / "run")
    assert code == 0, err
    after = json.loads(results.read_text())
    for key in ("accuracy", "macro_f1", "per_class", "confusion_matrix", "seconds", "remarks", "versions", "n_test"):
        assert after[key] == before[key], key
    photo = left / "photos" / "test" / "red" / "0.png"
    code, out, err = matlens("predict", left / "run", photo, "--json")
    assert code == 0, err
    paths = [photo["path"] for photo in json.loads((left / "run" / "split.json").read_text())["photos"]
             if photo["part"] == "test"]
    np.testing.assert_allclose(list(json.loads(out)["probabilities"].values()),
                               probabilities(left / "run")[paths.index("test/red/0.png")], atol=1e-5)
    code, out, err = matlens("compare", left / "run")
    assert code == 0 and NAME in out, err


def test_a_run_is_repeated_from_what_it_recorded(left, matlens):
    """Settings and split of a record without those keys that later versions add."""
    code, _, err = matlens("rerun", left / "run", "--out", left / "again", "--cache-dir", left / "cache",
                           "--weights-dir", left / "weights")
    assert code == 0, err
    np.testing.assert_allclose(probabilities(left / "again"), probabilities(left / "run"), atol=1e-5)
