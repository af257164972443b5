"""A trained model whose export differs, or cannot be made: it is kept, its framework predicts, and it can be mended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from faulty import SIDE, Shell, read, run_words

SKEWED, REFUSING = "acme/skewed", "acme/refusing"

pytestmark = [pytest.mark.slow, pytest.mark.torch]


@pytest.fixture(scope="module")
def shell(torch, tmp_path_factory) -> Shell:
    return Shell(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def finished(shell, drawn, tmp_path_factory) -> Path:
    """A run of two models whose exports fail in two ways, and one without a fault."""
    out = tmp_path_factory.mktemp("marked") / "run"
    done = shell(*run_words(drawn, out, f"acme/sound,{SKEWED},{REFUSING}"))
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stderr.split())
    assert f"{SKEWED}: the exported acme/skewed differs from its framework by" in said
    assert "allowed: 0.0001" in said
    assert "there is no such operation" in said
    for name in (SKEWED, REFUSING):
        assert f"matlens export {out} --models {name} --device cpu" in said
    return out


@pytest.fixture
def marked(finished, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def predicted(run: Path, stem: str) -> np.ndarray:
    with np.load(run / "reports" / f"{stem}_predictions.npz") as file:
        return file["probabilities"]


def own_answers(run: Path, name: str, photos: np.ndarray) -> np.ndarray:
    """What the model file alone computes, in plain PyTorch: the network of the plug-in, without its fault."""
    import torch

    stem = name.replace("/", "-")
    weights = torch.load(run / "models" / f"{stem}.pth", weights_only=True)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    maps = (torch.from_numpy(photos).permute(0, 3, 1, 2) - mean) / deviation
    with torch.inference_mode():
        for part in ("stem.0.0", "stem.1.0", "last.0"):
            kernel, bias = weights[f"{part}.weight"], weights[f"{part}.bias"]
            maps = torch.relu(torch.nn.functional.conv2d(maps, kernel, bias, stride=2, padding=1))
        logits = maps.mean((2, 3)) @ weights["classify.1.weight"].T + weights["classify.1.bias"]
        return torch.softmax(logits, 1).numpy()


def test_nothing_of_a_trained_model_is_lost(finished):
    """Hours of training were thrown away for a difference in the fourth digit."""
    for stem, sums in (("acme-skewed", {"trunk.xml", "trunk.bin", "head.npz"}), ("acme-refusing", {"head.npz"})):
        about = read(finished / "models" / f"{stem}.artifact" / "artifact.json")
        assert about["sha256"].keys() == sums
        assert about["unconfirmed"]
        assert (finished / "models" / f"{stem}.pth").exists()
        training = read(finished / "reports" / f"{stem}_training.json")
        assert (training["epochs"], training["predicted_by"]) == (1, "framework")
    assert read(finished / "models" / "acme-skewed.artifact" / "artifact.json")["parity"] > 1e-4
    assert read(finished / "models" / "acme-refusing.artifact" / "artifact.json")["parity"] is None
    sound = read(finished / "models" / "acme-sound.artifact" / "artifact.json")
    assert "unconfirmed" not in sound and sound["parity"] <= 1e-4
    assert "predicted_by" not in read(finished / "reports" / "acme-sound_training.json")


@pytest.mark.parametrize("name", [SKEWED, REFUSING])
def test_what_is_reported_is_what_the_trained_network_answers(finished, name):
    """Figures of a wrong export would be those of no model at all."""
    from matlens.data.batches import read_photos
    from matlens.data.split.splits import Split

    test_photos = Split.read(finished / "split.json").part("test")
    root = Path(read(finished / "run.json")["data_root"])
    photos = np.concatenate(list(read_photos(root, test_photos, (SIDE, SIDE))))
    np.testing.assert_allclose(predicted(finished, name.replace("/", "-")), own_answers(finished, name, photos),
                               atol=1e-5)


def test_results_table_and_page_say_so(finished):
    """Whoever reads them must know, and must be told how to look into it."""
    for stem, words in (("acme-skewed", "differs from its framework by"), ("acme-refusing", "could not be converted")):
        remark, = [remark for remark in read(finished / "reports" / f"{stem}_results.json")["remarks"]
                   if words in remark]
        assert "its own framework predicts" in remark
        assert "matlens export" in remark
    page = " ".join((finished / "report.html").read_text("utf-8").split())
    assert page.count("its own framework predicts") >= 2
    assert "framework predicts" in (finished / "reports" / "model_comparison.md").read_text("utf-8")
    assert not [remark for remark in read(finished / "reports" / "acme-sound_results.json")["remarks"]
                if "framework" in remark]


def test_the_same_command_trains_nothing_again(finished, marked, shell, drawn):
    """The mark is no reason to pay twice."""
    before = (marked / "models" / "acme-skewed.pth").stat().st_mtime_ns
    done = shell(*run_words(drawn, marked, f"acme/sound,{SKEWED},{REFUSING}"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("already trained") == 3
    assert (marked / "models" / "acme-skewed.pth").stat().st_mtime_ns == before


def test_commands_work_with_the_framework_meanwhile(marked, shell, drawn):
    """Evaluate, explain and predict of a run with a marked artifact."""
    results = read(marked / "reports" / "acme-skewed_results.json")
    for path in (marked / "reports").glob("acme-skewed_*.np?"):
        path.unlink()
    done = shell("evaluate", marked, "--models", SKEWED)
    assert done.returncode == 0, done.stderr
    again = read(marked / "reports" / "acme-skewed_results.json")
    assert [again[key] for key in ("accuracy", "log_loss", "confusion_matrix")] == [
        results[key] for key in ("accuracy", "log_loss", "confusion_matrix")]
    done = shell("explain", marked, "--models", f"{SKEWED},{REFUSING}", "--method", "hirescam")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2
    photo = drawn / "sky" / "sky_000001.jpg"
    done = shell("predict", marked, photo, "--model", SKEWED, "--json", "--raw")
    assert done.returncode == 0, done.stderr
    assert "its own framework predicts" in done.stderr
    from matlens.data.pixels.reader import PhotoReader

    pixels = PhotoReader((SIDE, SIDE)).read(photo)[None].astype(np.float32) / 255
    np.testing.assert_allclose(list(json.loads(done.stdout)["probabilities"].values()),
                               own_answers(marked, SKEWED, pixels)[0], atol=1e-5)


def test_a_marked_artifact_alone_is_refused(finished, shell, drawn):
    """It has no framework beside it, and its own answers are wrong."""
    folder = finished / "models" / "acme-skewed.artifact"
    done = shell("predict", folder, drawn / "sky" / "sky_000001.jpg")
    assert done.returncode == 2
    assert "differs from its framework" in done.stderr
    assert "matlens export" in done.stderr
    done = shell("export", finished, "--int8", "--models", SKEWED)
    assert done.returncode == 2
    assert "differs from its framework" in done.stderr


def test_an_export_that_fails_again_says_so_and_changes_nothing(marked, shell):
    """The command that the remark names."""
    before = (marked / "models" / "acme-skewed.artifact" / "artifact.json").read_bytes()
    done = shell("export", marked, "--models", SKEWED, "--device", "cpu")
    assert done.returncode == 2
    assert "differs from its framework by" in done.stderr
    assert (marked / "models" / "acme-skewed.artifact" / "artifact.json").read_bytes() == before


@pytest.mark.parametrize("name", [SKEWED, REFUSING])
def test_an_artifact_that_is_mended_takes_over(marked, shell, name):
    """With another version of a package, or on another device, the export may agree: predictions then are its own, and
    the remark goes."""
    stem = name.replace("/", "-")
    done = shell("export", marked, "--models", name, "--device", "cpu", faults=False)
    assert done.returncode == 0, done.stderr
    assert f"matlens evaluate {marked} --models {name}" in " ".join(done.stdout.split())
    assert "unconfirmed" not in read(marked / "models" / f"{stem}.artifact" / "artifact.json")
    framework = predicted(marked, stem)
    (marked / "models" / f"{stem}.pth").write_bytes(b"")  # nothing but the artifact is left to predict with
    saved = marked / "reports" / f"{stem}_predictions.npz"
    saved.write_bytes(b"")  # what the framework answered is of no use any more
    done = shell("evaluate", marked, "--models", name, faults=False)
    assert done.returncode == 0, done.stderr
    assert read(marked / "reports" / f"{stem}_training.json")["predicted_by"] == "artifact"
    assert not [remark for remark in read(marked / "reports" / f"{stem}_results.json")["remarks"]
                if "framework predicts" in remark]
    np.testing.assert_allclose(predicted(marked, stem), framework, atol=1e-4)
