"""Bad input: one clear message, the right exit code, and nothing of the user's changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from matlens import cli
from matlens.models import weights
from test_main_job import tree_hash


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(drawn, tmp_path / "photos"))


@pytest.fixture
def matlens(tmp_path, monkeypatch, capsys):
    """Run the command line here; no network, no weights. Returns (exit code, standard error)."""
    def refuse(*arguments: object) -> Path:
        raise ConnectionError("no network")

    monkeypatch.setattr(weights, "_download", refuse)
    for name in ("KERAS_HOME", "TORCH_HOME", "MATLENS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "caches" / name))

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["matlens", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out = capsys.readouterr()
        assert "Traceback" not in out.err + out.out
        return int(stopped.value.code or 0), " ".join(out.err.replace("│", " ").split())

    return run


def run_refused(matlens, photos: Path, out: Path, *options: object) -> str:
    before = tree_hash(photos) if photos.is_dir() else ""
    code, message = matlens("run", "--data", photos, "--out", out, "--weights", "none", *options)
    assert code == 2, message
    assert (tree_hash(photos) if photos.is_dir() else "") == before
    assert not out.exists()
    return message


@pytest.mark.parametrize(("options", "named"), [
    (("--models", "resnet"), "unknown model 'resnet'; choose from vgg19_scratch"),
    (("--protocol", "kfold"), "protocol"),
    (("--protocol", "minc:9"), "minc:9 needs MINC-2500's layout"),
    (("--protocol", "prepared"), "prepared needs the folders train/"),
    (("--img-size", 16), "32 to 2048"),
    (("--batch-size", 0), "batch_size"),
    (("--epochs", 0), "max_epochs"),
    (("--config", "no.toml"), "no.toml"),
])
def test_impossible_options_are_named(matlens, photos, tmp_path, options, named):
    """Before anything is read or trained."""
    assert named in run_refused(matlens, photos, tmp_path / "out", *options)


def test_settings_files_are_checked_by_name(matlens, photos, tmp_path):
    """A misspelt key must not be passed over in silence."""
    file = tmp_path / "matlens.toml"
    file.write_text("IMG_SIZES = 3")
    assert "img_sizes" in run_refused(matlens, photos, tmp_path / "out", "--config", file)
    file.write_text("IMG_SIZE = [")
    assert "not valid TOML" in run_refused(matlens, photos, tmp_path / "out", "--config", file)


def test_folders_without_a_dataset(matlens, photos, tmp_path):
    """Missing, empty, a file, a single class."""
    (tmp_path / "empty").mkdir()
    for folder, named in ((tmp_path / "nowhere", "No such folder"), (tmp_path / "empty", "No photos found"),
                          (photos / "sky" / "sky_000001.jpg", "is a file")):
        assert named in run_refused(matlens, folder, tmp_path / "out")
    for name in ("brick", "foliage", "sky"):
        shutil.rmtree(photos / name)
    assert "one class only (wood)" in run_refused(matlens, photos, tmp_path / "out")


def test_classes_that_cannot_be_divided_are_named(matlens, photos, tmp_path):
    """Too few photos, none that can be read, an empty folder."""
    (photos / "glass").mkdir()
    assert "'glass' has 0" in run_refused(matlens, photos, tmp_path / "out")
    for number in range(5):
        (photos / "glass" / f"{number}.jpg").write_text("text")
    message = run_refused(matlens, photos, tmp_path / "out")
    assert "'glass' has 0" in message
    assert "glass/0.jpg (not an image)" in message
    shutil.copy(photos / "sky" / "sky_000001.jpg", photos / "glass")
    assert "'glass' has 1" in run_refused(matlens, photos, tmp_path / "out")


def test_missing_weights_are_named_with_both_ways_out(matlens, photos, tmp_path):
    """Before any training; nobody should hear of it after an hour."""
    code, message = matlens("run", "--data", photos, "--out", tmp_path / "out", "--models",
                            "vgg19_scratch,resnet50_transfer")
    assert code == 2
    for part in ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "--weights-dir", "--weights none", "network",
                 str(tmp_path / "caches" / "KERAS_HOME")):
        assert part in message
    assert not (tmp_path / "out").exists()


def test_an_output_folder_with_other_things_is_left_alone(matlens, photos, tmp_path):
    """Nobody's files are overwritten."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("three years of work")
    code, message = matlens("run", "--data", photos, "--out", out, "--weights", "none")
    assert (code, [path.name for path in out.iterdir()]) == (2, ["thesis.txt"])
    assert "not the folder of a run" in message


@pytest.mark.parametrize("command", [("evaluate",), ("explain",), ("compare",), ("export",), ("predict",)])
def test_folders_that_are_no_run_are_refused(matlens, drawn, command):
    """A dataset in place of a run is an easy slip."""
    photo = [drawn / "sky" / "sky_000001.jpg"] if command == ("predict",) else []
    code, message = matlens(*command, drawn, *photo)
    assert code == 2
    assert "not the folder of a run" in message


def test_drawing_and_splitting_never_overwrite(matlens, photos, tmp_path):
    """A folder that holds something stays as it is."""
    before = tree_hash(photos)
    assert matlens("data", "draw", photos)[0] == 2
    assert matlens("data", "split", photos, "--out", tmp_path / "split")[0] == 0
    made = tree_hash(tmp_path / "split")
    assert matlens("data", "split", photos, "--out", tmp_path / "split")[0] == 0
    code, message = matlens("data", "split", photos, "--out", tmp_path / "split", "--seed", 7)
    assert code == 2
    assert "seed: 42 there, 7 asked for" in message
    assert (tree_hash(tmp_path / "split"), tree_hash(photos)) == (made, before)
    (tmp_path / "split" / "split.json").unlink()
    assert "unfinished" in matlens("data", "split", photos, "--out", tmp_path / "split")[1]


def test_audit_names_broken_files_and_is_strict_on_request(matlens, photos):
    """Exit code 3 is what a script asks for."""
    assert matlens("data", "audit", photos, "--strict")[0] == 0
    (photos / "sky" / "zero.png").touch()
    assert matlens("data", "audit", photos)[0] == 0
    assert matlens("data", "audit", photos, "--strict")[0] == 3
