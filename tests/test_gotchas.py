"""The guide's gotchas, each recreated: what its readers are warned of must not happen to them here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matlens import create_split
from matlens.data.batches import part_batches
from matlens.data.prepare import prepare
from matlens.errors import DataError, WeightsError
from matlens.models import weights
from matlens.notebook import label_space
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

SIDE = 32


@pytest.fixture
def prepared(drawn, tmp_path, monkeypatch) -> Path:
    """train/, val/ and test/ of drawn photos."""
    monkeypatch.setattr(label_space, "_latest", None)
    create_split(drawn, tmp_path / "prepared")
    return tmp_path / "prepared"


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("folder_stays", [True, False])
def test_class_mismatch_across_splits_is_refused(prepared, part, folder_stays):
    """Keras numbers the classes of each part by itself, so labels of two parts would mean different materials."""
    from matlens import build_datasets

    for photo in (prepared / part / "sky").iterdir():
        photo.unlink()
    if not folder_stays:
        (prepared / part / "sky").rmdir()
    with pytest.raises(DataError, match=f"'sky' in {part}") as caught:
        build_datasets(prepared, (SIDE, SIDE), 8)
    for other in {"train", "val", "test"} - {part}:
        assert f"'sky' in {other}" not in str(caught.value)


def test_a_class_in_one_part_only_is_refused_too(prepared):
    """The other way round: a folder that was dropped into train/ alone."""
    from matlens import build_datasets

    (prepared / "train" / "glass").mkdir()
    source = next((prepared / "train" / "sky").iterdir())
    (prepared / "train" / "glass" / "new.jpg").write_bytes(source.read_bytes()[:-1] + b"\xd9")
    with pytest.raises(DataError, match=r"'glass' in val, 'glass' in test"):
        build_datasets(prepared, (SIDE, SIDE), 8)


def test_empty_and_broken_files_are_left_out_and_named(prepared, tmp_path, capsys):
    """TensorFlow's decoder ends the training at such a file, perhaps after hours."""
    broken = {"train/wood/empty.jpg": b"", "val/sky/text.jpg": b"no photo"}
    for name, content in broken.items():
        (prepared / name).write_bytes(content)
    ready = prepare(Settings(data_dir=prepared, img_size=SIDE, cache_dir=tmp_path / "cache"), Reporter(quiet=True))
    said = capsys.readouterr().err
    assert "train/wood/empty.jpg (empty file)" in said
    assert "val/sky/text.jpg (not an image)" in said
    for part, expected in (("train", 32), ("val", 8), ("test", 8)):
        labels = [labels for _, labels in part_batches(ready.split, part, ready.store, 5)]
        assert np.concatenate(labels).sum(0).tolist() == [expected / 4] * 4
    assert all((prepared / name).read_bytes() == content for name, content in broken.items())


@pytest.fixture
def offline(tmp_path, monkeypatch) -> None:
    """No network, and nothing in any cache."""
    def refuse(*_: object) -> Path:
        raise OSError("[Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr(weights, "_download", refuse)
    for name in ("KERAS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "caches" / name))


def refused_offline(build, tmp_path: Path, cache: str, file: str) -> None:
    with pytest.raises(WeightsError) as caught:
        build()
    said = str(caught.value)
    for part in (file, str(tmp_path / "caches" / cache), "turn the network on", "random weights"):
        assert part in said


@pytest.mark.keras
@pytest.mark.parametrize(("name", "file"), [
    ("build_resnet50_transfer", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ("build_mobilenetv2_transfer", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5")])
def test_without_internet_the_keras_builders_say_what_to_do(keras, offline, tmp_path, name, file):
    """Kaggle's default is no internet; the guide shows a gaierror."""
    import matlens

    build = getattr(matlens, name)
    refused_offline(lambda: build((SIDE, SIDE, 3), 3), tmp_path, "KERAS_HOME", file)


@pytest.mark.slow
@pytest.mark.keras
def test_without_internet_auto_warns_and_builds_from_random_weights(keras, offline, capsys):
    """One notebook for both cases, and nobody takes random weights for pretrained ones."""
    from matlens import build_mobilenetv2_transfer

    model, base = build_mobilenetv2_transfer((SIDE, SIDE, 3), 3, weights="auto", alpha=0.35)
    assert "mobilenetv2_transfer: trained from random weights" in capsys.readouterr().err
    assert base.trainable_weights, "random weights that are frozen could learn nothing"
    assert model.predict(np.zeros((1, SIDE, SIDE, 3), np.float32), verbose=0).shape == (1, 3)


@pytest.mark.torch
def test_without_internet_googlenet_says_what_to_do(torch, offline, tmp_path, capsys):
    """The same for PyTorch, whose own message is a URLError."""
    from matlens import InceptionV1Wrapper

    refused_offline(lambda: InceptionV1Wrapper(3), tmp_path, "TORCH_HOME", "googlenet-1378be20.pth")
    wrapper = InceptionV1Wrapper(3, pretrained="auto", device="cpu")
    assert not wrapper.pretrained
    assert "inception_v1: trained from random weights" in capsys.readouterr().err


@pytest.mark.keras
def test_the_way_out_is_one_that_a_notebook_has_for_keras(keras, offline):
    """There is no command line in a notebook; the guide says weights=None."""
    from matlens import build_resnet50_transfer

    with pytest.raises(WeightsError, match="weights=None"):
        build_resnet50_transfer((SIDE, SIDE, 3), 3)


@pytest.mark.torch
def test_the_way_out_is_one_that_a_notebook_has_for_googlenet(torch, offline):
    """The guide says pretrained=False."""
    from matlens import InceptionV1Wrapper

    with pytest.raises(WeightsError, match="pretrained=False"):
        InceptionV1Wrapper(3)


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, text=True, capture_output=True, timeout=1800,
                          check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


GROWTH = """
import importlib, sys
import tensorflow as tf
calls = []
real = tf.config.list_physical_devices
tf.config.list_physical_devices = lambda kind=None: ["first GPU", "second GPU"] if kind == "GPU" else real(kind)
tf.config.experimental.set_memory_growth = lambda gpu, on: calls.append((gpu, on))
import matlens.models.keras as keras_room
assert calls == [("first GPU", True), ("second GPU", True)], calls

def used_already(gpu, on):
    raise RuntimeError("Physical devices cannot be modified after being initialized")

tf.config.experimental.set_memory_growth = used_already
importlib.reload(keras_room)
print("done")
"""


@pytest.mark.slow
@pytest.mark.keras
def test_memory_growth_is_asked_for_on_every_gpu(tmp_path):
    """TensorFlow else takes all of a GPU's memory, and PyTorch finds none; a GPU in use already is left as it is."""
    assert run(GROWTH, tmp_path / "here").stdout.splitlines()[-1:] == ["done"]
