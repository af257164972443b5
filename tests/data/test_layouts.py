"""Layouts that people have: parts under other names, photos for other tasks, names that are nearly equal."""

from __future__ import annotations

import json
import os
import shlex
import sys
import unicodedata
from pathlib import Path

import pytest

from matlens.data.layout.remarks import notes_of, remarks_of
from matlens.data.source.find import find_dataset, find_sources
from matlens.data.source.sources import Source, open_source, refuse_among_photos
from matlens.data.split.splits import make_split
from matlens.errors import DataError
from matlens.jobs.run import run
from matlens.jobs.series import run_series
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

NFC, NFD = (unicodedata.normalize(form, "béton") for form in ("NFC", "NFD"))


def tree(root: Path, *paths: str) -> Path:
    """Files of these paths; a path that ends in / is an empty folder."""
    for path in paths:
        place = root / path
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            place.write_bytes(path.encode(errors="surrogateescape"))
    return root


def parts_and_classes(source: Source) -> set[tuple[str | None, str]]:
    return {(photo.part, photo.class_name) for photo in source.photos}


def split_of(source: Source, protocol: str) -> object:
    return make_split(source, protocol, {photo.path: photo.path for photo in source.photos}, {})


@pytest.mark.parametrize(("train", "test"), [
    ("Training", "Testing"), ("seg_train/seg_train", "seg_test/seg_test"), ("Train_set", "Test_set"),
    ("training_data", "validation_set"), ("trainval", "test"), ("TRAIN", "TEST"), ("train2017", "val2017"),
    ("Dataset_Train", "Dataset_Test"), ("trainingSet", "testSet"), ("plants-train", "plants-valid"),
    ("training_set/images", "test_set/images"), ("train_val", "test"), ("TrainData", "DevData"),
    ("Trainingsdaten", "Testdaten"), ("Treino", "Validação"), ("dati di addestramento", "dati di test"),
    ("Données d’entraînement", "validation"), ("训练集", "测试集"), ("学習データ", "テストデータ")])
def test_parts_are_parts_whatever_they_are_called(tmp_path, train, test):
    """Else a model learns to tell training photos from test photos, and is praised for it."""
    source = open_source(tree(tmp_path, *(f"{part}/{name}/1.jpg" for part in (train, test) for name in "ab")))
    assert (source.layout, source.class_names) == ("prepared", ("a", "b"))
    parts = {part for part, _ in parts_and_classes(source)}
    assert "train" in parts and len(parts) == 2
    with pytest.raises(DataError, match="--protocol random"):
        split_of(source, "prepared")
    assert find_sources([tmp_path]) == [source]


@pytest.mark.parametrize("names", [("train station", "test tube"), ("valid", "invalid"), ("train", "bus", "car"),
                                   ("tested", "contrast"), ("data", "images")])
def test_classes_that_sound_like_parts_are_classes(tmp_path, names):
    """Trains are vehicles, too."""
    source = open_source(tree(tmp_path, *(f"{name}/1.jpg" for name in names)))
    assert (source.layout, source.class_names) == ("folders", tuple(sorted(names)))


def test_what_lies_beside_the_parts_is_not_used_and_is_named(tmp_path):
    """Unlabelled photos of a competition are no class."""
    source = open_source(tree(tmp_path, *(f"{part}/{name}/1.jpg" for part in ("train", "val", "test") for name in "ab"),
                              "seg_pred/seg_pred/1.jpg", "seg_pred/seg_pred/2.jpg", "test/3.jpg"))
    assert source.class_names == ("a", "b") and len(source.photos) == 6
    assert {unused.path: unused.kind for unused in source.unused} == {
        "seg_pred/seg_pred/1.jpg": "outside", "seg_pred/seg_pred/2.jpg": "outside", "test/3.jpg": "loose"}
    assert any("seg_pred" in remark for remark in remarks_of(source))
    assert any("test/3.jpg" in remark for remark in remarks_of(source))


def test_parts_inside_of_classes_are_parts(tmp_path):
    """brick/train/1.jpg: a division at random would train on photos that were kept for the test."""
    source = open_source(tree(tmp_path, *(f"{name}/{part}/{n}.jpg" for part in ("train", "val", "test")
                                          for name in "ab" for n in range(2))))
    assert source.layout == "prepared" and len(parts_and_classes(source)) == 6
    assert source.folders["a"] == ("a/train", "a/val", "a/test")


@pytest.mark.parametrize(("paths", "facts"), [
    (("train/1.jpg", "test/1.jpg"), ("train/", "test/", "no class folders")),
    (("seg_train/1.jpg", "seg_test/1.jpg"), ("seg_train/", "seg_test/")),
    (("images/train/1.jpg", "images/val/1.jpg", "labels/train/1.txt"), ("YOLO", "images/", "labels/")),
    (("images/1.jpg", "labels/1.txt"), ("YOLO", "images/", "labels/")),
    (("train/images/1.jpg", "train/labels/1.txt", "valid/images/1.jpg", "valid/labels/1.txt"), ("YOLO", "train")),
    (("JPEGImages/1.jpg", "Annotations/1.xml", "ImageSets/Main/train.txt"), ("VOC", "Annotations/")),
    (("images/1.jpg", "masks/1.png"), ("masks/",)),
    (("cat.1.jpg", "dog.1.jpg"), ("2 photos", "cat.1.jpg", "no class folder")),
    (("x/train/a/1.jpg", "x/test/a/1.jpg", "y/train/b/1.jpg", "y/test/b/1.jpg"), ("datasets", "for example", "x")),
    (("brick/1.jpg", "wood/1.jpg", "out/train/brick/1.jpg", "out/test/brick/1.jpg"), ("out", "for example")),
    (("obj_train_data/1.jpg", "obj_train_data/1.txt", "obj_train_data/2.jpg", "obj_train_data/2.txt", "train.txt"),
     ("YOLO", "obj_train_data")),
    (("brick/1.jpg", "wood/1.jpg", "glass/1.jpg", "test/brick/1.jpg", "test/wood/1.jpg"), ("test", "brick, wood")),
    (("brick/1.jpg", "wood/1.jpg", "validation_set/brick/1.jpg"), ("validation_set", "brick")),
    (("brick/1.jpg", "wood/1.jpg", "Photos/all/Brick/1.jpg", "Photos/all/Wood/1.jpg"), ("Photos", "brick, wood")),
    (tuple(f"{part}/{name}/1.jpg" for part in ("train_a", "train_b", "test") for name in ("brick", "wood")),
     ("train_a", "train_b", "brick, wood")),
    (tuple(f"{fold}/{name}/1.jpg" for fold in ("fold1", "fold2", "fold3") for name in ("brick", "wood")),
     ("fold1, fold2, fold3", "brick, wood", "for example")),
    (tuple(f"{kind}/{name}/1.jpg" for kind in ("dataset-original", "dataset-resized") for name in ("brick", "wood")),
     ("dataset-resized", "for example")),
    (tuple(f"{kind}/{name}/1.jpg" for kind in ("original images", "augmented") for name in ("brick", "wood")),
     ("augmented", "for example")),
    (tuple(f"{kind}/{name}/1.png" for kind in ("images", "Annotations") for name in ("brick", "wood")),
     ("Annotations", "/images")),
    (tuple(f"{name}/{kind}/1.png" for name in ("COVID", "Normal") for kind in ("images", "masks")),
     ("COVID/masks/", "masks")),
    (("train/a/1.png", "train/a/masks/1_mask.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"),
     ("train/a/masks/",)),
    (("benign/x (1).png", "benign/x (1)_mask.png", "benign/x (1)_mask_1.png", "normal/x (1).png"),
     ("_mask", "benign"))])
def test_what_is_no_dataset_of_classes_is_refused_as_what_it_is(tmp_path, paths, facts):
    """To hear that a class is too small would send people looking for photos."""
    with pytest.raises(DataError) as caught:
        open_source(tree(tmp_path, *paths))
    assert [fact for fact in facts if fact not in str(caught.value)] == []


@pytest.mark.parametrize(("paths", "facts"), [
    (("brick/1.jpg", "test/1.jpg", "wood/1.jpg"), ("test",)),
    (("brick/1.jpg", "validation/old/1.jpg", "validation/new/1.jpg", "wood/1.jpg"), ("validation",)),
    (("train/a/1.jpg", "train/b/1.jpg", "unlabeled_a/1.jpg", "unlabeled_b/1.jpg"), ("train",)),
    (tuple(f"d{number}/{name}/1.jpg" for number in (1, 2) for name in ("brick", "glass", "wood")),
     ("d1", "d2", "brick, glass, wood")),
    (tuple(f"{name}/{state}/1.jpg" for name in ("brick", "wood") for state in ("dry", "wet")), ("dry, wet",))])
def test_classes_that_may_be_none_are_said(tmp_path, paths, facts):
    """Names and subfolders leave it open, so the results say it and nothing is refused."""
    source = open_source(tree(tmp_path, *paths))
    assert source.class_names == tuple(sorted({path.split("/")[0] for path in paths}))
    assert len(source.photos) == len(paths)
    assert any(all(fact in remark for fact in facts) for remark in remarks_of(source))


@pytest.mark.parametrize("paths", [
    ("brick/dry/1.jpg", "brick/wet/1.jpg", "wood/dry/1.jpg"), ("brick/1.jpg", "wood/1.jpg", "glass/clear/1.jpg"),
    ("brick/images/1.jpg", "brick/annotations/1.json", "wood/images/1.jpg"),
    ("box/1.jpg", "box/labels/front.jpg", "bag/1.jpg"), ("mask/1.jpg", "no_mask/1.jpg"),
    ("train station/day/1.jpg", "train station/night/1.jpg", "test tube/day/1.jpg", "test tube/full/1.jpg"),
    ("a/1.jpg", "a/1.txt", "b/1.jpg", "b/1.txt"), ("original/1.jpg", "augmented/1.jpg"),
    ("brick/1.jpg", "wood/1.jpg", "mixed/brick/1.jpg", "mixed/glass/1.jpg", "mixed/paint/1.jpg")])
def test_classes_with_subfolders_stay_classes(tmp_path, paths):
    """They are taken as they are, without a word."""
    source = open_source(tree(tmp_path, *paths))
    assert source.class_names == tuple(sorted({path.split("/")[0] for path in paths}))
    assert len(source.photos) == sum(path.endswith(".jpg") for path in paths)
    assert remarks_of(source) == ()


@pytest.mark.parametrize(("files", "facts"), [
    (("IMG_0000.HEIC", "IMG_0001.HEIC"), (".heic", "2 pictures")), (("DSC0000.ARW",), (".arw",)),
    (("DSC0000", "DSC0001"), ("wood/DSC0000",)), (("README", "NOTES_OLD", "IMG_1.HEIC"), (".heic",)),
    ((".000.jpg.icloud", ".001.HEIC.icloud"), ("2 photos", "iCloud")), (("README", ".0.jpg.icloud"), ("iCloud",))])
def test_a_class_of_a_phone_or_a_camera_does_not_vanish(tmp_path, files, facts):
    """Results for two of three classes would look whole."""
    source = open_source(tree(tmp_path, *(f"{name}/{n}.jpg" for name in ("brick", "glass") for n in range(4)),
                              *(f"wood/{name}" for name in files), "papers/README", "papers/THIRD-PARTY"))
    assert source.class_names == ("brick", "glass", "wood")
    assert [unused.path for unused in source.unused if unused.kind == "no class"] == ["papers"]
    with pytest.raises(DataError, match="'wood'") as caught:
        split_of(source, "random")
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_photos_that_icloud_keeps_and_links_to_another_class_are_remarks(tmp_path):
    """A class that is gone, or smaller than it was, changes what a figure means."""
    tree(tmp_path, "brick/1.jpg", "glass/1.jpg", "glass/.2.jpg.icloud")
    (tmp_path / "wood").symlink_to(tmp_path / "brick")
    source = open_source(tmp_path)
    assert source.class_names == ("brick", "glass")
    assert {(unused.path, unused.kind, unused.detail) for unused in source.unused} == {
        ("glass/.2.jpg.icloud", "placeholder", ""), ("wood", "second name", "brick")}
    assert any("wood" in remark and "brick" in remark for remark in remarks_of(source))
    assert any("glass/.2.jpg.icloud" in remark for remark in remarks_of(source))


def test_the_ways_out_can_be_pasted_where_folders_have_spaces(tmp_path):
    """A shell would take my photos for two folders."""
    tree(tmp_path / "my photos", *(f"{fold}/{name}/1.jpg" for fold in ("fold1", "it's fold2") for name in "ab"),
         *(f"{part}/{name}/1.jpg" for part in ("fold1/train", "fold1/test") for name in "ab"))
    with pytest.raises(DataError) as caught:
        open_source(tmp_path / "my photos")
    words = shlex.split(str(caught.value).partition("for example: ")[2].replace(", or", " or"))
    assert Path(words[0]).is_dir()


def test_classes_beside_lists_and_documents_are_read(tmp_path):
    """A folder of tables is no class, and does not make photos of classes photos with boxes."""
    source = open_source(tree(tmp_path / "m", "images/a/1.jpg", "images/b/1.jpg", "labels/all.csv"))
    assert (source.root, source.class_names) == (tmp_path / "m" / "images", ("a", "b"))
    source = open_source(tree(tmp_path / "f", "a/1.jpg", "b/1.jpg", "meta/x.csv", "meta/README", "empty/"))
    assert source.class_names == ("a", "b", "empty")
    assert [(unused.path, unused.kind) for unused in source.unused] == [("meta", "no class")]


@pytest.mark.parametrize(("content", "facts"), [
    (("glass/1.heic", "glass/2.HEIC"), (".heic", "2 pictures", "mogrify")), (("glass/1.img",), ("glass/1.img",)),
    (("glass/",), ("empty",))])
def test_a_class_without_photos_is_refused_by_what_it_holds(tmp_path, content, facts):
    """Photos of a phone are photos; only another format."""
    source = open_source(tree(tmp_path, *(f"{name}/{n}.jpg" for name in "ab" for n in range(4)), *content))
    with pytest.raises(DataError, match="'glass'") as caught:
        split_of(source, "random")
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_a_phone_picture_beside_its_jpeg_is_no_loss(tmp_path):
    """Phones and cameras write both."""
    source = open_source(tree(tmp_path, "a/IMG_1.HEIC", "a/IMG_1.JPG", "b/1.jfif", "b/2.nef"))
    assert len(source.photos) == 2 and source.others == ("a/IMG_1.HEIC",)
    assert [(unused.path, unused.kind) for unused in source.unused] == [("b/2.nef", "format")]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system does not tell these names apart")
def test_names_in_nfc_and_nfd_are_one_class(tmp_path):
    """A Mac wrote one part, Linux the other."""
    paths = [f"{part}/{name}/1.jpg" for part, form in (("train", NFC), ("val", NFD), ("test", NFC))
             for name in (form, "wood")]
    source = open_source(tree(tmp_path, *paths))
    assert source.class_names == (NFC, "wood")
    assert split_of(source, "prepared").counts() == {part: {NFC: 1, "wood": 1} for part in ("train", "val", "test")}
    assert any(NFC in remark for remark in remarks_of(source))


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="their file systems do not tell these names apart")
def test_names_that_differ_by_case_are_one_class_in_different_parts_and_two_side_by_side(tmp_path):
    """Brick in train and brick in val is a slip; a and A side by side are letters."""
    source = open_source(tree(tmp_path / "parts", "train/Brick/1.jpg", "val/brick/1.jpg", "test/Brick/1.jpg",
                              *(f"{part}/wood/1.jpg" for part in ("train", "val", "test"))))
    assert source.class_names == ("Brick", "wood") and len(parts_and_classes(source)) == 6
    source = open_source(tree(tmp_path / "letters", "a/1.jpg", "A/1.jpg", "b/1.jpg"))
    assert source.class_names == ("A", "a", "b")
    assert any("A" in remark and "case" in remark for remark in remarks_of(source))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names in Unicode")
@pytest.mark.parametrize("inside", ["", "/1.jpg"])
def test_a_class_folder_in_another_encoding_is_named(tmp_path, inside):
    """Also an empty one: its name would end the run when the manifest is written."""
    tree(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / os.fsdecode(b"gl\xe4s")).mkdir()
    if inside:
        (tmp_path / os.fsdecode(b"gl\xe4s") / "1.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"gl\\xe4s"):
        open_source(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names in Unicode")
def test_what_is_left_out_in_another_encoding_can_be_written(tmp_path):
    """The remark goes into split.json."""
    tree(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / os.fsdecode(b"gl\xe4s.jpg")).write_bytes(b"x")
    remarks = remarks_of(open_source(tmp_path))
    assert len(remarks) == 1
    json.dumps(remarks, ensure_ascii=False).encode()


def test_a_real_folder_is_read_once_in_each_class_and_by_its_real_name(tmp_path):
    """Two links to one disk are one disk; under another class its photos are that class's, too."""
    tree(tmp_path, "photos/a/real/1.jpg", "photos/b/1.jpg", "disk/2.jpg")
    for link, target in (("a/link", "a/real"), ("a/x", "../disk"), ("a/y", "../disk"), ("b/x", "../disk")):
        (tmp_path / "photos" / link).symlink_to((tmp_path / "photos" / target).resolve())
    (tmp_path / "photos" / "c").symlink_to(tmp_path / "photos" / "a")
    source = open_source(tmp_path / "photos")
    assert [photo.path for photo in source.photos] == ["a/real/1.jpg", "a/x/2.jpg", "b/1.jpg", "b/x/2.jpg"]
    assert {(unused.path, unused.kind) for unused in source.unused} == {
        ("a/link", "twice"), ("a/y", "twice"), ("c", "second name")}
    assert source.linked == {"a/x": 1, "b/x": 1}
    tree(tmp_path / "parts", *(f"{part}/{name}/1.jpg" for part in ("train", "val") for name in "ab"))
    (tmp_path / "parts" / "validation").symlink_to(tmp_path / "parts" / "val")
    assert len(open_source(tmp_path / "parts").photos) == 4
    assert any("a/x" in note for note in notes_of(source))


def test_folders_that_are_nested_without_end_are_bounded_and_said(tmp_path):
    """A backup that holds itself."""
    deep = "a/" + "d/" * 70
    source = open_source(tree(tmp_path, "a/1.jpg", "b/1.jpg", f"{deep}2.jpg"))
    assert len(source.photos) == 2
    assert [unused.kind for unused in source.unused] == ["deep"]


def test_a_run_is_no_class_by_what_it_holds(tmp_path):
    """Pictures of an earlier run are no photos; a class may be called runs."""
    tree(tmp_path, "a/1.jpg", "b/1.jpg", "r/reports/1.png", "series/kfold-5-1/reports/1.png", "runs/x/.lock",
         "runs/old/reports/1.png")
    (tmp_path / "r/run.json").write_text('{"format": 1, "settings": {}, "models": []}')
    (tmp_path / "series/series.json").write_text('{"format": 1, "protocol": "kfold:5", "splits": {}}')
    source = open_source(tmp_path)
    assert source.class_names == ("a", "b")
    assert {unused.path for unused in source.unused if unused.kind == "run"} == {"r", "series", "runs"}
    assert open_source(tree(tmp_path / "jumps", "runs/1.jpg", "throws/1.jpg")).class_names == ("runs", "throws")


@pytest.mark.parametrize("out", ["runs/1", ".", "a", "a/deep/er", "../photos/x"])
def test_an_output_among_the_photos_is_refused_with_another_place(tmp_path, out):
    """What a run draws would be photos of the next run."""
    source = open_source(tree(tmp_path / "photos", "a/1.jpg", "b/1.jpg"))
    with pytest.raises(DataError, match="--out") as caught:
        refuse_among_photos(source.root / out, source)
    assert str(tmp_path / "runs") in str(caught.value)
    refuse_among_photos(tmp_path / "photos2", source)
    divided = open_source(tree(tmp_path / "divided", *(f"{part}/{name}/1.jpg" for part in ("train", "test")
                                                       for name in "ab")))
    refuse_among_photos(divided.root / "runs" / "1", divided)
    with pytest.raises(DataError):
        refuse_among_photos(divided.root / "train" / "x", divided)


@pytest.mark.parametrize("protocol", [None, "kfold:3"])
def test_a_run_among_the_photos_is_refused_before_it_begins(tmp_path, monkeypatch, protocol):
    """cd photos; matlens run --data . -- and nothing is left there that would be a class."""
    tree(tmp_path / "photos", "a/1.jpg", "b/1.jpg")
    monkeypatch.chdir(tmp_path / "photos")
    settings = Settings.load(options={"data_dir": Path(), "cache_dir": tmp_path / "cache", "protocol": protocol})
    with pytest.raises(DataError, match="--out"):
        (run_series if protocol else run)(settings, Path("runs") / "first", Reporter(quiet=True))
    assert sorted(path.name for path in Path().iterdir()) == ["a", "b"]


@pytest.mark.parametrize(("paths", "roots"), [
    (("brick/1.jpg", "wood/sub/1.jpg"), ["."]), (("brick/dry/1.jpg", "wood/dry/1.jpg", "wood/wet/1.jpg",
                                                   "brick/wet/1.jpg"), ["."]),
    (("pets/cat/1.jpg", "pets/dog/1.jpg", "cloth/silk/1.jpg", "cloth/wool/1.jpg"), [".", "cloth", "pets"]),
    (("brick/1.jpg", "wood/1.jpg", "empty/", "meta/x.csv"), ["."])])
def test_find_shows_a_folder_as_other_commands_take_it(tmp_path, paths, roots):
    """And datasets in it, where it may as well be a folder of datasets."""
    tree(tmp_path, *paths)
    found = find_sources([tmp_path])
    assert [source.root.relative_to(tmp_path).as_posix() for source in found] == roots
    assert found == [open_source(source.root) for source in found]


def test_the_likeliest_dataset_has_its_classes_and_not_their_subfolders(tmp_path, monkeypatch):
    """KTH-TIPS2 keeps the photos of each sample in a folder of its own."""
    monkeypatch.setattr("matlens.system.ownership.places.KAGGLE_ROOT", tmp_path / "kaggle")
    monkeypatch.setenv("MATLENS_DATA", str(tmp_path / "data"))
    tree(tmp_path / "data" / "kth", *(f"{name}/sample_{letter}/1.png" for name in ("cork", "wool")
                                      for letter in "abcd"))
    assert find_dataset() == tmp_path / "data" / "kth"


@pytest.mark.parametrize(("files", "words"), [(["a/notes.txt"], "1 file in a class folder is"),
                                              (["a/notes.txt", "b/list.csv"], "2 files in class folders are")])
def test_files_that_are_no_photos_are_counted_in_the_number_that_they_have(tmp_path, files, words):
    tree(tmp_path, "a/1.jpg", "b/1.jpg", *files)
    [note] = notes_of(open_source(tmp_path))
    assert note.startswith(words)
    assert files[0] in note
