"""Every metric of the registry: its value against other libraries, bounds, direction, interval, documentation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from builders import certain_predictions, drawn_predictions, predictions_of, results_of
from matlens.errors import ResultsError
from matlens.evaluation.metrics.metric import METRICS, Metric, metrics_of
from matlens.evaluation.metrics.scores import judge, weighted_metrics
from matlens.evaluation.metrics.stored import MetricValue
from matlens.evaluation.metrics.weighted import (
    PredictedPhotos,
    WeightedPhotos,
    are_probabilities,
    photo_losses,
    rank_of_truth,
)
from matlens.evaluation.results import Results
from matlens.system.files import read_json, write_json
from matlens.system.registry import Registry

CLASSES = tuple("abcdef")
EVERY = pytest.mark.parametrize("metric", METRICS.entries(), ids=list(METRICS))


def macro(score: str):
    """A macro average by scikit-learn; a class without a photo or an answer counts 0."""
    def compute(labels, probabilities, weight):
        found = metrics.precision_recall_fscore_support(labels, probabilities.argmax(1), sample_weight=weight,
                                                        labels=range(probabilities.shape[1]), zero_division=0)
        return found[("precision", "recall", "f1").index(score)].mean()

    return compute


def on_answers(function, **options):
    return lambda labels, probabilities, weight: function(labels, probabilities.argmax(1), sample_weight=weight,
                                                          **options)


def on_probabilities(function, **options):
    return lambda labels, probabilities, weight: function(
        labels, probabilities / probabilities.sum(axis=1, keepdims=True), labels=range(probabilities.shape[1]),
        sample_weight=weight, **options)


def aurc(labels, probabilities, weight):
    """The mean over k of the error rate among the k surest photos, in the order of confidence."""
    wrong = (probabilities.argmax(1) != labels)[np.argsort(-probabilities.max(1))]
    return (wrong.cumsum() / np.arange(1, len(labels) + 1)).mean()


REFERENCES = {
    "accuracy": on_answers(metrics.accuracy_score),
    **{f"macro_{score}": macro(score) for score in ("precision", "recall", "f1")},
    "macro_auc": lambda labels, probabilities, weight: np.mean([
        metrics.roc_auc_score(labels == number, probabilities[:, number], sample_weight=weight)
        for number in range(probabilities.shape[1])]),
    "mean_class_accuracy": on_answers(metrics.balanced_accuracy_score),
    "balanced_accuracy": on_answers(metrics.balanced_accuracy_score),
    "top_3": on_probabilities(metrics.top_k_accuracy_score, k=3),
    "top_5": on_probabilities(metrics.top_k_accuracy_score, k=5),
    "cohen_kappa": on_answers(metrics.cohen_kappa_score),
    "log_loss": on_probabilities(metrics.log_loss),
    "brier": lambda labels, probabilities, weight: np.average(
        ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1), weights=weight),
    "aurc": aurc,
}
"""By scikit-learn or by hand, of (labels, probabilities, weights). ECE and the temperature: test_calibration.py."""


@pytest.fixture(scope="module")
def judged() -> Results:
    return Results("m", **judge(drawn_predictions(300, 6), CLASSES, validation=drawn_predictions(200, 6, 1)).fields)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_score_is_that_of_another_library(name: str, judged: Results) -> None:
    predictions = drawn_predictions(300, 6)
    assert judged.scores[name].value == pytest.approx(
        REFERENCES[name](predictions.labels, predictions.probabilities.astype(float), None), abs=1e-6)


@pytest.mark.parametrize("digits", [8, 1], ids=["no ties", "ties"])
@pytest.mark.parametrize("classes", [2, 6])
def test_under_weights_a_score_is_scikit_learns_with_these_sample_weights(classes: int, digits: int) -> None:
    """Three weightings: ones, a draw with replacement, fractions."""
    predictions, rng = drawn_predictions(120, classes, labels=np.arange(120) % classes), np.random.default_rng(1)
    probabilities = predictions.probabilities.astype(float).round(digits)
    weights = np.stack([np.ones(120), rng.multinomial(120, [1 / 120] * 120), rng.random(120)], axis=1)
    found = weighted_metrics(WeightedPhotos(PredictedPhotos(probabilities, predictions.labels), weights))
    of_ties = {"top_3", "top_5", "log_loss"}  # scikit-learn takes the larger class number first, and wants exact sums
    compared = [name for name in found if digits == 8 or name not in of_ties]
    assert {"accuracy", "macro_f1", "macro_auc", "cohen_kappa"} <= set(compared)
    for name in compared:
        for column, weight in enumerate(weights.T):
            assert found[name][column] == pytest.approx(
                REFERENCES[name](predictions.labels, probabilities, weight), abs=1e-6), name


@EVERY
def test_the_interval_holds_the_value_and_the_value_keeps_to_the_bounds(metric: Metric, judged: Results) -> None:
    score = judged.scores[metric.name]
    assert score.value is not None and metric.holds(score.value)
    assert (score.interval is not None) is metric.has_interval
    assert not score.interval or score.interval[0] < score.value < score.interval[1]


@pytest.fixture(scope="module")
def ranked() -> list[Results]:
    """A model that is nearly always right, one that guesses, and one without a mistake."""
    labels = np.arange(120) % 6
    return [Results("m", **judge(predictions, CLASSES).fields) for predictions in (
        drawn_predictions(120, 6, 0, 8, labels), drawn_predictions(120, 6, 0, 0, labels),
        certain_predictions(labels, labels, 6))]


@EVERY
def test_what_is_declared_better_is_better(metric: Metric, ranked: list[Results]) -> None:
    good, guessing, perfect = (results.scores[metric.name].value for results in ranked)
    if metric.better is None:
        assert metric.best is None
        return
    assert good is not None and guessing is not None
    assert metric.better_of([good, guessing]) == good != guessing
    assert perfect == pytest.approx(metric.best, abs=1e-6)


@EVERY
def test_a_file_with_an_impossible_score_is_refused(metric: Metric, judged: Results, tmp_path: Path) -> None:
    """At the guide's key, or under `scores`; the message names the place."""
    path = judged.write(tmp_path / "m_results.json")
    for key in filter(None, (metric.key, f"scores.{metric.name}.value")):
        content = read_json(path)
        *above, last = key.split(".")
        inner = content
        for word in above:
            inner = inner[word]
        inner[last] = metric.bounds[0] - 0.5
        with pytest.raises(ResultsError, match=key.partition(".")[0]):
            Results.read(write_json(tmp_path / "other_results.json", content))


def test_results_before_there_were_scores_still_have_them(judged: Results, tmp_path: Path) -> None:
    """A file of an earlier version: no `scores`, and the arithmetic under the name of a score."""
    content = judged.to_json()
    del content["scores"]
    content["precision"] = "bfloat16"
    del content["arithmetic"]
    found = Results.read(write_json(tmp_path / "m_results.json", content))
    assert found.scores == judged.scores
    assert found.arithmetic == "bfloat16"


def test_scores_and_the_guides_keys_never_disagree() -> None:
    changed = dataclasses.replace(results_of(accuracy=0.5), accuracy=0.75)
    assert changed.scores["accuracy"] == MetricValue(0.75)


def test_a_score_of_a_metric_that_is_not_known_here_is_kept(tmp_path: Path) -> None:
    """The plug-in that declared it may be absent when the file is read and written again."""
    there = results_of(scores={"theirs": MetricValue(3.0, 2.0, 4.0)})
    assert Results.read(there.write(tmp_path / "m_results.json")).scores["theirs"] == MetricValue(3.0, 2.0, 4.0)


@EVERY
def test_the_documentation_has_the_metric_as_it_is_declared(metric: Metric) -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
    assert documented(metric) in text.splitlines(), documented(metric)


def test_the_documentation_has_no_other_metric() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
    section = text.split("## More than accuracy", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [documented(metric) for metric in METRICS.entries()]


def documented(metric: Metric) -> str:
    """The metric's row of the table in docs/evaluation.md."""
    low, high = ("∞" if end == float("inf") else f"{end:g}" for end in metric.bounds)
    source = f" ({metric.source})" if metric.source else ""
    best = "" if metric.best is None else f"{metric.best:g}"
    return (f"| `{metric.name}` | {metric.title} | {metric.meaning}{source} | {low} to {high} | {best} | "
            f"{'yes' if metric.has_interval else 'no'} |")


COMPLETE: dict[str, Any] = {"name": "mine", "title": "my score", "of": lambda probabilities, labels: 0.5}


@pytest.mark.parametrize("change", [
    {"name": ""}, {"name": "my score"}, {"name": "per_class"}, {"name": "split_hash"}, {"name": "accuracy_low"},
    {"title": " "}, {"of": None},
    {"weighted": lambda photos: None}, {"bounds": (1, 1)}, {"bounds": (2, 0)}, {"better": "higher"},
    {"table": "second"}, {"key": "mine"}], ids=str)
def test_an_incomplete_declaration_is_refused_by_its_name(change: dict[str, Any]) -> None:
    assert Metric(**COMPLETE).has_interval
    with pytest.raises(ValueError, match=f"'{change.get('name', 'mine')}'"):
        Metric(**COMPLETE | change)


def test_a_metric_is_declared_once() -> None:
    registry: Registry[Metric] = Registry("metric", "matlens.evaluation.metrics.declared")
    registry.register(Metric(**COMPLETE))
    with pytest.raises(ValueError, match="'mine'"):
        registry.register(Metric(**COMPLETE))


def test_the_main_table_begins_with_the_guides_scores() -> None:
    assert [metric.name for metric in metrics_of("main")][:5] == [
        "accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc"]


def plain(monkeypatch: pytest.MonkeyPatch, of: Any, **more: Any) -> Any:
    """What `judge` makes of a metric that is a plain function."""
    metric = Metric(**COMPLETE | {"of": of, **more})
    monkeypatch.setitem(METRICS._entries, metric.name, metric)
    return lambda: judge(drawn_predictions(100, 3), ("a", "b", "c")).fields


def test_a_plain_function_has_an_interval_from_draws_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same score as a plain function and as a weighted one: the ends agree up to the noise of 500 draws."""
    fields = plain(monkeypatch, lambda probabilities, labels: np.mean(probabilities.argmax(1) == labels))()
    mine, accuracy = fields["scores"]["mine"], fields["scores"]["accuracy"]
    assert mine.value == accuracy.value
    assert mine.interval == pytest.approx(accuracy.interval, abs=0.03)
    assert fields["intervals"]["mine"]["method"] == "percentile"


@pytest.mark.parametrize("undefined", [None, float("nan")])
def test_a_plain_function_may_be_undefined(monkeypatch: pytest.MonkeyPatch, undefined: float | None) -> None:
    assert plain(monkeypatch, lambda *_: undefined)()["scores"]["mine"] == MetricValue(None)


def test_a_draw_that_a_plain_function_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As scikit-learn refuses labels of one class; one photo is in each draw with a chance of 1 - 1/e."""
    def needs_the_surest_photo(probabilities, labels):
        if probabilities.max() < drawn_predictions(100, 3).probabilities.max():
            raise ValueError("the photo is missing")
        return float(labels.mean() / 2)

    score = plain(monkeypatch, needs_the_surest_photo)()["scores"]["mine"]
    assert score.low < score.value < score.high


def test_no_interval_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = plain(monkeypatch, lambda probabilities, labels: labels.mean() / 2, interval=False)()
    assert fields["scores"]["mine"].interval is None and "mine" not in fields["intervals"]


@pytest.mark.parametrize("of", [lambda *_: 1.5, lambda *_: 1 / 0, lambda: 0.5], ids=["impossible", "fails", "no args"])
def test_a_metric_that_gives_nonsense_is_named(monkeypatch: pytest.MonkeyPatch, of: Any) -> None:
    with pytest.raises(ResultsError, match="mine"):
        plain(monkeypatch, of)()


def test_brier_is_that_of_scikit_learn_and_of_hand() -> None:
    """Twice scikit-learn's for two classes, where it counts one of them; (1 - .7)^2 + .2^2 + .1^2 by hand."""
    predictions = drawn_predictions(50, 2)
    assert photo_losses(predictions.probabilities, predictions.labels)[1].mean() == pytest.approx(
        2 * metrics.brier_score_loss(predictions.labels, predictions.probabilities[:, 1]), abs=1e-6)
    assert photo_losses([[0.7, 0.2, 0.1]], np.array([0]))[1][0] == pytest.approx(0.09 + 0.04 + 0.01)
    assert photo_losses([[0, 1.0]], np.array([0]))[1][0] == 2


def test_an_impossible_answer_costs_what_it_costs_in_scikit_learn() -> None:
    """A probability of 0 for the truth would cost infinitely much: it counts as float32's smallest step from 1."""
    probabilities = np.array([[1, 0], [0.25, 0.75]], np.float32)
    assert photo_losses(probabilities, np.array([1, 1]))[0].mean() == pytest.approx(
        metrics.log_loss([1, 1], probabilities, labels=[0, 1]), rel=1e-6)


def test_of_equal_scores_the_smaller_number_comes_first() -> None:
    """As argmax has it, so that the first answer is the answer."""
    assert rank_of_truth([[0.4, 0.4, 0.2]] * 3, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_a_class_without_a_photo_counts_as_the_point_estimate_does() -> None:
    """Class c never has a photo: 0 in macro F1, left out of mean class accuracy. Without b's photo b is left out."""
    photos = PredictedPhotos(np.eye(3)[[0, 0, 1, 0]], np.array([0, 0, 1, 1]))
    weighted = WeightedPhotos(photos, np.array([[1, 1, 1, 1], [1, 1, 0, 0]], float).T)
    found = weighted_metrics(weighted)
    np.testing.assert_allclose(found["macro_f1"], [(4 / 5 + 2 / 3 + 0) / 3, (1 + 0) / 2])
    np.testing.assert_allclose(found["mean_class_accuracy"], [3 / 4, 1])
    assert found["macro_auc"][0] == pytest.approx(3 / 4)
    assert np.isnan(found["macro_auc"][1])
    assert weighted.counted.tolist() == [[True, True], [True, False], [True, True]]


@pytest.mark.parametrize("rows, are", [([[0.5, 0.5]], True), ([[0.3334, 0.3333, 0.3333]], True), ([[2.0, -1.0]], False),
                                       ([[0.9, 0.9]], False)])
def test_logits_are_no_probabilities(rows: list[list[float]], are: bool) -> None:
    assert are_probabilities(rows) is are
    fields = judge(predictions_of(rows, [0]), CLASSES[:len(rows[0])]).fields
    assert [fields[key] is not None for key in ("log_loss", "brier", "calibration")] == [are] * 3


def test_a_metric_cannot_change_what_the_others_are_computed_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(probabilities: Any, labels: Any) -> float:
        probabilities[:] = 0
        return 0.5

    with pytest.raises(ResultsError, match="mine"):
        plain(monkeypatch, careless)()


@pytest.mark.parametrize("weighted", [lambda photos: np.zeros(3), lambda photos: 1 / 0], ids=["shape", "failure"])
def test_a_weighted_metric_gives_a_number_for_each_weighting(monkeypatch: pytest.MonkeyPatch, weighted: Any) -> None:
    with pytest.raises(ResultsError, match="mine"):
        plain(monkeypatch, None, weighted=weighted)()
