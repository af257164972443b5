"""Corrections in a run: the same photos in the same parts under other labels, and what that alone changes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders import split_of
from matlens.data.prepare import prepare
from matlens.data.source.sources import open_source
from matlens.data.split.correcting import LEFT_OUT, labels_before, with_corrections
from matlens.data.split.splits import Split
from matlens.errors import DataError, RunError, SettingsError
from matlens.evaluation.corrected import before_and_after, by_both_labels
from matlens.evaluation.predictions import Predictions
from matlens.jobs.labelling.effect import effects_of_corrections
from matlens.report.page import write_report
from matlens.runs.run import Run
from matlens.settings.corrections.setting import Correction
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from small_run import make_run

QUIET = Reporter(quiet=True)


def split_with(drawn: Path, cache: Path, corrections: dict[str, Correction] | None = None, **options: object) -> Split:
    settings = Settings.load(options={"data_dir": drawn, "cache_dir": cache, "img_size": 32,
                                      "corrections": corrections or None, **options})
    return prepare(settings, QUIET).split


@pytest.fixture(scope="module")
def before(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Split, Path]:
    cache = tmp_path_factory.mktemp("corrected")
    return split_with(drawn, cache), cache


@pytest.mark.parametrize("protocol", ["random", "kfold:3:1"])
def test_photos_keep_their_parts_under_new_labels(drawn, before, protocol):
    """Before and after are then judged on the same photos; a split drawn from new labels would mix them anew."""
    _, cache = before
    old = split_with(drawn, cache, protocol=protocol)
    chosen = {part: old.part(part)[0] for part in ("train", "val", "test")}
    left = old.part("train")[-1]
    new = split_with(drawn, cache, {**{photo.path: (photo.sha256, photo.class_name, "wood")
                                       for photo in chosen.values()}, left.path: (left.sha256, left.class_name, "")},
                     protocol=protocol)
    assert {photo.path: photo.part for photo in new.photos} == {
        photo.path: photo.part for photo in old.photos if photo != left}
    assert {photo.path for photo in new.photos if photo.class_name != Path(photo.path).parent.name} == {
        photo.path for photo in chosen.values()}
    assert [(gone.path, gone.reason) for gone in new.left_out] == [(left.path, LEFT_OUT)]
    assert new.hash != old.hash
    assert any("4 photos" in remark for remark in new.remarks)


def test_a_split_keeps_its_corrections_and_one_without_is_written_as_ever(before, tmp_path):
    split, _ = before
    assert "corrected" not in json.loads(split.write(tmp_path / "old.json").read_text("utf-8"))
    photo = split.part("test")[0]
    new = with_corrections(split, {photo.path: (photo.sha256, photo.class_name, "wood")}, source_of(split), print)
    again = Split.read(new.write(tmp_path / "new.json"))
    assert again == new
    assert labels_before(again, again.part("test")).tolist() == split.labels(split.part("test")).tolist()


def source_of(split: Split) -> object:
    return type("S", (), {"class_names": split.class_names, "root": Path("photos"), "unused": ()})()


def test_photos_that_are_not_those_that_were_decided_on_stay_as_they_are_and_are_named(before):
    split, _ = before
    one, two = split.part("train")[:2]
    warnings: list[str] = []
    new = with_corrections(split, {one.path: ("0" * 64, one.class_name, "wood"), "sky/gone.jpg": ("1" * 64, "sky", ""),
                                   two.path: (two.sha256, "sky", "wood")}, source_of(split), warnings.append)
    assert new.photos == split.photos
    assert new.corrected == ()
    assert len(warnings) == 3
    for path in (one.path, "sky/gone.jpg", two.path):
        assert sum(path in warning for warning in warnings) == 1


def test_a_class_that_is_none_and_a_part_without_a_class_are_refused(before):
    split, _ = before
    photo = split.part("train")[0]
    with pytest.raises(SettingsError, match=r"(?s)velvet.*wood"):
        with_corrections(split, {photo.path: (photo.sha256, photo.class_name, "velvet")}, source_of(split), print)
    gone = {each.path: (each.sha256, each.class_name, "") for each in split.part("val") if each.class_name == "sky"}
    with pytest.raises(DataError, match=r"(?s)corrections.*'sky' in val") as refused:
        with_corrections(split, gone, source_of(split), print)
    assert "unreadable" not in str(refused.value), "all photos can be read"


def test_both_accuracies_are_those_that_are_counted_by_hand():
    """Ten test photos: 6 right by the old labels; two wrong ones become right, and a right one wrong."""
    split = split_of(per_class=5)
    photos = split.part("test")
    truth = split.labels(photos)
    answers = truth.copy()
    answers[[0, 1, 2, 3]] = 1 - answers[[0, 1, 2, 3]]
    names = split.class_names
    wrong = {photos[row].path: (photos[row].sha256, photos[row].class_name, names[1 - truth[row]]) for row in (0, 1, 9)}
    new = with_corrections(split, wrong, source_of(split), print)
    saved = Predictions(np.eye(2, dtype=np.float32)[answers], new.labels(new.part("test")),
                        tuple(photo.path for photo in photos))
    both = by_both_labels("m", saved, new)
    assert (both.before.share, both.after.share, both.n, both.changed) == (0.6, 0.7, 10, 3)
    assert both.after.interval.low < 0.7 < both.after.interval.high
    better = dataclasses.replace(saved, probabilities=np.eye(2, dtype=np.float32)[new.labels(photos_of(new))])
    effect = before_and_after((split, dataclasses.replace(saved, labels=truth)), (new, better))
    assert (effect.before.share, effect.after.share, effect.n) == (0.7, 1.0, 10)
    assert effect.difference == pytest.approx(0.3)


def photos_of(split: Split) -> tuple:
    return split.part("test")


@pytest.fixture(scope="module")
def corrected_run(tmp_path_factory: pytest.TempPathFactory, small_run: Path) -> Run:
    """The small run with its three wrong labels put right, and a faint photo left out."""
    split = Split.read(small_run / "split.json")
    classes = split.class_names
    wrong = [photo for photo in split.part("test") if photo.path.endswith("wrong.png")]
    corrections = {photo.path: (photo.sha256, photo.class_name,
                                classes[(classes.index(photo.class_name) + 1) % 3]) for photo in wrong}
    faint = next(photo for photo in split.part("test") if photo.path.endswith("faint.png"))
    return make_run(tmp_path_factory.mktemp("after"), corrections={
        **corrections, faint.path: (faint.sha256, faint.class_name, "")})


def test_the_report_tells_the_new_labels_from_a_better_model(small_run, corrected_run):
    """The network answers by colour: 15 of 18 by the labels of the folders, and all without the wrong labels."""
    page = write_report(corrected_run.path).read_text("utf-8")
    section = page[page.index('id="corrections-title"'):page.index('id="data-title"')]
    assert "82.4" in section  # 14 of 17
    assert "100.0" in section
    assert "3 of 17" in section
    assert "wrong.png" in section
    assert "corrections-title" not in write_report(small_run).read_text("utf-8")
    sentences = list(effects_of_corrections([small_run, corrected_run.path]))
    assert len(sentences) == 2
    assert all("17 test photos" in sentence and "+0.0" in sentence for sentence in sentences), sentences


def test_compare_says_what_differs(matlens, small_run, corrected_run):
    code, out, _ = matlens("compare", small_run, corrected_run.path)
    assert code == 0
    assert "--corrections: none" in out
    assert "3 relabelled, 1 left out" in out
    assert "corrections of labels:" in out


def test_a_run_goes_on_with_the_same_corrections_alone(corrected_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(corrected_run.path, folder)
    recorded = json.loads((folder / "run.json").read_text("utf-8"))
    run = Run.open(folder)
    settings = run.settings.model_copy(update={"data_dir": run.data_root})
    Run.begin(folder, settings, run.data_root, run.split)
    with pytest.raises(RunError, match=r"(?s)corrections.*3 relabelled.*none"):
        Run.begin(folder, settings.model_copy(update={"corrections": {}}), run.data_root, run.split)
    assert len(recorded["settings"]["corrections"]) == 4


@pytest.mark.torch
def test_the_command_applies_records_and_repeats_corrections(torch, tmp_path, monkeypatch, matlens):
    """From photos over a file of decisions to a report, and once more without that file."""
    import importlib

    from in_process import InProcess
    from matlens.data.drawn.synthetic import draw_dataset
    from matlens.jobs.labelling.decisions_file import DecisionsFile
    from matlens.settings.corrections.decisions import Decision
    from matlens.system.files import checksum

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
    for name in ("tiny_torch", "matplotlib.pyplot", "pandas", "sklearn"):  # the latter a job would spare for good
        importlib.import_module(name)
    photos = draw_dataset(tmp_path / "photos", photos_per_class=10, size=32, seed=1, materials=("brick", "sky", "wood"))
    InProcess(monkeypatch, "train", "export")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "cache"))
    wrong, left = sorted((photos / "sky").iterdir())[:2]
    file = DecisionsFile(tmp_path / "c.csv")
    for path, to in ((wrong, "wood"), (left, "")):
        name = path.relative_to(photos).as_posix()
        file.add(lambda log, path=path, name=name, to=to: Decision(
            "2026", name, checksum(path), "sky", to, "relabel" if to else "leave_out"))
    line = ["run", photos, "--models", "acme/tiny", "--weights", "none", "--epochs", "1", "--img-size", "32",
            "--batch-size", "32", "--corrections"]
    code, _, err = matlens(*line, file.path, "--out", "run")
    assert code == 0, err
    split = Split.read(tmp_path / "run" / "split.json")
    labels = {photo.path: photo.class_name for photo in split.photos}
    assert labels[wrong.relative_to(photos).as_posix()] == "wood"
    assert left.relative_to(photos).as_posix() not in labels
    assert "left out by the corrections" in (tmp_path / "run" / "report.html").read_text("utf-8")
    file.path.rename(tmp_path / "elsewhere.csv")
    assert matlens(*line, tmp_path / "run" / "applied_corrections.csv", "--out", "run")[0] == 0, "it goes on by content"
    code, _out, err = matlens("rerun", "run", "--out", "again")
    assert code == 0, err
    assert Split.read(tmp_path / "again" / "split.json").hash == split.hash
    assert matlens(*line[:-1], "--out", "run")[0] == 2
    Image.new("RGB", (32, 32), "red").save(wrong)
    code, _, err = matlens(*line, tmp_path / "elsewhere.csv", "--out", "changed")
    assert code == 0, err
    assert wrong.name in err


def test_the_source_of_drawn_photos_has_the_classes_that_corrections_name(drawn):
    """What `source_of` stands for here."""
    assert "wood" in open_source(drawn).class_names
