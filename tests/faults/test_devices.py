"""A GPU that is not there, does not compute, is full, or disappears: one clear message, and the other models go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty import Shell, read, run_words

pytestmark = [pytest.mark.slow, pytest.mark.torch]

NO_KERNELS = "CUDA error: no kernel image is available for execution on the device"


@pytest.fixture(scope="module")
def shell(torch, tmp_path_factory) -> Shell:
    return Shell(tmp_path_factory.mktemp("cache"))


def test_a_card_that_fails_ends_its_model_alone(shell: Shell, drawn: Path, tmp_path: Path) -> None:
    """Four cards' worth of trouble in one run: what is finished stays, and the same command goes on."""
    out, models = tmp_path / "run", ("acme/full", "acme/lost", "acme/aborting", "acme/sound")
    words = run_words(drawn, out, ",".join(models))
    done = shell(*words)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1, said
    assert "3 of 4 models failed (acme/full, acme/lost, acme/aborting)" in said
    failures = read(out / "run.json")["failures"]
    assert failures.keys() == {"acme/full", "acme/lost", "acme/aborting"}
    assert "too little memory to train on a single photo" in failures["acme/full"]
    assert "--img-size" in failures["acme/full"]
    for name, fact in (("acme/lost", "unspecified launch failure"), ("acme/aborting", "SIGABRT")):
        for words_of in ("stopped working", fact, "nvidia-smi", "same command", "--device cpu"):
            assert words_of in failures[name], failures[name]
        assert "Traceback" not in failures[name]
    assert read(out / "reports" / "acme-sound_results.json")["n_test"] > 0
    assert "acme/lost" in (out / "report.html").read_text("utf-8")
    again = shell(*words, faults=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("already trained") == 1
    for name in models:
        assert (out / "reports" / f"{name.replace('/', '-')}_results.json").exists()


def test_auto_trains_on_the_cpu_and_says_why(shell: Shell, drawn: Path, tmp_path: Path) -> None:
    """A P100 on Kaggle: PyTorch lists it, and the first kernel fails."""
    out = tmp_path / "run"
    done = shell(*run_words(drawn, out, "acme/sound"), preflight=NO_KERNELS)
    assert done.returncode == 0, done.stderr
    for place in (" ".join(done.stderr.split()), *read(out / "reports" / "acme-sound_training.json")["remarks"][-1:],
                  " ".join(read(out / "reports" / "acme-sound_results.json")["remarks"]),
                  " ".join((out / "report.html").read_text("utf-8").split())):
        assert "cuda:0 (Tesla P100, compute capability 6.0)" in place
        assert "The CPU is used instead" in place
    assert read(out / "reports" / "acme-sound_training.json")["device"] == "cpu"
    remarks = read(out / "reports" / "acme-sound_results.json")["remarks"]
    assert len([remark for remark in remarks if remark.startswith("trained on cpu: ")]) == 1


def test_a_named_gpu_that_fails_is_not_replaced_and_another_device_goes_on(shell: Shell, drawn: Path, tmp_path: Path,
                                                                           ) -> None:
    """Who names a card wants to know before photos are read; the same command with another device is then right."""
    out = tmp_path / "run"
    words = run_words(drawn, out, "acme/sound")
    done = shell(*words, "--device", "cuda", preflight=NO_KERNELS)
    assert done.returncode == 2
    assert "--device cuda: PyTorch was built without kernels for cuda:0" in " ".join(done.stderr.split())
    assert not (out / "run.json").exists()
    done = shell(*words, "--device", "cpu", preflight=NO_KERNELS)
    assert done.returncode == 0, done.stderr
    assert not read(out / "run.json").get("failures")
    assert not [remark for remark in read(out / "reports" / "acme-sound_results.json")["remarks"] if "cuda" in remark]


@pytest.mark.parametrize(("visible", "device"), [(None, "cuda"), ("", "cuda"), ("9", "cuda:0"), (None, "mps")])
def test_a_device_that_is_not_there_is_named(shell: Shell, drawn: Path, tmp_path: Path, visible: str | None,
                                             device: str) -> None:
    """On a machine without a GPU, or with one that CUDA_VISIBLE_DEVICES hides."""
    out = tmp_path / "run"
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    done = shell(*run_words(drawn, out, "acme/sound"), "--device", device, **environment)
    assert done.returncode == 2
    assert device in done.stderr
    assert "cpu" in done.stderr and "Traceback" not in done.stderr
    assert "photos of" not in done.stdout
    assert not (out / "run.json").exists()


def test_a_trunk_that_differs_is_done_without(torch, shell: Shell, drawn: Path, tmp_path: Path) -> None:
    """It was an error that asked for another option; now the run takes the slower way by itself, and says so."""
    weights = {}
    shapes = {"stem.0.0": (8, 3, 3, 3), "stem.1.0": (16, 8, 3, 3), "last.0": (32, 16, 3, 3), "classify.1": (4, 32)}
    generator = torch.Generator().manual_seed(1)
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * 0.2
        weights[f"{name}.bias"] = torch.zeros(shape[0])
    torch.save(weights, tmp_path / "faulty.pth")
    out = tmp_path / "run"
    words = run_words(drawn, out, "acme/skewed", "--weights-dir", tmp_path, "--recipe", "strong")
    done = shell(*words)
    said = " ".join(done.stderr.split())
    assert done.returncode == 0, said
    assert "The converted trunk of acme/skewed differs from its framework by" in said
    assert "the slower way" in said
    training = read(out / "reports" / "acme-skewed_training.json")
    assert (training["cut"], training["features_key"], training["views"]) == ("fault", None, None)
    remarks = read(out / "reports" / "acme-skewed_results.json")["remarks"]
    assert [remark for remark in remarks if "without cached features" in remark]
    assert [remark for remark in remarks if "its own framework predicts" in remark]
    again = shell(*words)
    assert again.returncode == 0, again.stderr
    assert "already trained" in again.stdout
