"""Photos that belong together: what intervals of scores make of them, against SciPy, closed forms and bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from builders import begin_run, certain_predictions, drawn_predictions, predictions_of, split_of
from matlens.evaluation.inference.bootstrap import Quantity, bootstrap, group_bootstrap
from matlens.evaluation.inference.groups import FEWEST, MANY, Groups, design_effect, mean_scatter, photos_worth
from matlens.evaluation.intervals import mean_interval, share_interval, wilson
from matlens.evaluation.material_groups import MaterialGroups
from matlens.evaluation.metrics.scores import judge
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results

NAMES = ("a", "b", "c")


def together(predictions: Predictions, groups) -> Predictions:
    """The same predictions of photos in groups."""
    return dataclasses.replace(predictions, together=np.asarray(groups, np.int64))


def tenfold(n: int = 60) -> Predictions:
    """Each photo ten times over, known as copies."""
    once = drawn_predictions(n, 3, labels=np.arange(n) % 3)
    return together(predictions_of(np.repeat(once.probabilities, 10, axis=0), np.repeat(once.labels, 10)),
                    np.repeat(np.arange(n), 10))


def test_where_each_photo_stands_alone_nothing_changes():
    """Whatever numbers the groups of single photos have, each figure is that of photos without groups, to the digit."""
    plain = drawn_predictions(90, 3)
    expected = judge(plain, NAMES)
    for numbers in (np.arange(90), np.random.default_rng(0).permutation(1000)[:90]):
        found = judge(together(plain, numbers), NAMES)
        assert found.fields == expected.fields and found.remarks == ()
    assert "n_groups" not in expected.fields


def test_copies_that_are_known_as_copies_add_nothing():
    """Ten copies of each of 120 photos: the intervals of the 120 photos, but for the t quantile of 119 degrees."""
    many = tenfold(120)
    once = drawn_predictions(120, 3, labels=np.arange(120) % 3)
    alone, copied = judge(once, NAMES).fields, judge(many, NAMES).fields
    assert (copied["n_groups"], copied["n_test"]) == (120, 1200)
    assert copied["design_effect"] == pytest.approx(10 * 1199 / 1200 * 120 / 119, rel=1e-6)
    for name in ("accuracy", "macro_f1", "roc_auc_macro", "log_loss"):
        ours, theirs = copied["intervals"][name], alone["intervals"][name]
        width = theirs["high"] - theirs["low"]
        assert ours["method"] == "bca"
        assert (ours["low"], ours["high"]) == pytest.approx((theirs["low"], theirs["high"]), abs=0.06 * width)
        assert 0.999 * width < ours["high"] - ours["low"] < 1.1 * width
    ignored = judge(dataclasses.replace(many, together=None), NAMES).fields["intervals"]["accuracy"]
    assert ignored["high"] - ignored["low"] < 0.4 * width_of(copied["intervals"]["accuracy"])


def width_of(interval) -> float:
    return interval["high"] - interval["low"]


def test_drawing_groups_is_scipys_bootstrap_of_their_means():
    """A mean over photos of equal groups is the mean of the groups' means, which SciPy resamples; 2,000 draws each."""
    rng = np.random.default_rng(4)
    means = rng.exponential(size=120)
    values, groups = np.repeat(means, 3), Groups.of(np.repeat(np.arange(120), 3))
    ours = group_bootstrap(lambda weights: {"mean": values @ weights / weights.sum(axis=0)}, groups,
                           np.zeros(360, np.int64), {"mean": Quantity((0, np.inf), False)}, draws=20_000)["mean"][0]
    reach = 2 * stats.norm.cdf(stats.t.ppf(0.975, 119) * np.sqrt(120 / 119)) - 1
    theirs = stats.bootstrap((means,), np.mean, confidence_level=reach, n_resamples=20_000, method="BCa",
                             rng=np.random.default_rng(0)).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.02)


def test_of_few_groups_the_interval_is_a_t_interval():
    """Twelve equal groups: Wilson's, of as many photos as SciPy's error of the groups' means is worth, as far as t.

    A quarter of a group that is half right scatters, too: 1/4 (value - 1/2)^2 / (12 * 11) is added to the variance.
    """
    rng = np.random.default_rng(5)
    right = rng.random((12, 8)) < rng.uniform(0.4, 0.95, (12, 1))
    groups, value = Groups.of(np.repeat(np.arange(12), 8)), right.mean()
    flat = right.ravel().astype(float)
    ours = group_bootstrap(lambda weights: {"accuracy": flat @ weights / weights.sum(axis=0)}, groups,
                           np.zeros(96, np.int64), {"accuracy": Quantity(of_classes=False)})["accuracy"][0]
    photos = value * (1 - value) / (stats.sem(right.mean(axis=1)) ** 2 + (value - 0.5) ** 2 / 4 / 132)
    ends = wilson(value * photos, photos, reach=stats.t.ppf(0.975, 11))
    assert photos > 12 and ours.method == "t" and (ours.low, ours.high) == pytest.approx((ends.low, ends.high))
    plain = mean_interval(flat, groups)
    assert (plain.low, plain.high) == pytest.approx(stats.t.interval(0.95, 11, value, stats.sem(right.mean(axis=1))))


@pytest.mark.parametrize("largest", [20, 500, 5000])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_a_group_that_holds_most_photos_leaves_intervals_that_say_little_and_no_defect(largest, share):
    """Five photos stand alone beside it: worth 1.0 to 1.5 groups, for which Student's t reaches beyond floats."""
    rng = np.random.default_rng(largest)
    groups = np.repeat(np.arange(6), [largest, 1, 1, 1, 1, 1])
    labels = rng.integers(3, size=len(groups))
    answers = np.where(rng.random(len(groups)) < share, labels, (labels + 1) % 3)
    probabilities = np.where(answers[:, None] == np.arange(3), 0.8, 0.1)
    found = judge(together(predictions_of(probabilities, labels), groups), NAMES).fields
    interval = found["intervals"]["accuracy"]
    assert 0 <= interval["low"] <= found["accuracy"] <= interval["high"] <= 1
    assert width_of(interval) > 0.5
    log_loss = found["intervals"]["log_loss"]
    assert log_loss is None or 0 < log_loss["low"] <= found["log_loss"] <= log_loss["high"] < 1000 * found["log_loss"]


def test_shares_count_groups_not_photos():
    """Identical photos of 30 groups: Wilson's interval of 30 photos, but for the t quantile. All right: the same.

    Where groups are alike, each with 4 of 5 photos right or each with 2 of 5, photos count, though never more than all.
    """
    hits = np.repeat(np.arange(30) < 21, 5)
    groups = Groups.of(np.repeat(np.arange(30), 5))
    found, reach = share_interval(hits, groups), stats.t.ppf(0.975, 29)
    expected = wilson(21, 30, reach=reach)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
    for alike in (4, 2):
        found, expected = share_interval(np.arange(150) % 5 < alike, groups), wilson(30 * alike, 150, reach=reach)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
    certain = share_interval(np.ones(150, bool), groups)
    assert certain == wilson(30, 30, reach=reach) and certain.high == 1
    assert share_interval(hits, Groups.single(150)) == wilson(105, 150)


def test_a_poor_group_that_may_be_missing_among_few_counts():
    """Ten groups that are right on 9 to 10 of 10 photos: their scatter alone promises what one poor group would refute.

    By hand: mean 0.97, variance of the mean (3 * 0.07^2 + 7 * 0.03^2) / 90 = 0.00023, and 1/4 * 0.47^2 / 90 = 0.00061
    for the unseen: 0.0291 / 0.00085 = 34 photos.
    """
    right = np.concatenate([np.arange(10) < (9 if group < 3 else 10) for group in range(10)])
    groups = Groups.of(np.repeat(np.arange(10), 10))
    scatter = (3 * 0.07**2 + 7 * 0.03**2) / 90
    assert mean_scatter(groups, right)[1] ** 2 == pytest.approx(scatter)
    photos = photos_worth(10, 0.97, scatter)
    assert photos == pytest.approx(0.0291 / (scatter + 0.47**2 / 360)) == pytest.approx(34.4, abs=0.1)
    found, expected = share_interval(right, groups), wilson(0.97 * photos, photos, reach=stats.t.ppf(0.975, 9))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert photos_worth(10, 0.75, scatter, poor=0.75) == pytest.approx(0.1875 / scatter)
    assert photos_worth(10, 0.999, 0.01) == 10, "photos of a group are no more alike than copies"


def test_the_scatter_of_a_mean_over_unequal_groups_is_linearised():
    """By hand: values 1, 1 | 0 | 1, 0, 0: mean 1/2; sums of deviations 1, -1/2, -1/2; (3/2 * 3/2)^(1/2) / 6."""
    groups = Groups.of([0, 0, 1, 2, 2, 2])
    assert mean_scatter(groups, np.array([1, 1, 0, 1, 0, 0])) == pytest.approx((0.5, 1.5 / 6))
    assert groups.effective == 36 / 14
    assert design_effect(groups, np.array([1, 1, 1, 1, 1, 1])) is None


@pytest.mark.parametrize("groups", [np.r_[np.zeros(100), np.arange(1, 20)], np.arange(120) % 5, np.arange(120) % 20],
                         ids=["one group of 100", "5 groups", "20 groups"])
def test_a_model_that_is_always_right_is_as_sure_as_its_groups_by_size(groups):
    """The accuracy and its Wilson interval count the same groups, with the same t distribution."""
    labels = np.arange(len(groups)) % 3
    intervals = judge(together(certain_predictions(labels, labels, 3), groups), NAMES).fields["intervals"]
    accuracy, shares = intervals["accuracy"], intervals["accuracy_wilson"]
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((shares["low"], shares["high"]))
    effective = Groups.of(groups).effective
    assert accuracy["low"] == pytest.approx(1 / (1 + stats.t.ppf(0.975, effective - 1) ** 2 / effective))


# Bad input


@pytest.mark.parametrize("count", [2, 4])
def test_of_few_groups_nothing_has_an_interval(count):
    """The remark says that no score has one: nor has a share, of a class or of all photos."""
    labels = np.repeat([0, 1, 2], 40)
    found = judge(together(drawn_predictions(120, 3, labels=labels), np.arange(120) % count), NAMES)
    intervals = found.fields["intervals"]
    assert all(value is None for name, value in intervals.items() if name != "per_class")
    assert all(value is None for of_class in intervals["per_class"].values() for value in of_class.values())
    assert all(pair.get("interval") is None for pair in found.fields["confused_pairs"])


def test_one_group_gives_no_interval_and_says_so():
    found = judge(together(drawn_predictions(40, 3), np.zeros(40)), NAMES)
    intervals = found.fields["intervals"]
    assert all(value is None for name, value in intervals.items() if name != "per_class")
    assert all(value is None for of_class in intervals["per_class"].values() for value in of_class.values())
    assert (found.fields["n_groups"], found.fields["design_effect"]) == (1, None)
    assert str(FEWEST) in " ".join(found.remarks)


def test_groups_that_cover_a_whole_class_leave_its_scores_without_an_interval():
    """KTH by sample: each class is one sample. What is due to the class and what to the sample cannot be told apart."""
    labels = np.repeat(np.arange(8), 20)
    found = judge(together(drawn_predictions(160, 8, labels=labels), labels), tuple("abcdefgh"))
    intervals = found.fields["intervals"]
    for name in ("macro_f1", "macro_recall", "mean_class_accuracy", "roc_auc_macro"):
        assert intervals[name] is None
    assert all(of_class["recall"] is None and of_class["f1"] is None for of_class in intervals["per_class"].values())
    assert intervals["accuracy"]["method"] == "t"  # over samples, and their classes, drawn as these were
    assert "a, b, c, d, e and 3 more" in found.remarks[1] and "accuracy" in found.remarks[1]


def test_only_the_class_with_one_group_is_left_without():
    labels = np.repeat([0, 1, 2], 100)
    groups = np.concatenate([np.arange(200) // 4, np.full(100, 99)])
    found = judge(together(drawn_predictions(300, 3, labels=labels), groups), NAMES)
    per_class = found.fields["intervals"]["per_class"]
    assert [per_class[name]["recall"] is None for name in NAMES] == [False, False, True]
    assert found.fields["intervals"]["macro_f1"] is None and found.fields["intervals"]["accuracy"] is not None


def test_a_group_in_two_classes_is_drawn_whole():
    """A scene with two materials: all photos of it are drawn, or none."""
    labels = np.arange(200) % 2
    groups = Groups.of(np.arange(200) // 5)
    weights = []
    group_bootstrap(lambda given: weights.append(given) or {"n": given.sum(axis=0)}, groups, labels,
                    {"n": Quantity((0, np.inf), False)}, draws=50)
    for block in weights:
        assert all((block[groups.of_photo == number] == block[groups.of_photo == number][0]).all()
                   for number in range(groups.count))
    assert groups.in_one_group(labels) == []


def test_one_large_group_among_many_small_ones_is_not_many_groups():
    """300 photos of one scene and 100 single ones: 101 groups tell as much as fewer than two of equal size."""
    groups = Groups.of(np.concatenate([np.zeros(300), np.arange(1, 101)]))
    assert groups.count == 101 and groups.effective < 2 < MANY and not groups.are_many


def test_groups_of_two_sources_are_joined():
    joined = Groups.joined([0, 0, 1, 1, 2, 3], [5, 6, 6, 7, 8, 9])
    assert joined.of_photo.tolist() == [0, 0, 0, 0, 1, 2]
    chain = Groups.joined(np.arange(100) // 2, (np.arange(100) + 1) // 2)
    assert chain.count == 1


def test_results_say_photos_groups_and_design_effect_and_read_them_back(tmp_path):
    fields = judge(tenfold(), NAMES).fields
    results = Results("m", **fields)
    again = Results.read(results.write(tmp_path / "reports" / "m_results.json"))
    assert (again.n_groups, again.design_effect) == (60, fields["design_effect"])
    assert "n_groups" not in Results("m", **judge(drawn_predictions(20, 3), NAMES).fields).to_json()


def test_shares_of_groups_of_materials_and_of_confused_pairs_go_by_groups_too():
    many = tenfold()
    alone = dataclasses.replace(many, together=None)
    groups = MaterialGroups.of({"ab": ["a", "b"]}, NAMES, "test")
    wide, narrow = (groups.scores(predictions)["interval"] for predictions in (many, alone))
    assert width_of(wide) > 2 * width_of(narrow)
    wide, narrow = (judge(predictions, NAMES).fields["confused_pairs"][0]["interval"] for predictions in (many, alone))
    assert width_of(wide) > 2 * width_of(narrow)


def test_a_metric_of_ones_own_is_drawn_by_groups(monkeypatch):
    """A plain function is called for each draw of whole groups; the same value thrice over is known no better."""
    from matlens.evaluation.metrics import scores
    from matlens.evaluation.metrics.metric import Metric

    metric = Metric("own", "own", of=lambda rows, labels: float((rows.argmax(axis=1) == labels).mean()))
    once, many = drawn_predictions(60, 3, labels=np.arange(60) % 3), tenfold()
    value = metric.of(once.probabilities, once.labels)
    ours = scores._plain_interval(metric, many, value, Groups.of(many.groups))
    theirs = scores._plain_interval(metric, once, value, Groups.single(60))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_of_single_photos_drawing_groups_is_drawing_photos():
    labels = np.arange(50) % 2
    statistic = lambda weights: {"x": labels @ weights / weights.sum(axis=0)}  # noqa: E731
    assert group_bootstrap(statistic, Groups.single(50), labels, {}, draws=200) == bootstrap(statistic, 50, draws=200)


def test_predictions_of_an_earlier_version_get_the_groups_of_their_split(tmp_path):
    """Comparisons read the file: without its groups ten copies of a photo would count as ten photos."""
    split = split_of(per_class=6)
    paths = tuple(photo.path for photo in split.part("test"))
    run = begin_run(tmp_path / "run", split=dataclasses.replace(split, together=(paths[:3], paths[6:8])))
    file = run.paths.predictions_file("inception_v1")
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, probabilities=np.full((12, 2), 0.5, np.float32), labels=np.arange(12) // 6,
                        paths=np.array(paths))
    assert Predictions.read(file).together is None
    assert Groups.of(SavedPredictions(file, run.paths.split_file).read().groups).count == 12 - 2 - 1
