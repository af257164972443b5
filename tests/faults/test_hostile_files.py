"""Files that a stranger made to harm: each is refused, nothing in them is run, and nothing outside is read."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from attacks import at_once
from builders import report_folder, results_of
from matlens.errors import ModelError, ResultsError, RunError
from matlens.evaluation.label_quality import Suspect
from matlens.evaluation.predictions import Predictions
from matlens.features.artifact import Artifact, write_about
from matlens.jobs.predict import AskedPhotos, predict_files
from matlens.models.head import Dense, Head
from matlens.report.page import write_report
from matlens.runs.series import SeriesFolder
from matlens.system.console import Reporter
from matlens.system.untrusted import stays_inside
from report.pages import Page

SIDE = 32


class Harm:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.canary,))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that must not appear; that unpickling would make it is checked first."""
    place = tmp_path / "canary"
    pickle.loads(pickle.dumps(Harm(place)))
    assert place.exists()
    place.unlink()
    return place


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside that must not be read: it may not be, for a mistake would then be an error of the system."""
    place = tmp_path / "outside" / "secret.bin"
    place.parent.mkdir()
    place.write_bytes(np.full(4096, 42, np.float32).tobytes())
    return place


# Pickles and bombs in .npz


def npz(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def bomb(path: Path, members: dict[str, bytes]) -> Path:
    """A zip whose last member says to unpack to two gigabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.infolist()[-1].file_size = 2 << 30  # what is written at the end of the file
    return path


def head_members() -> dict[str, bytes]:
    """Those of a head that is in order."""
    return {"pooling.npy": npy(np.array("avg")), "activations.npy": npy(np.array(["softmax"])),
            "kernel_0.npy": npy(np.ones((4, 3), np.float32)), "bias_0.npy": npy(np.zeros(3, np.float32))}


def test_a_head_in_order_is_read(tmp_path):
    """Else the refusals below would prove nothing."""
    head = Head.load(npz(tmp_path / "head.npz", head_members()))
    np.testing.assert_array_equal(head.layers[0].kernel, np.ones((4, 3)))
    saved = Head("max_flatten", (Dense(np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
                                       np.arange(3, dtype=np.float32), "softmax"),))
    saved.save(tmp_path / "saved.npz")
    np.testing.assert_array_equal(Head.load(tmp_path / "saved.npz").layers[0].kernel, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(("name", "content"), [
    ("kernel_0.npy", header((10**6, 10**6))),
    ("kernel_0.npy", header((4, 3)) + bytes(44)),
    ("kernel_0.npy", header((4, 3)) + bytes(52)),
    ("kernel_0.npy", header((-4, -3)) + bytes(48)),
    ("kernel_0.npy", header((4, 3), "<f8") + bytes(96)),
    ("kernel_0.npy", npy(np.ones((4, 3, 1), np.float32))),
    ("kernel_0.npy", npy(np.ones((4, 2), np.float32))),
    ("kernel_0.npy", b"\x93NUMPY\x09\x00" + header((4, 3))[8:] + bytes(48)),
    ("kernel_0.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65_535),
    ("activations.npy", npy(np.array(["system"]))),
    ("pooling.npy", npy(np.array("eval"))),
    ("../outside.npy", npy(np.zeros(3))),
    ("extra.npy", npy(np.zeros(3))),
    ("kernel_0", npy(np.ones((4, 3), np.float32))),
], ids=["a terabyte", "cut off", "too long", "negative", "float64", "3-d", "misfit", "version 9", "brackets",
        "activation", "pooling", "path", "extra", "no suffix"])
def test_arrays_that_are_not_what_they_say_are_refused(tmp_path, name, content):
    """Before memory is taken for them."""
    file = npz(tmp_path / "head.npz", {**head_members(), name: content})
    with pytest.raises(ModelError, match=r"head\.npz"):
        Head.load(file)


def test_a_pickle_in_an_npz_is_not_unpickled(tmp_path, canary):
    """An array of objects is one."""
    objects = np.empty((1, 1), object)
    objects[0, 0] = Harm(canary)
    for name in ("kernel_0.npy", "pooling.npy"):
        with pytest.raises(ModelError, match=r"head\.npz"):
            Head.load(npz(tmp_path / "head.npz", {**head_members(), name: npy(objects)}))
    (tmp_path / "predictions.npz").write_bytes(pickle.dumps(Harm(canary)))
    with pytest.raises(ResultsError, match=r"predictions\.npz"):
        Predictions.read(tmp_path / "predictions.npz")
    assert not canary.exists()


def test_a_zip_bomb_is_refused_by_its_headers(tmp_path):
    """Two gigabytes of zeros take two megabytes of a zip."""
    path = bomb(tmp_path / "predictions.npz", {"labels.npy": header((1 << 28,), "<i8")})
    with pytest.raises(ResultsError, match=r"says to hold \d{10} bytes"):
        Predictions.read(path)


def test_an_altered_array_is_noticed(tmp_path):
    """A checksum that does not fit."""
    file = npz(tmp_path / "head.npz", head_members())
    content = file.read_bytes()
    place = content.index(np.ones(12, np.float32).tobytes())
    file.write_bytes(content[:place] + b"\x01" + content[place + 1:])
    with pytest.raises(ModelError, match="CRC"):
        Head.load(file)


@pytest.mark.parametrize("path", ["../../outside/x.jpg", "/etc/passwd", "a/../../x", "C:/x.jpg", "..\\x", "a\0b", ""])
def test_paths_in_predictions_stay_inside(tmp_path, path):
    """The report would show the photos that they name."""
    assert not stays_inside(path)
    Predictions(np.ones((1, 2), np.float32), np.zeros(1, np.int64), (path,)).write(tmp_path / "p.npz")
    if "\0" not in path:  # NumPy's text ends there
        with pytest.raises(ResultsError, match="outside"):
            Predictions.read(tmp_path / "p.npz")


# Manifests


@pytest.mark.parametrize("name", ["..", "../other", "/tmp", "a/../..", "."])
def test_a_series_names_no_run_outside(tmp_path, name):
    """Its report would link there."""
    (tmp_path / "s").mkdir()
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "s" / "series.json").write_text(json.dumps({"protocol": "minc:all", "splits": {name: "minc:1"}}))
    with pytest.raises(RunError, match="outside"):
        SeriesFolder.open(tmp_path / "s")


# Artifacts


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """One whose files are in order by their checksums (the network in it is none)."""
    folder = tmp_path / "m.artifact"
    folder.mkdir()
    (folder / "trunk.xml").write_text("<net/>")
    (folder / "trunk.bin").write_bytes(bytes(8))
    npz(folder / "head.npz", head_members())
    write_about(folder, "m", ("a", "b", "c"), (SIDE, SIDE), parity=0.0)
    assert Artifact.open(folder).class_names == ("a", "b", "c")
    return folder


@pytest.mark.parametrize("name", ["trunk.bin", "trunk.xml", "head.npz", "artifact.json"])
def test_an_artifact_that_leads_out_by_links_is_refused(artifact, secret, name):
    """Even where the checksum is right."""
    shutil.copy(artifact / name, secret)
    (artifact / name).unlink()
    (artifact / name).symlink_to(secret)
    with pytest.raises(ModelError, match="outside"):
        Artifact.open(artifact)


def test_links_inside_of_an_artifact_are_followed(artifact):
    """As a store of files by content makes them."""
    (artifact / "trunk.bin").rename(artifact / "blob")
    (artifact / "trunk.bin").symlink_to("blob")
    assert Artifact.open(artifact).model_name == "m"


@pytest.mark.parametrize("change", [
    {"img_size": [10**9, 10**9]}, {"img_size": [SIDE]}, {"class_names": []}, {"class_names": ["a", "b", "a"]},
    {"class_names": ["x" * 10**6]}, {"class_names": [{}]}, {"model_name": None},
    {"precision": "float8"}, {"mirrored": "perhaps"}, {"format": 99}, {"sha256": {}}])
def test_an_artifact_with_an_impossible_description_is_refused(artifact, change):
    """Sizes are bounded before photos of that size are made."""
    about = json.loads((artifact / "artifact.json").read_text())
    del about["seal"]  # a stranger leaves it out, or makes one that fits
    (artifact / "artifact.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(ModelError, match=r"m\.artifact"):
        Artifact.open(artifact)


@pytest.mark.parametrize("change", [{"class_names": ["b", "a", "c"]}, {"mirrored": True}, {"img_size": [SIDE, 9]}])
def test_an_altered_description_is_told_by_its_checksum(artifact, change):
    """Two class names in each other's place would be a wrong answer for every photo. Earlier versions wrote no sum."""
    about = json.loads((artifact / "artifact.json").read_text())
    (artifact / "artifact.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(ModelError, match=r"artifact\.json.*checksum"):
        Artifact.open(artifact)
    del about["seal"]
    (artifact / "artifact.json").write_text(json.dumps(about))
    assert Artifact.open(artifact).class_names == ("a", "b", "c")


def test_other_names_in_an_artifacts_checksums_are_not_opened(artifact):
    """The files that are read are named by the code, not by the file."""
    os.mkfifo(artifact / "pipe")  # reading it would never end
    about = json.loads((artifact / "artifact.json").read_text())
    about["sha256"] |= {"../../outside/secret.bin": "0", "pipe": "0"}
    del about["seal"]
    (artifact / "artifact.json").write_text(json.dumps(about))
    assert Artifact.open(artifact).model_name == "m"


@pytest.mark.parametrize("name", ["trunk.xml", "trunk.bin", "head.npz"])
def test_a_file_that_is_far_too_large_for_a_network_is_not_read(artifact, name):
    """A sparse file takes no place on the disk, and minutes to read."""
    os.truncate(artifact / name, 60 << 30)
    with at_once(), pytest.raises(ModelError, match=rf"{name}.*too large"):
        Artifact.open(artifact)


def test_an_artifact_for_photos_of_another_size_is_named(artifact):
    """The description fits its own checksums, and not the network."""
    import openvino
    from openvino import opset13 as ops

    photos = ops.parameter([-1, SIDE, SIDE, 3], np.float32)
    openvino.save_model(openvino.Model([ops.relu(photos)], [photos]), artifact / "trunk.xml", compress_to_fp16=False)
    write_about(artifact, "m", ("a", "b", "c"), (SIDE + 8, SIDE), parity=0.0)
    with pytest.raises(ModelError, match=rf"trunk\.xml.*{SIDE + 8} x {SIDE}"):
        Artifact.open(artifact).predict(np.zeros((1, SIDE + 8, SIDE, 3), np.float32))
    write_about(artifact, "m", ("a", "b", "c"), (SIDE, SIDE), parity=0.0)
    with pytest.raises(ModelError, match="takes 4 numbers of a photo, and the trunk gives 3"):  # the head
        Artifact.open(artifact).predict(np.zeros((1, SIDE, SIDE, 3), np.float32))


@pytest.mark.parametrize("name", ["trunk.xml", "trunk.bin", "head.npz"])
def test_an_artifact_that_was_altered_is_refused(artifact, name):
    """One bit."""
    content = bytearray((artifact / name).read_bytes())
    content[-1] ^= 1
    (artifact / name).write_bytes(content)
    with pytest.raises(ModelError, match="checksum"):
        Artifact.open(artifact)


def test_a_network_that_is_none_is_named(artifact):
    """What OpenVINO says, in an error of ours."""
    with pytest.raises(ModelError, match=r"trunk\.xml"):
        Artifact.open(artifact).predict(np.zeros((1, SIDE, SIDE, 3), np.float32))


def test_a_network_that_would_exhaust_memory_is_refused_before_it_is_compiled(artifact):
    """A few hundred bytes can ask for a tensor of four terabytes."""
    import openvino
    from openvino import opset13 as ops

    photos = ops.parameter([-1, SIDE, SIDE, 3], np.float32)
    vast = ops.broadcast(ops.reduce_mean(photos, np.array([0, 1, 2, 3]), keep_dims=False), [1 << 20, 1 << 20])
    openvino.save_model(openvino.Model([vast], [photos]), artifact / "trunk.xml", compress_to_fp16=False)
    write_about(artifact, "m", ("a", "b", "c"), (SIDE, SIDE), parity=0.0)
    with pytest.raises(ModelError, match=r"trunk\.xml.*1099511627776 numbers"):
        Artifact.open(artifact).predict(np.zeros((1, SIDE, SIDE, 3), np.float32))


# Model files of Keras


@pytest.fixture(scope="module")
def small(keras: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small model as .h5 and as .keras."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Conv2D(4, 3), keras.layers.Flatten(),
                              keras.layers.Dense(3, activation="softmax")])
    folder = tmp_path_factory.mktemp("small")
    for suffix in ("h5", "keras"):
        model.save(folder / f"m.{suffix}", **({"include_optimizer": False} if suffix == "h5" else {}))
    return {suffix: folder / f"m.{suffix}" for suffix in ("h5", "keras")}


def tamper(harm: str, file: Any, place: str, outside: Path) -> None:
    """Replace a dataset of an open h5py.File by one that reads elsewhere, or says to be vast."""
    import h5py

    shape, other = file[place].shape, outside.with_suffix(".other.h5")
    count = int(np.prod(shape))
    with h5py.File(other, "w") as made:
        made["data"] = np.full(shape, 42, np.float32)
    del file[place]
    if harm == "external storage":
        file.create_dataset(place, shape, np.float32, external=[(str(outside), 0, 4 * count)])
    elif harm == "external link":
        file[place] = h5py.ExternalLink(str(other), "data")
    elif harm == "soft link":
        file[place] = h5py.SoftLink("/elsewhere")
    elif harm == "virtual":
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[...] = h5py.VirtualSource(str(other), "data", shape)
        file.create_virtual_dataset(place, layout)
    elif harm == "shape bomb":
        file.create_dataset(place, (1 << 20, 1 << 20), np.float32, chunks=(1024, 1024))
    elif harm == "compression bomb":
        file.create_dataset(place, (1 << 10, 1 << 17), np.float32, chunks=(1, 1 << 17), compression="gzip", fillvalue=0)
        file[place][0] = 0
    elif harm == "objects":
        file.create_dataset(place, (1,), h5py.ref_dtype)
    elif harm == "cycle":
        file[place + "_group"] = file["/"]
        file[place] = np.zeros(shape, np.float32)


HARMS = ("external storage", "external link", "soft link", "virtual", "shape bomb", "compression bomb", "objects")


def first_weights(file: Any) -> str:
    import h5py

    found: list[str] = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 4:
            found.append(name)

    file.visititems(look)
    return found[0]


@pytest.mark.keras
@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("harm", HARMS)
def test_weights_that_read_elsewhere_or_exhaust_are_refused(keras, small, tmp_path, secret, harm, suffix):
    """Of a model of anybody's."""
    import h5py

    from matlens import load_model

    theirs = tmp_path / f"theirs.{suffix}"
    if suffix == "h5":
        shutil.copy(small["h5"], theirs)
        with h5py.File(theirs, "a") as file:
            tamper(harm, file, first_weights(file), secret)
    else:
        with zipfile.ZipFile(small["keras"]) as archive:
            archive.extractall(tmp_path / "parts")
        with h5py.File(tmp_path / "parts" / "model.weights.h5", "a") as file:
            tamper(harm, file, first_weights(file), secret)
        with zipfile.ZipFile(theirs, "w") as archive:
            for part in (tmp_path / "parts").iterdir():
                archive.write(part, part.name)
    with pytest.raises(ModelError, match=rf"theirs\.{suffix}"):
        load_model(theirs)


@pytest.mark.keras
@pytest.mark.parametrize("harm", HARMS)
def test_our_own_model_files_are_checked_too_before_their_weights_are_taken(keras, small, tmp_path, secret, harm,
                                                                             monkeypatch):
    """A run's folder may come from a stranger; the room's door builds the model itself and takes numbers only."""
    import h5py

    from matlens.models.keras.classifier import KerasClassifier
    from matlens.models.keras.room import KerasRoom
    from matlens.models.protocol import BuildOrder

    model = keras.models.load_model(small["h5"])
    monkeypatch.setattr(KerasRoom, "build", lambda self, order: KerasClassifier(model))
    order = BuildOrder("vgg19_scratch", 3, (SIDE, SIDE))
    shutil.copy(small["h5"], tmp_path / "ours.h5")
    KerasRoom().load(tmp_path / "ours.h5", order)
    before = model.get_weights()
    with h5py.File(tmp_path / "ours.h5", "a") as file:
        tamper(harm, file, first_weights(file), secret)
    with pytest.raises(ModelError, match=r"ours\.h5"):
        KerasRoom().load(tmp_path / "ours.h5", order)
    for ours, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, kept)


@pytest.mark.keras
def test_groups_in_a_circle_end(keras, small, tmp_path, secret):
    """A walk without a memory would not."""
    import h5py

    from matlens.system.untrusted_arrays import check_hdf5

    with h5py.File(shutil.copy(small["h5"], tmp_path / "circle.h5"), "a") as file:
        tamper("cycle", file, first_weights(file), secret)
        check_hdf5(file, (tmp_path / "circle.h5").stat().st_size)


@pytest.mark.keras
@pytest.mark.parametrize(("module", "kind"), [
    ("keras.config", "enable_unsafe_deserialization"), ("keras.utils", "get_file"), ("os", "system"),
    ("keras.src.utils.file_utils", "get_file"), ("keras.saving", "load_model"), ("keras", "Lambda"),
    ("keras.layers", "TFSMLayer"), ("keras.layers", "StringLookup"), ("builtins", "exec"), ("subprocess", "run")])
@pytest.mark.parametrize("as_function", [True, False])
def test_configurations_that_name_code_are_refused_unbuilt(keras, small, tmp_path, canary, module, kind, as_function,
                                                           monkeypatch):
    """As of CVE-2025-1550, CVE-2025-8747, CVE-2025-9906, CVE-2025-12058 and CVE-2026-1462."""
    from matlens import load_model

    monkeypatch.setattr(keras.models, "load_model", lambda *args, **options: canary.touch())
    named = ({"module": module, "class_name": "function", "config": kind, "registered_name": kind} if as_function else
             {"module": module, "class_name": kind, "config": {"vocabulary": "/etc/passwd"}, "registered_name": None})
    with zipfile.ZipFile(small["keras"]) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1]["config"]["activation"] = named
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "theirs.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match=kind):
        load_model(tmp_path / "theirs.keras")
    assert not canary.exists()


@pytest.mark.keras
def test_a_keras_archive_that_is_a_bomb_is_refused(keras, small, tmp_path):
    """By its headers, before a byte of it is unpacked."""
    from matlens import load_model

    with zipfile.ZipFile(small["keras"]) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    bomb(tmp_path / "theirs.keras", {**parts, "assets/zeros": bytes(1 << 20)})
    with pytest.raises(ModelError, match="says to hold"):
        load_model(tmp_path / "theirs.keras")


# Model files of PyTorch


@pytest.mark.torch
@pytest.mark.parametrize("legacy", [True, False])
def test_a_pickle_in_a_pth_is_not_run(torch, tmp_path, canary, legacy):
    """In both formats of torch.save."""
    from matlens import InceptionV1Wrapper

    torch.save({"fc.weight": Harm(canary)}, tmp_path / "theirs.pth", _use_new_zipfile_serialization=not legacy)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harm(canary)))
    ours = InceptionV1Wrapper(3, pretrained=False, device="cpu")
    before = ours.model.fc.weight.detach().clone()
    for name in ("theirs.pth", "plain.pth"):
        with pytest.raises(ModelError, match=name):
            ours.load(tmp_path / name)
    assert not canary.exists()
    assert torch.equal(ours.model.fc.weight, before)


@pytest.mark.torch
def test_a_pth_of_other_sizes_or_a_bomb_is_refused(torch, tmp_path):
    """Before anything is copied into the network."""
    from matlens import InceptionV1Wrapper

    ours = InceptionV1Wrapper(3, pretrained=False, device="cpu")
    ours.save(tmp_path / "whole.pth")
    state = torch.load(tmp_path / "whole.pth", weights_only=True)
    state["conv1.conv.weight"] = torch.zeros(1).expand(1 << 20, 1 << 20)
    torch.save(state, tmp_path / "wide.pth")
    bomb(tmp_path / "bomb.pth", {"archive/data/0": bytes(1 << 20)})
    os.mkfifo(tmp_path / "pipe.pth")
    for name in ("wide.pth", "bomb.pth", "pipe.pth"):
        with pytest.raises(ModelError, match=name):
            ours.load(tmp_path / name)
    ours.load(tmp_path / "whole.pth")


# Names


NAMES = ("<script>document.title='x'</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{ 7 * 7 }}",
         "' onmouseover='alert(1)", "</style><script>x</script>", "\x1b]0;title\x07\x1b[2J", "a\nb\rc")


@pytest.mark.parametrize("name", NAMES)
def test_no_name_does_anything_on_the_page(tmp_path, name):
    """A class, a model, a file, a remark, a setting, a version, a reason: all may come from files of others."""
    suspect = Suspect(f"{name}/1.jpg", name, name, 0.1, 0.9, 0.1, (name,))
    plain = Page(write_report(report_folder(tmp_path / "plain", [results_of("m", classes=("c0", "c1"), remarks=("r",))],
                                       ("c0", "c1"), left_out=1, suspects=(
        Suspect("c0/1.jpg", "c0", "c0", 0.1, 0.9, 0.1, ("m",)),))))
    run = report_folder(tmp_path / "run", [results_of("m", classes=(name, "c1"), remarks=(name,), protocol=name,
                                              versions={name: name})], (name, "c1"), left_out=1, suspects=(suspect,))
    about = json.loads((run / "run.json").read_text())
    about |= {"title": name, "versions": {name: name}, "settings": {name: {name: name}}, "data_root": f"/{name}"}
    (run / "run.json").write_text(json.dumps(about))
    split = json.loads((run / "split.json").read_text())
    split |= {"left_out": [{"path": name, "reason": name}], "protocol": name}
    (run / "split.json").write_text(json.dumps(split))
    safe = name.replace("/", "\u2215")
    (run / "reports" / safe).touch()
    (run / "models").mkdir()
    (run / "models" / safe).touch()
    seen = Page(write_report(run))
    kinds = {tag for tag, _ in seen.tags}
    assert kinds <= {tag for tag, _ in plain.tags}
    assert not [attribute for _, attributes in seen.tags for attribute in attributes if attribute.startswith("on")]
    assert all(link.startswith(("#", "./")) for link in seen.all("href"))
    assert all(source.startswith("data:image/") for source in seen.all("src"))
    assert "{{" not in name or name in seen.text


def test_suspects_outside_of_the_dataset_are_not_shown(tmp_path):
    """Their pictures would carry somebody's other photos away in the report."""
    from PIL import Image

    run, names = tmp_path / "run", ("glass/1.jpg", "../private.jpg", "/x.jpg", "glass/other.jpg")
    for place in (run / "photos" / "glass" / "1.jpg", run / "private.jpg", run / "photos" / "glass" / "other.jpg"):
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(place)
    report_folder(run, [results_of("m")], suspects=tuple(
        Suspect(path, "glass", "wood", 0.1, 0.9, 0.1, ("m",)) for path in names))
    Image.new("RGB", (8, 8), "blue").save(run / "photos" / "glass" / "other.jpg")  # another one than the split's
    pictures = [attributes for tag, attributes in Page(write_report(run)).tags if tag == "img"]
    assert len(pictures) == 4 + 1  # the model's four, and the suspect inside


@pytest.mark.parametrize("name", ["\x1b[2Jx.jpg", "a\nwarning: b.jpg", "\x9b31m.jpg", "\u202egpj.x", "\udcff.jpg"])
def test_names_do_nothing_to_the_terminal(tmp_path, name, capsys):
    """A file name may hold the codes that clear a screen, set its title or turn the text around."""
    path = tmp_path / name
    lines = [line for as_json in (False, True) for line, _ in predict_files(
        Artifact(tmp_path, "m", ("a",), (SIDE, SIDE), 0.0), AskedPhotos.of([path]), as_json=as_json)]
    for line in lines:
        assert line.isprintable()
        line.encode("utf-8")
    assert json.loads(lines[1])["path"] == str(path)
    reporter = Reporter()
    reporter.warn(f"{name} cannot be read")
    reporter.say(f"[bold]{name}")
    out = capsys.readouterr()
    for text in (out.out, out.err):
        assert all(char.isprintable() or char == "\n" for char in text)
    assert "[bold]" in out.out


@pytest.mark.parametrize("name", ["\x1b[2J", "\x9b31m"])
def test_errors_do_nothing_to_the_terminal(matlens, tmp_path, name):
    """They name what the user gave, or what a file gave."""
    code, _, err = matlens("predict", tmp_path / name, tmp_path / "x.jpg")
    assert code == 2
    assert "\x1b[2J" not in err and "\x9b" not in err
    assert ascii(name)[1:-1] in err


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c", "d")])
def test_an_artifact_that_names_other_classes_than_its_head_has_answers_nothing(artifact, names):
    """Its answers would have the names of other classes, or none."""
    import openvino
    from openvino import opset13 as ops

    photos = ops.parameter([-1, SIDE, SIDE, 4], np.float32)  # as many channels as the head takes
    openvino.save_model(openvino.Model([ops.relu(photos)], [photos]), artifact / "trunk.xml", compress_to_fp16=False)
    write_about(artifact, "m", ("a", "b", "c"), (SIDE, SIDE), parity=0.0)
    image = np.zeros((1, SIDE, SIDE, 4), np.float32)
    assert Artifact.open(artifact).predict(image).shape == (1, 3)
    write_about(artifact, "m", names, (SIDE, SIDE), parity=0.0)
    with pytest.raises(ModelError, match=rf"head\.npz.* 3 .* {len(names)}"):
        Artifact.open(artifact).predict(image)
