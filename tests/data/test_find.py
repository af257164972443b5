"""Where datasets are found, the label space that follows from them, and the knobs of MATLENS_CONFIG."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

import matlens
from matlens import create_split, find_dataset
from matlens.cli import main as cli
from matlens.data.source import find
from matlens.data.source import minc as minc_facts
from matlens.errors import DataError, SettingsError
from matlens.notebook import label_space


def photos(folder: Path, number: int = 1) -> Path:
    """So many photos in a folder."""
    folder.mkdir(parents=True)
    for index in range(number):
        Image.new("RGB", (4, 4), (index, number, len(folder.name))).save(folder / f"{index}.png")
    return folder


def minc(root: Path) -> Path:
    """MINC-2500's layout with two photos."""
    for name in ("brick", "wood"):
        photos(root / "images" / name)
    (root / "labels").mkdir()
    for listing in ("train1", "validate1", "test1"):
        (root / "labels" / f"{listing}.txt").write_text("images/brick/0.png\n")
    return root


@pytest.fixture(autouse=True)
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /kaggle of our own, with nothing else on this machine; its input folder."""
    monkeypatch.setattr("matlens.system.ownership.places.KAGGLE_ROOT", tmp_path / "kaggle")
    for name in ("MATLENS_DATA", "MATLENS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(label_space, "_latest", None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "kaggle" / "input").mkdir(parents=True)
    return tmp_path / "kaggle" / "input"


@pytest.mark.parametrize("place", [
    "minc-2500", "datasets/minc2500/minc-2500", "a-copy-by-somebody/minc-2500", "datasets/me/copy/archive/minc-2500",
    "minc2500/minc-2500"])
@pytest.mark.parametrize("beside", ["", "datasets/somebody"])
def test_minc_is_found_wherever_kaggle_mounts_it(kaggle, place, beside):
    """The same notebook is started with the dataset under another slug, and with others beside it."""
    expected = minc(kaggle / place)
    others = kaggle / beside
    for name in ("cats", "dogs"):
        photos(others / "pets" / name, 5)
    for name in ("models/keras.h5", "wheels/matlens-0.1.0-py3-none-any.whl", "torch/hub/googlenet-1378be20.pth"):
        file = others / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"binary")
    assert find_dataset() == expected


def test_without_minc_the_most_photos_win(kaggle):
    """A folder of icons is less likely meant than the dataset."""
    for name in ("icon", "logo"):
        photos(kaggle / "a-icons" / name, 1)
        photos(kaggle / "z-materials" / name, 4)
    assert find_dataset() == kaggle / "z-materials"


def test_a_divided_dataset_is_found_whole(kaggle):
    """train/ alone must not pass for the dataset."""
    for part in ("train", "val", "test"):
        for name in ("brick", "wood"):
            photos(kaggle / "divided" / part / name)
    assert find_dataset() == kaggle / "divided"


def test_nothing_is_none(kaggle):
    """The guide asks for a dataset before it draws one; weights are none."""
    assert find_dataset() is None
    (kaggle / "weights").mkdir()
    (kaggle / "weights" / "resnet.h5").write_bytes(b"binary")
    photos(kaggle / "one-class" / "wood")
    assert find_dataset() is None


def test_a_given_folder_wins(kaggle, tmp_path):
    """Who names a folder means that one, not what lies elsewhere."""
    minc(kaggle / "minc-2500")
    for name in ("brick", "wood"):
        photos(tmp_path / "mine" / name)
    assert find_dataset(tmp_path / "mine") == tmp_path / "mine"
    assert find_dataset(str(tmp_path / "mine")) == tmp_path / "mine"
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        with pytest.raises(DataError, match=name):
            find_dataset(tmp_path / name)


def test_matlens_data_is_searched_too(tmp_path, monkeypatch):
    """For machines that are not Kaggle's."""
    monkeypatch.setenv("MATLENS_DATA", str(tmp_path / "store"))
    expected = minc(tmp_path / "store" / "downloads" / "minc-2500")
    assert find_dataset() == expected


def test_what_fetch_takes_on_kaggle_is_found(kaggle):
    """The input folder is read-only there."""
    expected = minc(kaggle.parent / "tmp" / "minc-2500")
    assert find_dataset() == expected


def test_each_folder_is_read_once(tmp_path, monkeypatch):
    """57,500 photos on a network drive: what was seen is not looked at again, not even to list the photos."""
    for number in range(3):
        for name in ("brick", "wood"):
            photos(tmp_path / "deep" / str(number) / "a" / "b" / name)
    minc(tmp_path / "deep" / "minc-2500" / "minc-2500")
    read: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: read.append(str(folder)) or scandir(folder))
    found = find.find_sources([tmp_path / "deep"])
    assert [source.root.relative_to(tmp_path / "deep").as_posix() for source in found] == [
        "0/a/b", "1/a/b", "2/a/b", "minc-2500/minc-2500"]
    # deep, 3 x (number, a, b, brick, wood), minc-2500 twice, images, its classes, labels
    assert len(read) == len(set(read)) == 1 + 3 * 5 + 2 + 4


def test_links_in_circles_and_unreadable_folders_are_passed_over(tmp_path, monkeypatch):
    """A home folder has both; the dataset beside them must be found, once."""
    root = tmp_path / "home"
    expected = minc(root / "data" / "minc-2500")
    for name in ("up1", "up2", "up3"):
        (root / "data" / name).symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    (root / "second-way").symlink_to(expected)
    (root / "locked").mkdir()
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [source.root.resolve() for source in find.find_sources([root])] == [expected]


def test_huge_trees_have_a_bound(tmp_path, monkeypatch):
    """The upper folders first: what is named near is found, and that more was left is said."""
    for number in range(30):
        (tmp_path / "home" / "a-project" / str(number)).mkdir(parents=True)
    expected = minc(tmp_path / "home" / "z-data" / "minc-2500")
    heard: list[str] = []
    monkeypatch.setattr(find, "_MOST_FOLDERS", 40)
    assert [source.root for source in find.find_sources([tmp_path / "home"], heard.append)] == [expected]
    assert heard == []
    monkeypatch.setattr(find, "_MOST_FOLDERS", 20)
    assert find.find_sources([tmp_path / "home"], heard.append) == []
    assert len(heard) == 1
    assert heard[0].startswith(f"{tmp_path / 'home'} has more than 20 folders; ")


@pytest.mark.parametrize("changed", [False, True])
def test_find_says_whether_it_is_minc_2500_and_whole(tmp_path, monkeypatch, capsys, changed):
    """Figures on a copy with other photos compare with no published ones."""
    root = minc(tmp_path / "minc")
    (root / "labels" / "validate1.txt").write_text("images/wood/0.png\n")
    (root / "labels" / "test1.txt").write_text("")
    for name, value in {"CLASS_NAMES": ("brick", "wood"), "PHOTOS_PER_CLASS": 1, "SPLIT_NUMBERS": (1,), "PART_SIZES":
                        {}, "PARTS": ()}.items():
        monkeypatch.setattr(minc_facts, name, value)
    if changed:
        (root / "images" / "wood" / "0.png").unlink()
    monkeypatch.setattr("sys.argv", ["matlens", "data", "find", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    assert capsys.readouterr().out.splitlines() == ([
        f"{root}: minc, 2 classes, 1 photos, official splits 1; MINC-2500, not whole",
        "  Of each class there should be 1 photos: wood has 0.",
        "  Official split 1 lists photos that are not there: images/wood/0.png."] if changed else [
        f"{root}: minc, 2 classes, 2 photos, official splits 1; MINC-2500, whole"])


def test_find_names_a_folder_that_is_not_there(tmp_path, monkeypatch, capsys):
    """A slip in the path is not an empty folder."""
    monkeypatch.setattr("sys.argv", ["matlens", "data", "find", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "No such folder: " in capsys.readouterr().err


def test_the_label_space_follows_the_split(tmp_path):
    """The guide's NUM_CLASSES goes into every builder; a stale one builds a model of other classes."""
    for name in ("wood", "brick", "sky"):
        photos(tmp_path / "three" / name, 3)
    create_split(tmp_path / "three", tmp_path / "out")
    assert (matlens.CLASS_NAMES, matlens.NUM_CLASSES) == (["brick", "sky", "wood"], 3)
    for name in ("glass", "water"):
        photos(tmp_path / "two" / name, 3)
    create_split(tmp_path / "two", tmp_path / "out2")
    assert (matlens.CLASS_NAMES, matlens.NUM_CLASSES) == (["glass", "water"], 2)
    from matlens import CLASS_NAMES, NUM_CLASSES

    assert (CLASS_NAMES, NUM_CLASSES) == (["glass", "water"], 2)


def test_a_second_notebook_finds_the_split_of_the_first(tmp_path, monkeypatch):
    """A restarted kernel has divided nothing itself: OUTPUT_DIR counts."""
    for name in ("wood", "brick"):
        photos(tmp_path / "two" / name, 3)
    create_split(tmp_path / "two", tmp_path / "out")
    monkeypatch.setattr(label_space, "_latest", None)
    (tmp_path / "matlens.toml").write_text(f"OUTPUT_DIR = '{tmp_path / 'out'}'")
    monkeypatch.setenv("MATLENS_CONFIG", str(tmp_path / "matlens.toml"))
    assert matlens.CLASS_NAMES == ["brick", "wood"]


@pytest.mark.parametrize("name", ["CLASS_NAMES", "NUM_CLASSES"])
def test_before_any_split_the_way_out_is_named(name):
    """An AttributeError would look like a missing function."""
    with pytest.raises(DataError, match=rf"{name}.*create_split\(DATA_DIR, OUTPUT_DIR\)"):
        getattr(matlens, name)


def test_a_settings_file_sets_the_knobs(tmp_path, monkeypatch):
    """One file in place of edits in ten cells; the guide's names and types stay."""
    (tmp_path / "matlens.toml").write_text(
        "IMG_SIZE = 96\nBATCH_SIZE = 8\nSEED = 7\nMAX_EPOCHS = 2\nDATA_DIR = 'photos'\nMODELS_DIR = 'm'\n"
        "REPORTS_DIR = 'r'\nOUTPUT_DIR = 'o'\nDATASET_NAME = 'me/mine'\n")
    monkeypatch.setenv("MATLENS_CONFIG", str(tmp_path / "matlens.toml"))
    found = {name: getattr(matlens, name) for name in (
        "IMG_SIZE", "BATCH_SIZE", "SEED", "MAX_EPOCHS", "DATA_DIR", "MODELS_DIR", "REPORTS_DIR", "OUTPUT_DIR",
        "DATASET_NAME")}
    assert found == {"IMG_SIZE": (96, 96), "BATCH_SIZE": 8, "SEED": 7, "MAX_EPOCHS": 2, "DATA_DIR": Path("photos"),
                     "MODELS_DIR": Path("m"), "REPORTS_DIR": Path("r"), "OUTPUT_DIR": Path("o"),
                     "DATASET_NAME": "me/mine"}


def test_a_settings_file_that_is_wrong_is_named(tmp_path, monkeypatch):
    """Else the defaults would be trained for a night."""
    monkeypatch.setenv("MATLENS_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match=r"none\.toml"):
        _ = matlens.IMG_SIZE
