"""create_split: copies into train/, val/ and test/ that lose no photo, neither of the source nor of the copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from planted import contents

from matlens import create_split
from matlens.data.source.sources import PARTS, open_source
from matlens.data.split.splits import Split, make_split
from matlens.errors import DataError, SettingsError
from matlens.notebook import prepared as module


def photo(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (number, 0, 0)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of ten and of three photos."""
    for number in range(13):
        photo(tmp_path / "photos" / ("wood" if number < 10 else "brick") / f"{number}.png", number)
    return tmp_path / "photos"


def test_every_photo_is_copied_once_and_the_source_stays(photos, tmp_path):
    """Sizes by hand: 10 give 7, 2, 1 (largest remainders) and 3 give one each."""
    before = contents(photos)
    split = create_split(photos, tmp_path / "out")
    assert split.counts() == {"train": {"brick": 1, "wood": 7}, "val": {"brick": 1, "wood": 2},
                              "test": {"brick": 1, "wood": 1}}
    made = contents(tmp_path / "out")
    del made["split.json"]
    assert {name.split("/", 1)[1]: data for name, data in made.items()} == before == contents(photos)
    assert len(made) == 13
    for part in PARTS:
        assert {name.split("/", 1)[1] for name in made if name.startswith(part)} == {
            chosen.path for chosen in split.part(part)}
    assert Split.read(tmp_path / "out" / "split.json") == split


def test_the_result_is_a_dataset_that_matlens_takes(photos, tmp_path):
    """What the guide's second step leaves is what its third step reads."""
    create_split(photos, tmp_path / "out")
    source = open_source(tmp_path / "out")
    assert (source.layout, source.class_names) == ("prepared", ("brick", "wood"))
    made = make_split(source, "prepared", {chosen.path: chosen.path for chosen in source.photos}, {})
    assert sum(made.counts()["train"].values()) == 8


def test_a_second_call_keeps_what_is_there(photos, tmp_path, monkeypatch):
    """Running a notebook's cell again must not copy 57,500 photos again."""
    first = create_split(photos, tmp_path / "out")
    monkeypatch.setattr(module.shutil, "copyfile", lambda *a: pytest.fail("copied again"))
    assert create_split(photos, tmp_path / "out") == first


@pytest.mark.parametrize(("options", "named"), [({"seed": 7}, "seed: 42 there, 7 asked for"), (
    {"train_ratio": 0.5, "val_ratio": 0.25, "test_ratio": 0.25}, "ratios")])
def test_another_split_is_refused_by_what_differs_and_replaced_by_force(photos, tmp_path, options, named):
    """Nobody should lose the split that their results stand on without saying so."""
    create_split(photos, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match=named) as caught:
        create_split(photos, tmp_path / "out", **options)
    assert "force" in str(caught.value)
    assert contents(tmp_path / "out") == before
    split = create_split(photos, tmp_path / "out", **options, force=True)
    assert Split.read(tmp_path / "out" / "split.json") == split
    assert len(contents(tmp_path / "out")) == 14


def test_a_lost_file_is_noticed(photos, tmp_path):
    """A split that is short of a photo must not pass for the whole."""
    create_split(photos, tmp_path / "out")
    next((tmp_path / "out" / "train" / "wood").iterdir()).unlink()
    with pytest.raises(DataError, match=r"not whole.*force"):
        create_split(photos, tmp_path / "out")
    create_split(photos, tmp_path / "out", force=True)
    assert len(contents(tmp_path / "out")) == 14


def test_an_interrupted_split_is_no_split(photos, tmp_path, monkeypatch):
    """Ctrl-C in the midst of copying: no manifest, and the next call says so."""
    copied = []

    def copy(source: Path, target: Path) -> None:
        if len(copied) == 9:
            raise KeyboardInterrupt
        copied.append(target.write_bytes(source.read_bytes()))

    monkeypatch.setattr(module.shutil, "copyfile", copy)
    with pytest.raises(KeyboardInterrupt):
        create_split(photos, tmp_path / "out")
    monkeypatch.undo()
    assert not (tmp_path / "out" / "split.json").exists()
    assert not [name for name in contents(tmp_path / "out") if "partial" in name]
    create_split(photos, tmp_path / "out", seed=5)
    assert len(contents(tmp_path / "out")) == 14


def test_an_unfinished_split_that_holds_a_file_of_the_users_is_left(photos, tmp_path, monkeypatch):
    """What matlens has put there itself may go, also from the parts; a photo that was added may not."""
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Split, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        create_split(photos, tmp_path / "out")
    monkeypatch.undo()
    added = next((tmp_path / "out" / "train").iterdir()) / "mine.jpg"
    added.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"unfinished.*force"):
        create_split(photos, tmp_path / "out")
    assert added.read_bytes() == b"mine"
    added.unlink()
    added.symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"unfinished.*force"):
        create_split(photos, tmp_path / "out")
    added.unlink()
    create_split(photos, tmp_path / "out")
    assert len(contents(tmp_path / "out")) == 14


def test_a_note_of_another_than_matlens_gives_no_folder_away(photos, tmp_path):
    (tmp_path / "out" / "train").mkdir(parents=True)
    (tmp_path / "out" / "train" / "a.jpg").write_bytes(b"mine")
    (tmp_path / "out" / ".matlens-split.json").write_text('{"what": "a list", "files": ["train/a.jpg"]}')
    with pytest.raises(DataError, match=r"unfinished.*force"):
        create_split(photos, tmp_path / "out")
    assert (tmp_path / "out" / "train" / "a.jpg").read_bytes() == b"mine"


def test_other_files_in_the_output_folder_stay(photos, tmp_path):
    """Force replaces train/, val/ and test/ and nothing beside them."""
    create_split(photos, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    create_split(photos, tmp_path / "out", seed=1, force=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_photos_of_the_same_flat_name_do_not_overwrite_each_other(tmp_path):
    """a_b.png beside a/b.png; and 1.png in both train/ and test/ of a dataset that is divided anew."""
    for number in range(12):
        photo(tmp_path / "nested" / "wood" / (f"a/{number}.png" if number % 2 else f"a_{number + 1}.png"), number)
        photo(tmp_path / "nested" / "brick" / f"{number}.png", 100 + number)
        for position, part in enumerate(PARTS):
            photo(tmp_path / "divided" / part / "wood" / f"{number}.png", 3 * number + position)
            photo(tmp_path / "divided" / part / "brick" / f"{number}.png", 100 + 3 * number + position)
    for name in ("nested", "divided"):
        split = create_split(tmp_path / name, tmp_path / f"{name}_out")
        made = contents(tmp_path / f"{name}_out")
        del made["split.json"]
        assert sorted(made.values()) == sorted(contents(tmp_path / name).values())
        assert create_split(tmp_path / name, tmp_path / f"{name}_out") == split


@pytest.mark.parametrize("path", ["train/.DS_Store", "test/wood/Thumbs.db", "val/.ipynb_checkpoints/1-checkpoint.png",
                                  "train/wood/._1.png", "train/@eaDir/1.png/S.jpg", "val/desktop.ini"])
def test_files_that_systems_leave_do_not_count(photos, tmp_path, path):
    """Whoever has looked into the folder with a file manager still has the split."""
    split = create_split(photos, tmp_path / "out")
    (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / path).write_bytes(b"x")
    assert create_split(photos, tmp_path / "out") == split


def test_long_names_of_subfolders_are_shortened_and_stay_apart(tmp_path):
    """Each name is allowed; joined they are not, and cut off they would be equal."""
    deep = "/".join(letter * 90 for letter in "abé")
    for number in range(3):
        photo(tmp_path / "photos" / "brick" / f"{number}.png", number)
        photo(tmp_path / "photos" / "wood" / deep / f"{number}.png", 10 + number)
        photo(tmp_path / "photos" / "wood" / f"{'a' * 251}.png" / f"{number}.png", 20 + number)
    split = create_split(tmp_path / "photos", tmp_path / "out")
    made = contents(tmp_path / "out")
    del made["split.json"]
    assert sorted(made.values()) == sorted(contents(tmp_path / "photos").values()) and len(split.photos) == 9
    assert all(len(Path(name).name.encode()) <= 255 and name.endswith(".png") for name in made)
    assert create_split(tmp_path / "photos", tmp_path / "out") == split


@pytest.mark.parametrize("out", ["photos", "photos/split", "photos/train", "photos/../photos"])
def test_a_split_into_its_own_photos_is_refused(photos, tmp_path, out):
    """With force, replacing train/ would remove the only copy of the photos."""
    before = contents(photos)
    with pytest.raises(DataError, match="lies among the photos"):
        create_split(photos, tmp_path / out, force=True)
    assert contents(photos) == before


def test_a_source_that_lies_where_the_split_would_go_is_refused(photos, tmp_path):
    """out/train must not be replaced while it is what is being copied."""
    (tmp_path / "work").mkdir()
    inside = photos.rename(tmp_path / "work" / "train")
    before = contents(inside)
    with pytest.raises(DataError, match="lies among the photos"):
        create_split(inside, tmp_path / "work", force=True)
    assert contents(inside) == before


def test_broken_photos_are_left_out_and_named(photos, tmp_path, capsys):
    """They are in no part, and the manifest says why."""
    (photos / "wood" / "broken.png").write_bytes(b"text")
    split = create_split(photos, tmp_path / "out")
    assert [(left.path, left.reason) for left in split.left_out] == [("wood/broken.png", "not an image")]
    assert "wood/broken.png" in capsys.readouterr().err
    assert len(contents(tmp_path / "out")) == 14


def test_what_cannot_be_divided_leaves_no_trace(photos, tmp_path):
    """Wrong shares, a class too small, an output that is a file: nothing is begun."""
    with pytest.raises(SettingsError, match="sum to 1"):
        create_split(photos, tmp_path / "out", 0.8, 0.15, 0.15)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="Cannot write"):
        create_split(photos, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (photos / "brick" / "10.png").unlink()
    with pytest.raises(DataError, match="'brick' has 2"):
        create_split(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()
