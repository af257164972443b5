"""Many photos, many classes, many models: files that can be opened and sent, and the same figures as of few."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders import begin_run, drawn_predictions, report_folder, results_of, write_training
from matlens.data.split.manifest import columns
from matlens.data.split.splits import Photo, Split
from matlens.evaluation import label_quality
from matlens.evaluation.label_quality import LabelIssues, label_issues
from matlens.explanation import galleries
from matlens.explanation.galleries import make_gallery
from matlens.report import page
from matlens.report.page import write_report
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from small_run import NAMES

N, MILLION = 60_000, 1_000_000
MODEL = "mobilenetv2_transfer"
CLASSES = tuple(f"material {number:02d}" for number in range(23))


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A judged model of 60,000 records, kept as those of a million are."""
    monkeypatch.setattr(columns, "MOST_IN_JSON", N - 1)
    monkeypatch.setattr(label_quality, "MOST_IN_JSON", label_quality.MOST_IN_JSON * N // MILLION)
    photos = tuple(Photo(f"{CLASSES[number % 23]}/{number:08d}.jpg", CLASSES[number % 23],
                         "test" if number % 20 < 3 else "val" if number % 20 < 6 else "train", f"{number:064x}")
                   for number in range(N))
    run = begin_run(tmp_path / "run", Settings(models=(MODEL,)), Split("random", CLASSES, photos))
    of_test = run.split.part("test")
    drawn = drawn_predictions(len(of_test), 23, strength=1.0, labels=run.split.labels(of_test))
    predictions = dataclasses.replace(drawn, paths=tuple(photo.path for photo in of_test),
                                      digests=tuple(photo.sha256 for photo in of_test))
    predictions.write(run.paths.predictions_file(MODEL))
    write_training(run, MODEL)
    accuracy = float((predictions.predicted == predictions.labels).mean())
    results_of(MODEL, accuracy, len(of_test), CLASSES, split_hash=run.split.hash,
               photos_hash=predictions.photos_hash(CLASSES)).write(run.paths.results_file(MODEL))
    return run


def test_the_files_of_a_million_records_stay_small(many: Run) -> None:
    """Of 60,000 records each JSON keeps below its share of 50 MB, and the page below 15 MB."""
    label_issues([many]).write(many.paths.label_issues_file)
    report = write_report(many.path)
    sizes = {path.name: path.stat().st_size for path in many.path.rglob("*.json")}
    assert {"split.json", "run.json", "label_issues.json"} <= sizes.keys()
    assert max(sizes.values()) < 50_000_000 * N / MILLION, sizes
    assert report.stat().st_size < 1_000_000  # there are no pictures
    text = re.sub(r"<[^>]+>", " ", report.read_text("utf-8"))
    assert "60,000 photos" in text
    by_part = [many.split.counts()[part]["material 00"] for part in ("train", "val", "test")]
    assert re.search(r"material 00\s+" + r"\s+".join(f"{n:,}" for n in by_part), text), by_part


def test_all_suspects_are_kept_however_many(many: Run) -> None:
    """The JSON holds the worst; whoever reads the list has all of them, as they were found."""
    found = label_issues([many])
    found.write(many.paths.label_issues_file)
    content = json.loads(many.paths.label_issues_file.read_text("utf-8"))
    assert len(content["issues"]) == label_quality.MOST_IN_JSON < len(found.issues) == content["n_issues"]
    assert LabelIssues.read(many.paths.label_issues_file) == found


def test_the_page_is_the_same_whether_the_split_is_json_or_columns(small_run: Path, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    split_file = tmp_path / "run" / "split.json"

    def page_of_photos() -> str:
        text = write_report(tmp_path / "run").read_text("utf-8")
        return text[:text.index('id="files"')]  # which lists split.json with its size

    before, split = page_of_photos(), Split.read(split_file)
    monkeypatch.setattr(columns, "MOST_IN_JSON", 1)
    split.write(split_file)
    assert columns.columns_beside(split_file).exists()
    assert page_of_photos() == before
    assert Run.open(tmp_path / "run").split == split


def test_a_page_of_many_models_keeps_its_size_and_says_what_is_left_out(tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """The best models keep their pictures; of the others the figures are there."""
    models = [f"model{number}" for number in range(12)]
    folder = report_folder(tmp_path / "run", [results_of(name, 0.9 - number / 100, split_hash="c0ffee",
                                                         classes=("glass", "wood"))
                                              for number, name in enumerate(models)])
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    for path in (folder / "reports").glob("*.png"):
        Image.fromarray(noise).save(path)
    whole = write_report(folder).stat().st_size
    monkeypatch.setattr(page, "LARGEST", whole // 2)
    monkeypatch.setattr(page, "_OF_A_PAGE", 200_000)
    monkeypatch.setattr(page, "_OF_A_MODEL", 10_000)
    text = write_report(folder).read_text("utf-8")
    assert len(text.encode()) < whole // 2
    assert not re.search(r"model0: [^<]* not on this page", text)
    assert re.search(r"model11: [^<]*Grad-CAM[^<]* not on this page", text)


def test_galleries_of_more_classes_than_have_room_are_of_the_weakest(small_run: Path, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class of the run has one mistake and five hits, and an answer of another: all are equally weak."""
    shutil.copytree(small_run, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    whole = make_gallery(run, NAMES[0])
    monkeypatch.setattr(galleries, "MOST_CLASSES", 2)
    bounded = make_gallery(run, NAMES[0])
    assert list(whole.per_class) == ["blue", "green", "red"]
    assert len(bounded.per_class) == 2
    assert [pair.count for pair in bounded.pairs] == [pair.count for pair in whole.pairs]


