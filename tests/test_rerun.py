"""A run says of itself what it takes to repeat it, and `matlens rerun` does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matlens.jobs.rerun import _compared, changed_since
from matlens.runs import provenance
from matlens.runs.record import RunRecord

NAME = "mobilenetv2_transfer"


def test_versions_are_those_installed_and_no_framework_is_loaded():
    """To record them must not cost seconds, nor load what the run does without."""
    code = ("import sys; from matlens.runs.provenance import provenance; found = provenance(); import numpy\n"
            "assert found['versions']['numpy'] == numpy.__version__, found\n"
            "assert not {'keras', 'tensorflow', 'torch', 'openvino'} & sys.modules.keys()\n")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_hardware_is_that_of_the_system():
    """By other means than the module's own."""
    found = provenance.hardware()
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert found["memory_bytes"] == pytest.approx(int(total.split()[1]) * 1024, rel=0.01)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
                          text=True, capture_output=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("changed", [False, True])
def test_the_code_is_told_by_its_commit_and_whether_it_was_changed(tmp_path, changed):
    """In a checkout; a result of code that nobody can get again would not be repeatable."""
    package = tmp_path / "src" / "matlens"
    package.parent.mkdir()
    shutil.copytree(Path(provenance.__file__).parents[1], package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "all")
    if changed:
        with (package / "run.py").open("a") as file:
            file.write("# changed\n")
    code = "import json; from matlens.runs.provenance import git_state; print(json.dumps(git_state()))"
    said = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(package.parent)}).stdout
    assert json.loads(said) == {"commit": git(tmp_path, "rev-parse", "HEAD"), "changed": changed}


def test_an_installed_package_inside_of_a_foreign_checkout_has_no_commit(tmp_path):
    """A virtual environment in the user's own repository."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    package = tmp_path / "venv" / "matlens"
    shutil.copytree(Path(provenance.__file__).parents[1], package, ignore=shutil.ignore_patterns("__pycache__"))
    code = ("import json, importlib.metadata as m; from matlens.runs import provenance\n"
            "provenance._noted_by_pip = lambda: None; print(json.dumps(provenance.git_state()))")
    said = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(package.parent)}).stdout
    assert json.loads(said) is None


def test_what_changed_since_is_named():
    """Who gets other figures wants to know where to look."""
    there = json.loads(json.dumps(provenance.provenance()))
    assert changed_since(there) == []
    there["versions"]["numpy"] = "1.0"
    there["hardware"]["cores"] = 999
    there["frameworks"]["mxnet"] = "1.9"
    cores, numpy = provenance.hardware()["cores"], provenance.package_versions()["numpy"]
    assert changed_since(there) == [f"versions numpy: 1.0 there, {numpy} now", "frameworks mxnet: 1.9 there, None now",
                                    f"hardware cores: 999 there, {cores} now"]


@pytest.fixture
def run(drawn, published, kept_trunks, tmp_path, matlens):
    """A run of a head on kept features: no framework is needed. Returns its folder and its cache."""
    cache = Path(shutil.copytree(kept_trunks, tmp_path / "cache"))
    photos = Path(shutil.copytree(drawn, tmp_path / "photos"))
    code, _, err = matlens("run", "--data", photos, "--models", NAME, "--weights-dir", published.parent, "--alpha",
                           "0.35", "--img-size", "64", "--epochs", "2", "--seed", "7", "--out", tmp_path / "run",
                           "--cache-dir", cache, "--deterministic")
    assert code == 0, err
    return tmp_path / "run"


@pytest.fixture
def here(published, tmp_path):
    """The options that say where this user has things, which a recorded run does not decide."""
    return "--weights-dir", published.parent, "--cache-dir", tmp_path / "cache"


@pytest.mark.keras
@pytest.mark.slow
def test_a_run_is_repeated_from_what_it_recorded(run, here, tmp_path, matlens):
    """Settings, photos, split and seed; the results are the same to the last digit."""
    about = json.loads((run / "run.json").read_text())
    split = json.loads((run / "split.json").read_text())
    assert about["split_hash"] == split["hash"]
    assert about["seed"] == about["settings"]["seed"] == 7
    assert about["starts"][0]["hardware"] == provenance.hardware()
    assert set(about["starts"][0]) == {"at", "versions", "frameworks", "hardware", "git", "environment"}
    code, out, err = matlens("rerun", run, "--out", tmp_path / "again", "--strict", *here)
    assert code == 0, (out, err)
    assert f"{NAME}: the same results" in out
    again = json.loads((tmp_path / "again" / "run.json").read_text())
    assert again["settings"] == about["settings"]
    assert again["split_hash"] == about["split_hash"]
    first, second = (json.loads((folder / "reports" / f"{NAME}_results.json").read_text())
                     for folder in (run, tmp_path / "again"))
    assert first["confusion_matrix"] == second["confusion_matrix"]


@pytest.mark.keras
@pytest.mark.slow
def test_what_differs_is_shown(run, here, tmp_path, matlens):
    """A figure that was changed by hand, and a machine that is another."""
    file = run / "reports" / f"{NAME}_results.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "accuracy": 0.123}))
    about = json.loads((run / "run.json").read_text())
    about["starts"][-1]["hardware"]["processor"] = "Z80"
    (run / "run.json").write_text(json.dumps(about))
    code, out, err = matlens("rerun", run, "--out", tmp_path / "again", "--strict", *here)
    assert code == 3
    assert f"{NAME}: accuracy: 0.123 there, {content['accuracy']} here" in out
    assert "hardware processor: Z80 there" in err


@pytest.mark.keras
@pytest.mark.slow
def test_other_photos_are_refused_before_training(run, here, tmp_path, matlens):
    """A repetition on other photos would be none; photos that were moved are said with --data."""
    (tmp_path / "photos").rename(tmp_path / "moved")
    code, _, err = matlens("rerun", run, "--out", tmp_path / "again")
    assert code == 2 and str(tmp_path / "photos") in err and "--data" in err
    victim = next((tmp_path / "moved" / "sky").iterdir())
    content = victim.read_bytes()
    victim.unlink()
    code, _, err = matlens("rerun", run, "--out", tmp_path / "again", "--data", tmp_path / "moved", *here)
    assert code == 2 and "hash of the split" in err
    assert not (tmp_path / "again").exists()
    victim.write_bytes(content)
    code, out, err = matlens("rerun", run, "--out", tmp_path / "again", "--data", tmp_path / "moved", *here)
    assert code == 0 and "the same results" in out, err


def test_a_folder_that_is_no_run_is_named(tmp_path, matlens):
    """And the run's own folder is not run over."""
    code, _, err = matlens("rerun", tmp_path / "nowhere")
    assert code == 2 and "nowhere" in err and "run.json" in err
    code, _, err = matlens("rerun", tmp_path, "--out", tmp_path)
    assert code == 2 and "is the run itself" in err


def test_what_was_measured_in_a_run_afterwards_is_no_difference(small_run, tmp_path):
    """`matlens evaluate --robustness` adds a measurement to the results, and a repetition does not make it again."""
    measured = RunRecord.read(shutil.copytree(small_run, tmp_path / "measured"))
    for name in measured.settings.models:
        file = measured.paths.results_file(name)
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "robustness": {"n_photos": 6}, "faithfulness": {"n_photos": 6}}))
    repetition = _compared(measured, RunRecord.read(small_run), "")
    assert repetition.differences == {}
    assert set(repetition.same) == set(measured.settings.models)
