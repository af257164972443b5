"""Forty mistakes that users make: what the message names, the way out that works when pasted, and the exit code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from builders import tree_hash

DATA, RUN = ("--data", "my photos"), "runs/first run"
PHOTO = "my photos/sky/sky_000001.jpg"

MISTAKES = {
    "a command": (("evalute",), ("'evalute'", "'evaluate'")),
    "a command of data": (("data", "aduit"), ("'aduit'", "'audit'")),
    "an option": (("run", "my photos", "--epoch", 3), ("--epoch", "Did you mean --epochs", "matlens run --help")),
    "an option without its value": (("run", "my photos", "--epochs"), ("--epochs",)),
    "a photo too many": (("evaluate", RUN, PHOTO), (PHOTO,)),
    "no epochs": (("run", "my photos", "--epochs", 0), ("--epochs must be at least 1 (got 0)",)),
    "epochs in words": (("run", "my photos", "--epochs", "many"), ("--epochs", "many")),
    "no epochs in a file": (("run", "my photos", "--config", "zero.toml"), ("max_epochs in zero.toml", "1", "0")),
    "half a photo a step": (("run", "my photos", "--batch-size", "half"), ("--batch-size", "half")),
    "a recipe": (("run", "my photos", "--recipe", "storng"), ("--recipe", "storng", "strong")),
    "small photos": (("run", "my photos", "--img-size", 8), ("--img-size 8", "32", "2048")),
    "a model": (("run", "my photos", "--models", "resnet50"), ("--models", "'resnet50'", "resnet50_transfer")),
    "a network of keras": (("run", "my photos", "--models", "keras/ResNet5"), ("keras/ResNet50",)),
    "an option of a network": (("run", "my photos", "--models", "mobilenetv2_transfer", "--option", "alpah=1"),
                               ("--option", "'alpah'", "did you mean alpha")),
    "a misspelt setting": (("run", "my photos", "--config", "misspelt.toml"),
                           ("IMG_SIZES in misspelt.toml", "img_size")),
    "a broken file": (("run", "my photos", "--config", "broken.toml"), ("broken.toml", "TOML")),
    "a file that is not there": (("run", "my photos", "--config", "none.toml"), ("none.toml",)),
    "no photos": (("run",), ("matlens run PHOTOS",)),
    "no photos in a file": (("run", "--config", "no data.toml"), ("no data.toml", "DATA_DIR")),
    "two datasets": (("run", "my photos", "--data", "minc"), ("my photos", "minc", "matlens run 'my photos'")),
    "a folder": (("run", "my photo"), ("my photo", "'my photos'")),
    "a file for a folder": (("run", PHOTO), (PHOTO, "file")),
    "an empty folder": (("run", "empty"), ("empty",)),
    "loose photos": (("run", "loose"), ("loose", "1 photo in no class folder", "class folder")),
    "a part without classes": (("run", "one part"), ("train", "part", "train/wood/1.jpg")),
    "a class": (("run", "one class"), ("one class only", "wood")),
    "photos of another program": (("run", "heic"), (".raw9", "2 files", ".jpg")),
    "no such split": (("run", "minc", "--protocol", "minc:7", "--weights", "none"), ("minc:7", "minc:1")),
    "weights of several models": (
        ("run", "my photos", "--models", "resnet50_transfer,mobilenetv2_transfer"),
        ("resnet50_transfer", "mobilenetv2_transfer", "resnet50_weights", "mobilenet_v2_weights", "--weights-dir",
         "--weights none")),
    "another's folder": (("run", "my photos", "--out", "minc", "--weights", "none"), ("minc", "--out")),
    "a run": (("evaluate", "runs/frist run"), ("runs/frist run", "'runs/first run'")),
    "photos for a run": (("evaluate", "my photos"), ("my photos", "run.json")),
    "a run that is not trained": (("predict", "runs/unfinished", PHOTO), ("runs/unfinished", "matlens run")),
    "no photos to predict": (("predict", RUN), ("No photos are named",
                                                 "matlens predict 'runs/first run' PHOTO_OR_FOLDER")),
    "photos and no run": (("predict", PHOTO, PHOTO), ("is a file", "matlens predict last")),
    "a folder of weights that is not there": (("run", "my photos", "--weights-dir", "nothere"),
                                              ("--weights-dir nothere", "no such folder")),
    "a library's name": (("models", "kears/*"), ("Did you mean 'keras/*'",)),
    "a run for photos": (("predict", RUN, RUN), ("matlens predict", "'runs/first run'")),
    "a model that the run has not": (("predict", RUN, PHOTO, "--model", "vgg19_scratch"),
                                        ("vgg19_scratch", "inception_v1")),
    "a class of an explanation": (("explain", RUN, "--class", "bleu"), ("--class", "bleu", "Did you mean blue")),
    "a photo that is not there": (("explain", RUN, "none.jpg"), ("none.jpg", "no such file")),
    "a method": (("explain", RUN, "--method", "gradcm"), ("'gradcm'", "gradcam")),
    "photos and a choice among others": (("explain", RUN, PHOTO, "--worst", 3), ("--worst",)),
    "no label shown": (("labels", RUN, "--limit", 0), ("--limit must be at least 1 (got 0)",)),
    "a split that is there": (("data", "split", "minc", "--out", "divided"),
                              ("minc:1", "--new-split", "matlens run minc")),
    "a kind of finding": (("data", "audit", "my photos", "--kind", "blury"), ("--kind", "blury")),
    "a name with blanks and no quotes": (("run", "my", "photos", "--seed", 7), ("matlens run 'my photos' --seed 7",)),
    "a photo before its run": (("predict", PHOTO, RUN), (f"matlens predict 'runs/first run' '{PHOTO}'",)),
    "a pattern that fits no file": (("predict", RUN, "my photos/*.jpx"), ("my photos/*.jpx", "pattern")),
    "a folder to predict": (("predict", RUN, "nowhere/"), ("nowhere", "no such file or folder")),
    "an address": (("predict", RUN, "https://nowhere.invalid/a.jpg"), ("nowhere.invalid/a.jpg", "no connection")),
    "the report by its name": (("report", RUN), ("report.html", "matlens evaluate RUN")),
    "a command of data by itself": (("audit", "my photos"), ("matlens data audit",)),
    "a folder for a settings file": (("run", "my photos", "--config", "my photos"), ("my photos", "folder")),
    "a word of class weights": (("run", "my photos", "--class-weights", "balancd"),
                                ("--class-weights balancd", "no such file", "balanced?")),
    "too few folds": (("run", "my photos", "--protocol", "kfold:2", "--weights", "none"),
                      ("--protocol kfold:2:", "3 to 100")),
    "other settings": (("run", "my photos", "--models", "inception_v1", "--weights", "none", "--epochs", 2, "--out",
                        "runs/unfinished"),
                       ("--epochs: 4 there, 2 now", "matlens run --data", "--out runs/unfinished")),
    "true for a number": (("run", "my photos", "--config", "true.toml"), ("MAX_EPOCHS in true.toml", "number", "True")),
    "a path of Windows": (("run", "--config", "windows.toml"), ("windows.toml", "line 1", "single quotes")),
    "an address for photos": (("run", "https://www.kaggle.com/datasets/a/b"),
                              ("kaggle.com", "address", "matlens data fetch")),
    "a number in words": (("export", RUN, "--int8", "--max-drop", "much"), ("--max-drop must be a number", "much")),
    "a folder to explain": (("explain", RUN, "my photos"), ("my photos is a folder", "'my photos/*.jpg'")),
    "a library's name alone": (("models", "timm"), ("matlens models 'timm/*'",)),
    "the page of a dataset": (("data", "fetch", "https://www.kaggle.com/datasets/some/thing"),
                              ("matlens data fetch some/thing",)),
    "results of a run that is not trained": (("compare", "runs/unfinished"), ("runs/unfinished", "matlens run")),
    "labels of a run that is not trained": (("labels", "runs/unfinished"), ("runs/unfinished", "matlens run")),
    "a picture's ending": (("data", "counts", "my photos", "--png", "counts.jpeg"), ("--png", "counts.jpeg", ".png")),
}
"""What was typed, and what the message must name. All exit with 2."""


def test_these_are_forty():
    assert len(MISTAKES) >= 40


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_reason_and_nothing_is_changed(desk, matlens, mistake):
    """Exit code 2, no traceback, nothing on standard output, and the user's files stay as they are."""
    typed, named = MISTAKES[mistake]
    before = {place: tree_hash(desk / place) for place in ("my photos", "minc", "runs/unfinished")}
    code, out, err = matlens(*typed)
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    for words in named:
        assert words in err, err
    assert {place: tree_hash(desk / place) for place in before} == before
    assert not any((desk / place).exists() for place in ("divided", "counts.jpeg"))


@pytest.fixture
def arrived(monkeypatch):
    """The settings and folders with which runs were begun; nothing is trained."""
    calls = []
    monkeypatch.setattr("matlens.jobs.run.run", lambda settings, out, *others: calls.append((settings, out)))
    return calls


@pytest.mark.parametrize("mistake", ["a run that is not trained", "two datasets", "a split that is there"])
def test_the_command_of_a_message_works_when_it_is_pasted(desk, matlens, arrived, mistake):
    """A folder with a blank in its name is quoted, and what the run was asked for is asked again."""
    pasted = re.search(r"matlens run .*?(?= -- |$)", matlens(*MISTAKES[mistake][0])[2])
    assert pasted
    code, _, err = matlens(*shlex.split(pasted[0])[1:])
    assert code == 0, err
    [(settings, out)] = arrived
    assert settings.data_dir.resolve() == desk / ("minc" if "split" in mistake else "my photos")
    if "trained" in mistake:
        assert (out.resolve(), settings.models) == (desk / "runs" / "unfinished", ("inception_v1",))


@pytest.mark.parametrize("typed", [("run", "my photos"), ("run", *DATA), ("run", "--config", "with data.toml"),
                                   ("run", "my photos", *DATA)])
def test_photos_are_named_in_any_of_these_ways(desk, matlens, arrived, typed):
    assert matlens(*typed)[0] == 0
    assert arrived[0][0].data_dir.resolve() == desk / "my photos"


def test_the_home_folder_is_meant_by_its_sign(desk, matlens, arrived, monkeypatch):
    """Also where a shell leaves it: in --out=~/x and in a settings file."""
    monkeypatch.setenv("HOME", str(desk))
    Path("home.toml").write_text('DATA_DIR = "~/my photos"\nWEIGHTS_DIR = "~/empty"')
    assert matlens("run", "--config=~/home.toml", "--out=~/runs/new")[0] == 0
    settings, out = arrived[0]
    assert (settings.data_dir, settings.weights_dir, out) == (desk / "my photos", desk / "empty", desk / "runs" / "new")
    Path("home.toml").unlink()


def test_last_is_the_newest_run_and_photos_may_be_a_pattern(desk, matlens):
    """`runs/unfinished` was begun last, and holds no model; named runs answer one after the other."""
    assert str(Path("runs/unfinished")) in matlens("evaluate", "last")[2]
    code, out, err = matlens("predict", RUN, f"{RUN}/models/inception_v1.artifact", "my photos/sky/*1.jpg", "--top", 2)
    assert code == 0, err
    lines = [line.split("\t") for line in out.splitlines()]
    assert [Path(line[0]).name for line in lines] == ["sky_000001.jpg", "sky_000011.jpg"] * 2
    assert [line[-1] for line in lines] == ["first run"] * 2 + ["inception_v1.artifact"] * 2
    for line in lines:
        assert float(line[2]) >= float(line[4])


def test_what_runs_differ_in_is_told(desk, matlens, tmp_path, monkeypatch):
    """The table fits the screen, and the page is named."""
    monkeypatch.setenv("COLUMNS", "80")
    import json
    import shutil

    other = Path(shutil.copytree(RUN, tmp_path / "other"))
    content = json.loads((other / "run.json").read_text())
    content["settings"]["seed"] += 1
    (other / "run.json").write_text(json.dumps(content))
    code, out, err = matlens("compare", RUN, other, "--html", tmp_path / "page.html")
    assert code == 0, err
    assert re.search(rf"--seed: {content['seed']} \(first run\), {content['seed'] + 1} \(other\)", out)
    assert str(tmp_path / "page.html") in out.replace("\n", "")
    assert "--seed" in (tmp_path / "page.html").read_text()
    code, out, _ = matlens("compare", RUN)
    assert "differs" not in out


@pytest.mark.parametrize("typed", [("--groups", "nofile.csv"), ("--protocol", "minc:1"), ("--out", "runs/first run")])
def test_a_mistake_is_named_before_weights_are_looked_for(desk, matlens, monkeypatch, typed):
    """Who has no network heard of missing weights first, found them, and then heard of the mistake."""
    monkeypatch.setattr("matlens.jobs.run.find_weights", lambda *_, **__: pytest.fail("looked for weights"))
    code, _, err = matlens("run", "my photos", "--models", "mobilenetv2_transfer", *typed)
    assert code == 2
    assert typed[1] in err
