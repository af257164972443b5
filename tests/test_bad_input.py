"""Bad input: one clear message, the right exit code, and nothing of the user's changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builders import tree_hash
from matlens.cli import main as cli
from matlens.models import weights


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
    (("--models", "resnet"), "'resnet'. Did you mean resnet50_transfer?"),
    (("--models", "EfficientNetV2B0"), "keras/EfficientNetV2B0"),
    (("--models", "keras/ResNet5"), "keras/ResNet50"),
    (("--models", "keras/Nothing*"), "'keras/Nothing*'"),
    (("--models", "keras/*"), "40 models"),
    (("--models", "resnet50_transfer", "--option", "keras/Xceptoin.alpha=1"), "keras/Xception"),
    (("--protocol", "kfold"), "protocol"),
    (("--protocol", "minc:9"), "minc:9 needs MINC-2500's layout"),
    (("--protocol", "prepared"), "prepared needs the folders train/"),
    (("--img-size", 16), "32 to 2048"),
    (("--batch-size", 0), "--batch-size must be at least 1 (got 0)"),
    (("--epochs", 0), "--epochs must be at least 1 (got 0)"),
    (("--config", "no.toml"), "no.toml"),
    (("--img-size", 4096), "--img-size 4096"),
    (("--batch-size", -3), "--batch-size"),
    (("--seed", -1), "seed"),
    (("--alpha", 0), "alpha"),
    (("--models", ""), "no model"), (("--models", ",,"), "no model"),
    (("--weights", "some"), "weights"),
    (("--weights-dir", "nowhere", "--protocol", "minc:0"), "minc:0"),
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


def test_two_photos_cannot_be_in_three_parts(matlens, photos, tmp_path):
    """The class is named, so that one knows which folder to fill."""
    for path in sorted((photos / "wood").iterdir())[2:]:
        path.unlink()
    assert "'wood' has 2 readable photos" in run_refused(matlens, photos, tmp_path / "out")


def test_a_class_missing_in_a_part_is_named(matlens, photos, tmp_path):
    """The guide's gotcha: a class in train/ that test/ lacks would make metrics of another set of classes."""
    divided = tmp_path / "divided"
    for number, part in enumerate(("train", "val", "test")):
        for name in ("brick", "sky"):
            (divided / part / name).mkdir(parents=True)
            shutil.copy(photos / name / f"{name}_00000{number + 1}.jpg", divided / part / name)
    (divided / "test" / "sky" / "sky_000003.jpg").unlink()
    message = run_refused(matlens, divided, tmp_path / "out")
    assert "none for 'sky' in test" in message
    assert "--protocol random" in message


def test_an_official_split_that_is_not_there_is_named_with_those_that_are(matlens, photos, tmp_path):
    """minc:9 after minc:1 is a slip of the finger."""
    root = tmp_path / "minc"
    shutil.copytree(photos, root / "images")
    (root / "labels").mkdir()
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    for number, part in enumerate(("train", "validate", "test")):
        (root / "labels" / f"{part}1.txt").write_text("\n".join(paths[number::3]))
    message = run_refused(matlens, root, tmp_path / "out", "--protocol", "minc:9")
    assert "minc:9; there are: minc:1" in message
    (root / "labels" / "test1.txt").write_text("images/../../secret.jpg")
    message = run_refused(matlens, root, tmp_path / "out")
    assert "test1.txt" in message
    assert "images/../../secret.jpg" in message


def test_settings_of_the_wrong_kind_are_named(matlens, photos, tmp_path):
    """A number where names belong is the user's slip, not a defect of matlens."""
    file = tmp_path / "matlens.toml"
    for line, named in (("MODELS = 3", "models"), ("MODELS = [[1]]", "models"), ('IMG_SIZE = "large"', "img_size"),
                        ("EPOCHS_OF = 3", "epochs_of"), ("DATA_DIR = 5\nBATCH_SIZE = 'x'", "batch_size"),
                        ("DATASET_NAME = 1", "dataset_name")):
        file.write_text(line)
        assert named in run_refused(matlens, photos, tmp_path / "out", "--config", file).lower()
    file.write_bytes(b"SEED = '\xff'")
    assert "not valid TOML" in run_refused(matlens, photos, tmp_path / "out", "--config", file)
    assert str(tmp_path) in run_refused(matlens, photos, tmp_path / "out", "--config", tmp_path)


def test_a_run_with_other_settings_or_photos_is_left_alone(matlens, photos, drawn, tmp_path, monkeypatch):
    """Results of two runs must not be mixed in one folder; the message says what differs."""
    monkeypatch.setattr("matlens.jobs.run.train", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    start = ("--out", tmp_path / "out", "--weights", "none", "--models", "vgg19_scratch", "--img-size", 32)
    assert matlens("run", "--data", photos, *start)[0] == 130
    before = tree_hash(tmp_path / "out")
    for data, options, named in ((photos, ("--seed", 7), "seed: 42 there, 7 now"),
                                 (photos, ("--batch-size", 8), "--batch-size: 64 there, 8 now"),
                                 (drawn, (), "photos: ")):
        code, message = matlens("run", "--data", data, *start, *options)
        assert code == 2
        assert named in message
    next((photos / "sky").iterdir()).unlink()
    code, message = matlens("run", "--data", photos, *start)
    assert (code, "split.json differs" in message) == (2, True)
    assert tree_hash(tmp_path / "out") == before
    for command in ("evaluate", "explain", "compare"):
        code, message = matlens(command, tmp_path / "out")
        assert code == 2
        assert "no trained model yet" in message or "no results yet" in message


def test_output_and_cache_folders_that_cannot_be_made_are_named(matlens, photos, tmp_path):
    """A file in the way of a folder: the message says which option helps."""
    (tmp_path / "file").write_text("mine")
    common = ("--data", photos, "--weights", "none", "--models", "vgg19_scratch")
    for arguments, named in ((("run", *common, "--out", tmp_path / "file"), "--out"),
                             (("run", *common, "--out", tmp_path / "file" / "out"), "--out"),
                             (("run", *common, "--out", tmp_path / "out", "--cache-dir", tmp_path / "file"),
                              "--cache-dir"),
                             (("data", "split", photos, "--out", tmp_path / "file"), "Cannot write"),
                             (("data", "draw", tmp_path / "file"), "not an empty folder"),
                             (("data", "draw", tmp_path / "file" / "photos"), "Cannot write")):
        code, message = matlens(*arguments)
        assert code == 2, message
        assert named in message
        assert str(tmp_path / "file") in message
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_shares_that_do_not_sum_to_one_are_refused(matlens, photos, tmp_path):
    """The guide: they must sum to 1."""
    code, message = matlens("data", "split", photos, "--out", tmp_path / "split", "--train", 0.9)
    assert code == 2
    assert "sum 1.2" in message
    assert not (tmp_path / "split").exists()


def test_force_never_removes_the_photos_that_are_divided(matlens, photos):
    """Out into the dataset itself: with --force this would replace its folders."""
    before = tree_hash(photos)
    code, message = matlens("data", "split", photos, "--out", photos, "--force")
    assert code == 2
    assert "lies among the photos" in message
    assert tree_hash(photos) == before


@pytest.mark.parametrize("command", ["find", "audit", "counts", "split"])
def test_data_commands_name_a_folder_without_photos(matlens, tmp_path, command):
    """Each of them, and none changes anything."""
    (tmp_path / "empty").mkdir()
    out = ("--out", tmp_path / "split") if command == "split" else ()
    for folder in ("empty", "nowhere"):
        code, message = matlens("data", command, tmp_path / folder, *out)
        assert code == 2
        assert ("No dataset found" if (command, folder) == ("find", "empty") else str(tmp_path / folder)) in message
    assert not (tmp_path / "split").exists()
    assert not (tmp_path / "nowhere").exists()


def test_the_real_console_keeps_tracebacks_away(cli, tmp_path):
    """As a person starts it: the message on standard error, nothing on standard output, exit code 2."""
    done = cli("run", "--data", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert str(tmp_path / "nowhere") in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
