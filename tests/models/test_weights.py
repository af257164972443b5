"""The search for ImageNet weights: what is looked for, where, and what is said when it is not there."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from matlens.errors import ModelError, WeightsError
from matlens.models import weights
from matlens.models.frameworks import FRAMEWORKS
from matlens.models.registry import MODELS, spec_of
from matlens.models.spec import MLP, ModelSpec, WeightsFile


def test_the_message_names_file_places_and_ways_out(tmp_path, monkeypatch):
    """Who has no network must know which file to put where."""
    def refuse(*_):
        raise ConnectionError("no route")

    monkeypatch.setattr(weights, "_download", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    (tmp_path / "w").mkdir()
    with pytest.raises(WeightsError) as caught:
        weights.find_weights(MODELS["resnet50_transfer"], "imagenet", tmp_path / "w")
    for part in ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", str(tmp_path / "w"),
                 str(tmp_path / "w" / "models"), str(tmp_path / "w" / "hub" / "checkpoints"),
                 str(tmp_path / "k" / "models"), "https://storage.googleapis.com", "--weights-dir", "--weights none"):
        assert part in str(caught.value)


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path, monkeypatch):
    """Weights of another place would be taken in silence."""
    cache = tmp_path / "k" / "models"
    cache.mkdir(parents=True)
    (cache / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"weights")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    assert weights.find_local(MODELS["resnet50_transfer"], None, {}, 224) is not None
    (tmp_path / "weights").mkdir()
    with pytest.raises(WeightsError, match=r"wieghts: there is no such folder\. Did you mean .*weights"):
        weights.find_local(MODELS["resnet50_transfer"], tmp_path / "wieghts", {}, 224)


def test_caches_are_the_frameworks_own(tmp_path, monkeypatch):
    """What Keras or torch has downloaded once must not be downloaded again."""
    for name in ("KERAS_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FRAMEWORKS["keras"].weights_folder() == tmp_path / ".keras" / "models"
    assert FRAMEWORKS["torch"].weights_folder() == tmp_path / ".cache" / "torch" / "hub" / "checkpoints"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert FRAMEWORKS["torch"].weights_folder() == tmp_path / "x" / "torch" / "hub" / "checkpoints"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "t"))
    assert FRAMEWORKS["torch"].weights_folder() == tmp_path / "t" / "hub" / "checkpoints"


@pytest.mark.parametrize(("side", "rows"), [(96, ["96", "224"]), (224, ["224"]), (64, ["224"]), (300, ["224"])])
def test_mobilenet_prefers_the_weights_of_its_photo_size(side, rows):
    """Keras publishes five sizes; the one for 224 fits any."""
    names = [file.name for file in MODELS["mobilenetv2_transfer"].weights_files({"alpha": 0.5}, side)]
    assert names == [f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_{row}_no_top.h5" for row in rows]


def test_a_download_with_another_hash_is_refused_and_not_kept(tmp_path, monkeypatch):
    """torch publishes only the first digits of the hash, which pooch does not check."""
    import pooch

    def retrieve(url, full_hash, fname, path, **_):
        assert full_hash is None
        Path(path, fname).write_bytes(b"weights")
        return str(Path(path, fname))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    right = hashlib.sha256(b"weights").hexdigest()[:8]
    assert weights._download(WeightsFile("a.pth", "https://x", f"sha256:{right}"), tmp_path) == tmp_path / "a.pth"
    with pytest.raises(ValueError, match="does not have the hash"):
        weights._download(WeightsFile("b.pth", "https://x", "sha256:00000000"), tmp_path)
    assert not (tmp_path / "b.pth").exists()


def test_an_unknown_model_is_answered_with_the_known_ones():
    """A slip of the pen must not end in a KeyError."""
    with pytest.raises(ModelError, match=r"'vgg'.*vgg19_scratch"):
        spec_of("vgg")


def of_hub() -> ModelSpec:
    url = "https://huggingface.co/timm/net.in1k/resolve/main/model.safetensors"
    return ModelSpec("timm/net.in1k", "net", "torch", backbone="net.in1k", head=MLP(8, dropout=0), weights=(
        WeightsFile("net.in1k.safetensors", url, hub="timm/net.in1k"), WeightsFile("net.in1k/model.safetensors", url)))


@pytest.mark.parametrize("place", [
    "w/net.in1k.safetensors", "w/net.in1k/model.safetensors",
    "w/models--timm--net.in1k/snapshots/0123/model.safetensors",
    "h/hub/models--timm--net.in1k/snapshots/0123/model.safetensors"])
def test_weights_of_the_hub_are_found_where_people_and_its_own_client_put_them(tmp_path, monkeypatch, place):
    """Who has them must not download them again, and a machine without a network cannot."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "h"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "t"))
    (tmp_path / "w").mkdir()
    assert weights.find_local(of_hub(), tmp_path / "w", {}, 64) is None
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"weights")
    other = tmp_path / "w" / "models--timm--net.in21k" / "snapshots" / "0123" / "model.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"other weights")
    assert weights.find_local(of_hub(), tmp_path / "w", {}, 64) == file


def test_weights_that_an_installed_package_brings_are_found_without_importing_it(tmp_path, monkeypatch):
    """The demo shows a pretrained network without a network connection."""
    package = tmp_path / "weights_of_acme"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "models" / "net.pth").write_bytes(b"weights")
    spec = dataclasses.replace(of_hub(), weights=(
        *(of_hub().weights or ()), WeightsFile("net.pth", "https://x", package="weights_of_acme/models")))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "h"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "t"))
    assert weights.find_local(spec, None, {}, 64) is None
    monkeypatch.syspath_prepend(str(tmp_path))
    assert weights.find_local(spec, None, {}, 64) == package / "models" / "net.pth"


@pytest.mark.parametrize("status", [401, 403])
def test_gated_weights_say_where_their_licence_is_accepted(tmp_path, monkeypatch, status):
    """The file is there, and the network is on: who hears "no network" looks in the wrong place."""
    import requests

    def refuse(*_):
        answer = requests.Response()
        answer.status_code = status
        raise requests.HTTPError("refused", response=answer)

    monkeypatch.setattr(weights, "_download", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    gated = ModelSpec("acme/gated", "Gated", "torch", backbone="gated", head=MLP(4, 0.1), weights=(WeightsFile(
        "gated.safetensors", "https://huggingface.co/acme/gated/resolve/main/model.safetensors", hub="acme/gated"),))
    with pytest.raises(WeightsError) as caught:
        weights.find_weights(gated, "imagenet", tmp_path)
    for part in ("licence", "https://huggingface.co/acme/gated.", "hf download acme/gated model.safetensors",
                 "gated.safetensors", "--weights-dir"):
        assert part in str(caught.value)
    remark = weights.find_weights(gated, "auto", tmp_path).remark
    assert "https://huggingface.co/acme/gated" in remark and "no network" not in remark
