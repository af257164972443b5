"""`matlens map`: what it writes, and what it does where something is wrong with a photo, the folder or an option."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mapping.colour_model import CLASSES, colour_artifact, flat, halves


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return colour_artifact(tmp_path_factory.mktemp("command") / "colours.artifact").folder


def test_three_files_agree(artifact, tmp_path, matlens):
    Image.fromarray(halves("red", "blue")).save(tmp_path / "two halves.png")
    code, out, err = matlens("map", artifact, tmp_path / "two halves.png", "--out", tmp_path / "maps")
    assert code == 0 and "Traceback" not in err
    assert "red" in out and "blue" in out
    content = json.loads((tmp_path / "maps" / "two halves_map.json").read_text("utf-8"))
    numbers = Image.open(tmp_path / "maps" / content["files"]["numbers"])
    assert numbers.mode == "P" and numbers.size == (160, 96)
    found = np.asarray(numbers)
    for name, entry in content["classes"].items():
        assert entry["number"] == CLASSES.index(name)
        assert entry["share"] == pytest.approx((found == entry["number"]).mean(), abs=1e-5)
    assert sum(entry["share"] for entry in content["classes"].values()) == pytest.approx(1, abs=1e-5)
    assert content["settings"]["scales"] == [1, 1.5] and content["version"]
    with Image.open(tmp_path / "maps" / content["files"]["overlay"]) as overlay:
        assert overlay.width >= 160 and overlay.height > 96, "the legend is below"


def test_json_is_a_line_for_each_photo_and_options_are_kept(artifact, tmp_path, matlens):
    for name in ("red", "green"):
        Image.fromarray(flat(name, 50, 60)).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.jpg").write_bytes(b"no photo")
    code, out, _ = matlens("map", artifact, tmp_path, "--json", "--scales", "1,0.5", "--window", "0.5", "--out",
                             tmp_path / "maps")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 2, "a photo could not be read"
    assert {next(iter(line.get("classes", {"": 0}))) for line in lines} == {"", "red", "green"}
    assert [line["photo"] for line in lines if "error" in line] == [str(tmp_path / "notes.jpg")]
    assert all(line["settings"]["scales"] == [1, 0.5] and line["settings"]["window"] == 0.5
               for line in lines if "settings" in line)


def test_photos_of_one_name_get_files_of_their_own(artifact, tmp_path, matlens):
    for folder, name in (("a", "red"), ("b", "blue"), ("c", "green")):
        (tmp_path / folder).mkdir()
        Image.fromarray(flat(name, 50, 60)).save(tmp_path / folder / ("Photo.png" if folder == "c" else "photo.png"))
    code, _, _ = matlens("map", artifact, *(tmp_path / folder for folder in "abc"), "--out", tmp_path / "maps")
    found = {path.name: next(iter(json.loads(path.read_text("utf-8"))["classes"]))
             for path in (tmp_path / "maps").glob("*.json")}
    assert code == 0
    assert sorted(found.values()) == ["blue", "green", "red"]
    assert len({name.casefold() for name in found}) == 3


def test_orientation_and_cmyk_are_those_of_predict(artifact, tmp_path, matlens):
    """A photo that was taken with the camera on its side is mapped upright, and a CMYK one in its colours."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(halves("red", "blue")).save(tmp_path / "side.jpg", exif=exif, quality=95)
    Image.fromarray(flat("red", 60, 60)).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    code, _, _ = matlens("map", artifact, tmp_path / "side.jpg", tmp_path / "cmyk.jpg", "--out", tmp_path / "maps")
    assert code == 0
    numbers = np.asarray(Image.open(tmp_path / "maps" / "side_map_classes.png"))
    assert numbers.shape == (160, 96)
    assert (numbers[:70] == CLASSES.index("red")).mean() > 0.95
    assert [*json.loads((tmp_path / "maps" / "cmyk_map.json").read_text("utf-8"))["classes"]] == ["red"]


def test_without_a_photo_or_a_run_the_command_that_works_is_named(artifact, tmp_path, matlens):
    photo = tmp_path / "red.png"
    Image.fromarray(flat("red", 50, 60)).save(photo)
    for arguments in (("map", artifact), ("map", photo), ("map", photo, photo), ("map", tmp_path / "nowhere", photo),
                      ("map", artifact, photo, "--scales", "zero"), ("map", artifact, photo, "--window", "0"),
                      ("map", artifact, photo, "--false-alarms", "100")):
        code, _, err = matlens(*arguments, "--out", tmp_path / "maps")
        assert code == 2 and "defect" not in err, (arguments, err)
    assert not (tmp_path / "maps").exists()


def test_a_folder_that_cannot_be_written_is_named_before_the_work(artifact, tmp_path, matlens):
    Image.fromarray(flat("red", 50, 60)).save(tmp_path / "red.png")
    (tmp_path / "file").write_text("a file")
    code, out, err = matlens("map", artifact, tmp_path / "red.png", "--out", tmp_path / "file" / "maps")
    assert code == 2 and str(tmp_path / "file") in err and "written" not in out


@pytest.mark.parametrize("name", ["red_map.json", "red_map.png", "red_map_classes.png"])
def test_no_file_is_replaced_that_is_of_no_map(artifact, tmp_path, matlens, name):
    """A photo of that name was lost. What matlens wrote is replaced, also what a kill left of it."""
    Image.fromarray(halves("red", "red")).save(tmp_path / "red.png")
    folder = tmp_path / "maps"
    folder.mkdir()
    if name.endswith("png"):
        Image.new("RGB", (9, 9)).save(folder / name)
    else:
        (folder / name).write_text('{"mine": 1}')
    before = (folder / name).read_bytes()
    code, _, err = matlens("map", artifact, tmp_path / "red.png", "--out", folder)
    assert code == 2 and name in err and "--out" in err
    assert [path.name for path in folder.iterdir()] == [name] and (folder / name).read_bytes() == before
    (folder / name).unlink()
    for left in ("red_map.json", "red_map_classes.png", "red_map.png"):
        assert matlens("map", artifact, tmp_path / "red.png", "--out", folder)[0] == 0
        (folder / left).unlink()
