"""Several seeds on one split: which runs there are, how a series goes on, and what is said of the methods."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import drawn_predictions, split_of
from matlens.data.split.splits import Split
from matlens.errors import ResultsError, RunError, SettingsError
from matlens.evaluation.metrics.scores import judge
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.features.engine import features_of
from matlens.jobs.rerun import Places, rerun
from matlens.jobs.series import compare_folders, run_series
from matlens.runs.run import Run
from matlens.runs.series import SeriesFolder
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

QUIET = Reporter(quiet=True)
STRENGTH = {"mobilenetv2_transfer": 1.2, "resnet50_transfer": 3.0, "inception_v1": 1.3}
LABELS = np.arange(120) % 3


@cache
def answers(model: str, seed: int) -> Predictions:
    """What a seed of a model answers; all of them to the same 120 photos."""
    return drawn_predictions(120, 3, seed + 1000 * list(STRENGTH).index(model), STRENGTH[model], LABELS)


@cache
def figures(model: str, seed: int) -> dict[str, Any]:
    """What follows from these answers."""
    return judge(answers(model, seed), ("a", "b", "c")).fields


def judged_run(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None = None, *,
               split: Split | None = None) -> None:
    """Stand in for the main job: a run with results and predictions, without training."""
    root = settings.data_dir.resolve()
    run = Run.begin(out, settings.model_copy(update={"data_dir": root}), root, split or split_of())
    for model in settings.models:
        answers(model, settings.seed).write(run.paths.predictions_file(model))
        Results(model_name=model, seconds={}, split_hash=run.split.hash, seed=settings.seed,
                **figures(model, settings.seed)).write(run.paths.results_file(model))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of the runs that a series starts."""
    started: list[Settings] = []

    def run(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None = None) -> None:
        started.append(settings)
        judged_run(settings, out, reporter)

    monkeypatch.setattr("matlens.jobs.series.run", run)
    return started


def asked(photos: Path, **options: object) -> Settings:
    return Settings.load(options={"data_dir": photos, "models": "mobilenetv2_transfer,resnet50_transfer", "seeds": 3,
                                  **options})


def test_seeds_count_up_and_share_the_split(drawn, tmp_path, jobs):
    """Else the spread would be that of other test photos, too."""
    series = run_series(asked(drawn, seed=7), tmp_path / "out", QUIET)
    assert [(settings.seed, settings.seed_of_split, settings.seeds) for settings in jobs] == [
        (7, 7, None), (8, 7, None), (9, 7, None)]
    assert sorted(run.path.name for run in series.runs().values()) == ["seed-7", "seed-8", "seed-9"]
    run_series(asked(drawn, seed=7, split_seed=1), tmp_path / "other", QUIET)
    assert {settings.seed_of_split for settings in jobs[3:]} == {1}


def test_a_series_goes_on_with_more_seeds(drawn, tmp_path, jobs, monkeypatch):
    """Three seeds tell little; two more must not cost five. The photos are named from another folder."""
    run_series(asked(drawn), tmp_path / "out", QUIET)
    monkeypatch.chdir(drawn.parent)
    series = run_series(asked(Path(drawn.name), seeds=5), tmp_path / "out", QUIET)
    assert list(SeriesFolder.open(series.path).seeds.values()) == [42, 43, 44, 45, 46]
    content = json.loads((series.reports / "series_results.json").read_text())
    assert list(content["models"]["resnet50_transfer"]["accuracy"]["by_seed"]) == [f"seed {42 + i}" for i in range(5)]


@pytest.mark.parametrize(("options", "fact"), [
    ({"seeds": 2}, "--seeds 3"), ({"seed": 43}, "other seeds"), ({"protocol": "kfold:3", "seeds": None}, "other seeds"),
    ({"seeds": 5, "max_epochs": 9}, "max_epochs"), ({"seeds": 5, "split_seed": 3}, "split_seed")])
def test_what_is_not_this_series_is_refused_and_leaves_it_as_it_was(drawn, tmp_path, jobs, options, fact):
    """Fewer seeds would leave out those that one dislikes; other settings would mix two methods."""
    series = run_series(asked(drawn), tmp_path / "out", QUIET)
    before = (series.path / "series.json").read_bytes()
    with pytest.raises(RunError, match=fact):
        run_series(asked(drawn, **options), series.path, QUIET)
    assert (series.path / "series.json").read_bytes() == before and len(jobs) == 3


@pytest.mark.parametrize(("options", "fact"), [
    ({"seeds": 0}, "1 to 100"), ({"seeds": 101}, "1 to 100"), ({"seeds": 3, "protocol": "kfold:5"}, "kfold:5:1"),
    ({"seeds": 3, "protocol": "minc:all"}, "minc:1"), ({"seeds": 3, "seed": 2**32 - 2}, "4294967296"),
    ({"split_seed": 1, "protocol": "minc:1"}, "--split-seed"), ({"split_seed": -1}, "split_seed"),
    ({"seeds": "x"}, "seeds")])
def test_more_seeds_than_sense_are_refused_before_anything_starts(options, fact):
    with pytest.raises(SettingsError, match=fact):
        Settings.load(options=options)


def test_one_seed_is_a_plain_run():
    """And without --split-seed the split follows --seed, as it always did."""
    assert not Settings.load(options={"seeds": 1}).is_series
    assert Settings.load(options={"seed": 5}).seed_of_split == 5
    assert Settings.load(options={"seed": 5, "split_seed": 6}).seed_of_split == 6
    assert Settings.load(options={"seeds": 2}).is_series


def test_a_run_that_knew_no_seed_of_the_split_goes_on(drawn, tmp_path):
    """Earlier versions recorded --seed alone; the split follows it, whether that is said or not."""
    settings = Settings.load(options={"data_dir": drawn, "seed": 5})
    run = Run.begin(tmp_path / "run", settings, drawn, split_of())
    content = json.loads(run.paths.run_file.read_text())
    del content["settings"]["seeds"], content["settings"]["split_seed"]
    run.paths.run_file.write_text(json.dumps(content))
    for split_seed in (None, 5):
        Run.begin(run.path, settings.model_copy(update={"split_seed": split_seed}), drawn, split_of())
    with pytest.raises(RunError, match="split_seed: 5 there, 6 now"):
        Run.begin(run.path, settings.model_copy(update={"split_seed": 6}), drawn, split_of())


@pytest.mark.parametrize("option", [("--seeds", "3"), ("--protocol", "kfold:5")])
def test_the_command_that_trains_once_refuses_several_trainings(drawn, tmp_path, option):
    from matlens.cli.main import app

    with pytest.raises(SettingsError, match=rf"{option[0]}.*matlens run"):
        app(["train", "inception_v1", "--data", str(drawn), "--out", str(tmp_path), *option], standalone_mode=False)


@pytest.mark.parametrize("name", ["model_comparison.md", "model_comparison.csv", "model_comparison.png",
                                  "series_results.json", "model_comparison.json"])
def test_a_comparison_replaces_nothing_but_an_earlier_one(drawn, tmp_path, jobs, matlens, name):
    """The user's own notes on a comparison may well have that name; a picture of it was even removed."""
    series = run_series(asked(drawn), tmp_path / "out", QUIET)
    for folder, place in ((tmp_path / "mine", series.path), (tmp_path / "mine", series.path / "seed-42")):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("notes")
        code, _, err = matlens("compare", place, "--out", folder)
        assert code == 2 and name in err and "--out" in err
        assert [file.name for file in folder.iterdir()] == [name] and (folder / name).read_text() == "notes"
    for place, witness in ((series.path, "series_results.json"), (series.path / "seed-42", "model_comparison.json")):
        for _ in range(2):  # the second one replaces the first
            code, _, err = matlens("compare", place, "--out", tmp_path / witness)
            assert code == 0, err
        (tmp_path / witness / "model_comparison.md").unlink()
        assert matlens("compare", place, "--out", tmp_path / witness)[0] == 0
        assert (tmp_path / witness / "model_comparison.md").exists()


def test_a_series_of_another_program_is_not_named_as_a_run_of_its_own(tmp_path, matlens):
    """A way out that names the very folder leads nowhere."""
    (tmp_path / "series.json").write_text('{"episodes": 3}')
    code, _, err = matlens("evaluate", tmp_path)
    assert code == 2 and "run.json" in err and "such as" not in err


def test_the_methods_are_tested_and_what_is_shown_says_so(drawn, tmp_path, jobs):
    """Strengths 1.2 and 3: plainly different; the page, the tables and the console name the better one."""
    series = run_series(asked(drawn), tmp_path / "out", QUIET)
    comparison = compare_folders([series.path])
    (test,) = comparison.tests
    assert (test.first, test.second, test.n_runs, test.is_real) == ("resnet50_transfer", "mobilenetv2_transfer", (3, 3),
                                                                    True)
    low, high = test.interval
    assert 0 < low < test.difference < high
    expected = [np.mean([np.mean(answers(model, seed).predicted == LABELS) for seed in (42, 43, 44)])
                for model in ("resnet50_transfer", "mobilenetv2_transfer")]
    assert test.difference == pytest.approx(expected[0] - expected[1])
    lines = comparison.lines()
    assert max(map(len, lines)) <= 80 and "resnet50_transfer is better" in " ".join(" ".join(lines).split())
    for name in ("report.html", "reports/model_comparison.md"):
        text = (series.path / name).read_text()
        assert "resnet50_transfer is better than mobilenetv2_transfer" in text and "standard deviation" in text
    page = (series.path / "report.html").read_text()
    assert 'href="./seed-44/report.html"' in page
    written = json.loads((series.reports / "series_results.json").read_text())
    assert written["methods"][0]["is_real"] is True and written["over"] == "seeds"
    assert written["models"]["resnet50_transfer"]["scores"]["macro_f1"]["interval"] is not None


def test_intervals_and_verdicts_cannot_disagree(drawn, tmp_path, jobs):
    """Of three pairs each interval is at the level of its step in Holm's procedure: 1 - 5 % / 3, / 2 or / 1."""
    series = run_series(asked(drawn, models=",".join(STRENGTH), seeds=4), tmp_path / "out", QUIET)
    tests = compare_folders([series.path]).tests
    assert len(tests) == 3 and len({test.is_real for test in tests}) == 2, "both kinds are there"
    for test in tests:
        assert test.is_real == (test.interval[0] > 0 or test.interval[1] < 0) == (test.p_holm < 0.05)
        assert -1 <= test.interval[0] <= test.interval[1] <= 1
    steps = sorted(round(0.05 / (1 - test.confidence)) for test in tests)
    assert steps[-1] == 3 and set(steps) <= {1, 2, 3}


def test_series_of_seeds_are_compared_as_methods(drawn, tmp_path, jobs):
    """Two recipes, the same photos; with the same seeds in pairs, with others as samples of their own."""
    first = run_series(asked(drawn, models="resnet50_transfer"), tmp_path / "first", QUIET)
    second = run_series(asked(drawn, models="mobilenetv2_transfer"), tmp_path / "second", QUIET)
    longer = run_series(asked(drawn, models="mobilenetv2_transfer", seeds=4), tmp_path / "longer", QUIET)
    assert compare_folders([first.path, second.path]).tests[0].n_runs == (3, 3)
    comparison = compare_folders([first.path, longer.path])
    (test,) = comparison.tests
    assert test.n_runs == (3, 4) and {test.first, test.second} == {
        "first/resnet50_transfer", "longer/mobilenetv2_transfer"}
    means = {row.model: row.accuracy.mean for row in comparison.rows}
    assert test.difference == pytest.approx(means[test.first] - means[test.second])
    with pytest.raises(ResultsError, match="several seeds"):
        (tmp_path / "folds").mkdir()
        compare_folders([first.path, SeriesFolder.of_splits(tmp_path / "folds", "random", ("x",)).create().path])


def test_methods_on_other_photos_are_neither_ranked_nor_tested(drawn, tmp_path, jobs, monkeypatch):
    """--split-seed 1 and 2 have other test photos."""
    first = run_series(asked(drawn), tmp_path / "first", QUIET)
    monkeypatch.setattr("matlens.jobs.series.run", lambda settings, out, reporter, split_hash: judged_run(
        settings, out, reporter, split=split_of(per_class=3)))
    other = run_series(asked(drawn, split_seed=1), tmp_path / "other", QUIET)
    comparison = compare_folders([first.path, other.path])
    assert not comparison.same_photos and comparison.tests == ()
    assert "must not be ranked" in comparison.to_markdown()


def test_missing_predictions_cost_the_interval_and_nothing_else(drawn, tmp_path, jobs):
    """Means and deviations need results alone; the reader is told which file is gone."""
    series = run_series(asked(drawn), tmp_path / "out", QUIET)
    gone = series.path / "seed-43" / "reports" / "resnet50_transfer_predictions.npz"
    gone.unlink()
    comparison = compare_folders([series.path])
    spread = {row.model: row.accuracy for row in comparison.rows}
    assert spread["resnet50_transfer"].interval is None and spread["resnet50_transfer"].deviation is not None
    assert spread["mobilenetv2_transfer"].interval is not None and comparison.tests == ()
    assert str(gone) in " ".join(comparison.notes)


def test_a_model_that_failed_with_one_seed_is_judged_by_the_others(drawn, tmp_path, jobs):
    series = run_series(asked(drawn), tmp_path / "out", QUIET)
    (series.path / "seed-43" / "reports" / "resnet50_transfer_results.json").unlink()
    comparison = compare_folders([series.path])
    row = comparison.rows[0]
    assert (row.runs, row.missing) == (("seed 42", "seed 44"), ("seed 43",))
    assert comparison.tests[0].n_runs == (2, 3)


def test_a_series_of_seeds_is_repeated_with_its_seeds(drawn, tmp_path, jobs):
    series = run_series(asked(drawn, seed=5), tmp_path / "out", QUIET)
    repetition = rerun(series.path, tmp_path / "again", QUIET, Places(data=drawn))
    assert SeriesFolder.open(tmp_path / "again").seeds == series.seeds
    assert len(repetition.same) == 6 and not repetition.differences


def test_no_line_of_the_console_is_too_long_for_long_names(drawn, tmp_path, jobs):
    name = "a-series-whose-folder-has-a-name-of-some-length"
    paths = [run_series(asked(drawn), tmp_path / f"{name}-{number}", QUIET).path for number in (1, 2)]
    lines = compare_folders(paths).lines()
    assert max(len(line) for line in lines if not re.search(rf"{name}\S*$", line)) <= 80


@pytest.mark.keras
@pytest.mark.slow
def test_seeds_of_a_frozen_trunk_share_its_features(drawn, published, kept_trunks, tmp_path, monkeypatch):
    """What takes long is done once; the seeds differ in the head, and so in what they answer."""
    settings = Settings.load(options={
        "data_dir": drawn, "img_size": 64, "model_options": ["alpha=0.35"], "models": "mobilenetv2_transfer",
        "batch_size": 8, "max_epochs": 1, "weights_dir": published.parent, "cache_dir": kept_trunks, "seeds": 2,
        "split_seed": 3})
    features = []

    def counted(engine, photos, n, on_progress):
        features.append(n)
        return features_of(engine, photos, n, on_progress)

    monkeypatch.setattr("matlens.features.cache.features_of", counted)
    first, second = run_series(settings, tmp_path / "out", QUIET).runs().values()
    assert features in ([48], [])  # none where another test has left them in the cache
    assert first.split.hash == second.split.hash and first.split.seed == 3
    judged = [Predictions.read(run.paths.predictions_file("mobilenetv2_transfer")) for run in (first, second)]
    assert not np.array_equal(judged[0].probabilities, judged[1].probabilities)
    plain = dataclasses.replace(judged[0], probabilities=judged[1].probabilities)
    assert plain.paths == judged[1].paths
