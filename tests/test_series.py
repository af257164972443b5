"""Several splits of one protocol: what their runs say together, and what must not be said."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from builders import begin_run
from matlens.comparison.compared_methods import Spread
from matlens.comparison.series import SeriesComparison
from matlens.data.source.minc import CLASS_NAMES
from matlens.errors import DataError, ResultsError, RunError, WorkerError
from matlens.evaluation.results import Results
from matlens.features.engine import features_of
from matlens.jobs.series import compare_folders, run_series, summarise_series
from matlens.runs.run import Run
from matlens.runs.series import SeriesFolder, runs_in
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

SPLITS = ("minc:1", "minc:2", "minc:3")
SCORE = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}
ACCURACIES = {"mobilenetv2_transfer": (0.70, 0.80, 0.90), "resnet50_transfer": (0.72, 0.74, 0.76)}


def results(model: str, accuracy: float, split: str, **changes: object) -> Results:
    return dataclasses.replace(Results(
        model_name=model, class_names=("a", "b"), n_test=100, accuracy=accuracy, macro_precision=0.5, macro_recall=0.5,
        macro_f1=accuracy / 2, per_class={"a": SCORE, "b": SCORE}, classification_report="", confusion_matrix=[],
        roc_auc={"macro": 0.9}, split_hash=f"hash of {split}", protocol=split), **changes)


@pytest.fixture
def series(tmp_path: Path) -> SeriesFolder:
    """Two models that were judged on three splits."""
    made = SeriesFolder.of_splits(tmp_path / "series", "minc:all", SPLITS).create()
    for number, (name, split) in enumerate(made.splits.items()):
        folder = begin_run(made.path / name, Settings.load(options={
            "protocol": split, "models": list(ACCURACIES), "data_dir": tmp_path}))
        for model, accuracies in ACCURACIES.items():
            results(model, accuracies[number], split).write(folder.paths.results_file(model))
    return made


def test_mean_and_sample_standard_deviation(series):
    """As papers give them: 80 ± 10 for 70, 80, 90 (n - 1 in the denominator)."""
    comparison = summarise_series(series)
    assert comparison is not None
    assert [row.model for row in comparison.rows] == ["mobilenetv2_transfer", "resnet50_transfer"]
    assert [str(row.accuracy) for row in comparison.rows] == ["80.0 ± 10.0 %", "74.0 ± 2.0 %"]
    assert [row.accuracy.deviation for row in comparison.rows] == pytest.approx([0.1, 0.02])
    content = json.loads((series.reports / "series_results.json").read_text())["models"]["resnet50_transfer"]
    assert content["accuracy"]["mean"] == pytest.approx(0.74)
    assert content["accuracy"]["by_split"] == {"minc:1": 0.72, "minc:2": 0.74, "minc:3": 0.76}
    assert content["macro_f1"]["mean"] == pytest.approx(0.37)
    rows = list(csv.DictReader((series.reports / "model_comparison.csv").read_text().splitlines()))
    assert [(row["model"], row["n_splits"], float(row["min_accuracy"]), float(row["max_accuracy"]), row["n_test"])
            for row in rows] == [("mobilenetv2_transfer", "3", 0.7, 0.9, "300"),
                                 ("resnet50_transfer", "3", 0.72, 0.76, "300")]


def test_every_metric_has_its_mean_and_its_spread(series):
    """Accuracy and macro F1 alone hide what the runs' own tables show; a metric that a run lacks is left out."""
    comparison = summarise_series(series)
    scores = json.loads((series.reports / "series_results.json").read_text())["models"]["resnet50_transfer"]["scores"]
    assert scores["macro_auc"]["mean"] == pytest.approx(0.9) and scores["macro_auc"]["standard_deviation"] == 0
    assert scores["macro_recall"]["by_split"] == dict.fromkeys(SPLITS, 0.5)
    assert "log_loss" not in scores
    assert "| 90.0 ± 0.0 % |" in comparison.to_markdown()


def test_the_interval_of_the_mean_is_nadeau_and_bengios(series):
    """The split has 4 photos of each part and class: three splits, test / train = 1, t of 2 is 4.3027, s = 2 points."""
    row = summarise_series(series).rows[1]
    half = 4.302653 * 0.02 * math.sqrt(1 / 3 + 1)
    assert row.accuracy.interval == pytest.approx((0.74 - half, 0.74 + half), rel=1e-6)
    (test,) = summarise_series(series).tests
    differences = np.array([-0.02, 0.06, 0.14])
    t = differences.mean() / math.sqrt((1 / 3 + 1) * differences.var(ddof=1))
    assert test.p_value == pytest.approx(2 * stats.t.sf(t, 2)) and not test.is_real


def test_the_console_says_what_the_deviation_is_and_fits_a_terminal(series):
    """± is read as a standard error, which it is not."""
    lines = summarise_series(series).lines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "± is the sample standard deviation over the splits" in text and "80.0 ± 10.0 %" in text


def test_the_page_says_how_often_the_first_is_ahead_and_leads_to_the_runs(series):
    """Ahead on 2 of 3 splits (70 < 72, 80 > 74, 90 > 76), by (-2 + 6 + 14) / 3 points."""
    summarise_series(series)
    page = (series.path / "report.html").read_text()
    assert "ahead of resnet50_transfer on 2 of 3 splits, by 6.0 points on average" in page
    assert all(f'href="./minc-{number}/report.html"' in page for number in (1, 2, 3))


def test_means_over_different_splits_are_not_ranked(series):
    """A model that is judged on the easy splits only would come first."""
    (series.path / "minc-3/reports/resnet50_transfer_results.json").unlink()
    comparison = summarise_series(series)
    assert comparison is not None and not comparison.same_photos
    assert "must not be ranked" in comparison.to_markdown()
    assert "missing" in (series.path / "report.html").read_text()
    assert comparison.rows[-1].missing == ("minc:3",)


def test_one_value_has_no_deviation():
    """± 0 would claim what nobody knows."""
    assert str(Spread((0.8,))) == "80.0 %"
    assert Spread((0.8,)).deviation is None


def test_series_compare_with_series_of_the_same_splits_only(series, tmp_path):
    """Two recipes on five splits each can be compared; a series and a run, or minc:all and folds, cannot."""
    other = shutil.copytree(series.path, tmp_path / "other")
    comparison = compare_folders([series.path, other])
    assert isinstance(comparison, SeriesComparison) and comparison.same_photos
    assert [row.model for row in comparison.rows][:2] == ["other/mobilenetv2_transfer", "series/mobilenetv2_transfer"]
    with pytest.raises(ResultsError, match="cannot be put side by side"):
        compare_folders([series.path, series.path / "minc-1"])
    manifest = other / "series.json"
    manifest.write_text(manifest.read_text().replace("minc:all", "kfold:3"))
    with pytest.raises(ResultsError, match="other splits each"):
        compare_folders([series.path, other])


def test_a_series_that_is_named_twice_is_one(series):
    """Twice by the same name, and by another that leads there; a tie of a method with itself says nothing."""
    alone = compare_folders([series.path])
    for again in (series.path, series.path / ".." / series.path.name):
        twice = compare_folders([series.path, again])
        assert [row.model for row in twice.rows] == [row.model for row in alone.rows]


def test_published_results_stand_below_with_their_protocol(series):
    """Bell et al. judged on five splits, others on one: a reader must see which."""
    comparison = compare_folders([series.path], literature=True)
    assert comparison.published == ()  # these are not MINC-2500's classes
    for file in series.path.rglob("*_results.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps(
            content | {"class_names": CLASS_NAMES, "per_class": dict.fromkeys(CLASS_NAMES, SCORE)}))
    table = compare_folders([series.path], literature=True).to_markdown()
    assert "| published: AlexNet (Bell et al. 2015): mean over splits 1 to 5, ± 0.2 | 76.0 % | n/a | n/a |" in table
    assert "not ranked" in table


def test_another_split_behind_the_same_name_is_seen(series, tmp_path):
    """minc:1 of another folder of photos is another split."""
    other = shutil.copytree(series.path, tmp_path / "other")
    for file in other.rglob("*_results.json"):
        file.write_text(file.read_text().replace("hash of", "another hash of"))
    assert not compare_folders([series.path, other]).same_photos


def test_the_runs_of_a_series_are_found_and_its_folder_is_no_run(series, tmp_path):
    """What takes runs takes a series for all of its runs; what takes one run says which there are."""
    assert [run.path.name for run in runs_in([series.path])] == ["minc-1", "minc-2", "minc-3"]
    with pytest.raises(RunError, match=r"name one of the runs in it, such as .*minc-1"):
        Run.open(series.path)
    with pytest.raises(RunError, match="other splits"):
        SeriesFolder.of_splits(series.path, "kfold:3", ("kfold:3:1",)).create()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(RunError, match="is there already"):
        SeriesFolder.of_splits(tmp_path / "used", "minc:all", SPLITS).create()


def test_a_model_that_fails_on_one_split_leaves_the_others_standing(drawn, tmp_path, monkeypatch):
    """Hours of other splits must not be lost; the same command goes on."""
    done = []

    def run(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None) -> None:
        done.append(settings.protocol)
        if settings.protocol == "kfold:4:2":
            raise WorkerError("killed")

    monkeypatch.setattr("matlens.jobs.series.run", run)
    with pytest.raises(WorkerError, match=r"1 of 4 splits \(kfold:4:2\)"):
        run_series(Settings.load(options={"data_dir": drawn, "protocol": "kfold:4"}), tmp_path / "out",
                   Reporter(quiet=True))
    assert done == [f"kfold:4:{fold}" for fold in (1, 2, 3, 4)]


def test_a_series_whose_first_run_cannot_begin_leaves_nothing(drawn, tmp_path):
    """An empty series would be the newest run, which `last` stands for."""
    with pytest.raises(DataError, match="each of the 99 parts"):
        run_series(Settings.load(options={"data_dir": drawn, "protocol": "kfold:99", "weights": "none",
                                          "models": "inception_v1"}), tmp_path / "out", Reporter(quiet=True))
    assert not (tmp_path / "out" / "series.json").exists()


@pytest.mark.keras
@pytest.mark.slow
def test_folds_of_a_real_run_share_features_and_judge_each_photo_once(drawn, published, kept_trunks, tmp_path,
                                                                      monkeypatch):
    """A frozen trunk sees each photo once for all folds; then the test parts are all of the photos."""
    settings = Settings.load(options={
        "data_dir": drawn, "img_size": 64, "model_options": ["alpha=0.35"],
        "models": "mobilenetv2_transfer", "batch_size": 8,
        "max_epochs": 1, "weights_dir": published.parent, "cache_dir": kept_trunks, "protocol": "kfold:3"})
    features = []

    def counted(engine, photos, n, on_progress):
        features.append(n)
        return features_of(engine, photos, n, on_progress)

    monkeypatch.setattr("matlens.features.cache.features_of", counted)
    series = run_series(settings, tmp_path / "out", Reporter(quiet=True))
    judged = [json.loads(run.paths.results_file("mobilenetv2_transfer").read_text()) for run in series.runs().values()]
    assert sum(each["n_test"] for each in judged) == 48
    assert features == [48]
    assert (series.path / "report.html").exists()
