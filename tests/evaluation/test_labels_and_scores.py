"""Labels and scores of any form: the right figures, or a refusal that says where; never a wrong figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import metrics

from builders import predictions_of
from matlens import compute_classification_metrics, compute_confusion_matrix, compute_roc_curves
from matlens.errors import LabelsError
from matlens.evaluation.label_quality import find_suspects
from matlens.evaluation.metrics.coverage import coverage
from matlens.evaluation.metrics.scores import judge
from matlens.evaluation.metrics.weighted import PredictedPhotos
from matlens.evaluation.names_and_columns import checked_names
from scale import rounds

TRUTH, ONES = np.array([0, 1, 1, 0, 1, 0]), np.array([.1, .9, .2, .4, .8, .7])
"""A binary problem of six photos, four right at a threshold of 0.5: 2 of 3 of either class; 7 of 9 pairs in order."""


@pytest.mark.parametrize("answers", [
    ONES[:, None], ONES[:, None].tolist(), (ONES > 0.5)[:, None].astype(int), ONES > 0.5, np.stack([1 - ONES, ONES], 1),
    pd.DataFrame({"p": ONES}), np.where(ONES > 0.5, 3.5, -1.0)[:, None] * [[-1, 1]]],
    ids=["sigmoid", "list", "(N, 1) numbers", "booleans", "softmax", "frame", "logits"])
@pytest.mark.parametrize("truth", [TRUTH, TRUTH[:, None], TRUTH.astype(float), np.eye(2)[TRUTH], TRUTH == 1,
                                   pd.Series(TRUTH, index=range(6, 0, -1)), [[y] for y in TRUTH.tolist()]],
                         ids=["(N,)", "(N, 1)", "floats", "one-hot", "booleans", "series", "list"])
def test_one_binary_problem_in_any_form_has_one_accuracy(truth, answers):
    assert compute_classification_metrics(truth, answers)["accuracy"] == pytest.approx(4 / 6)
    assert compute_confusion_matrix(truth, answers).tolist() == [[2, 1], [1, 2]]


@pytest.mark.parametrize("scores", [ONES, ONES[:, None], np.stack([1 - ONES, ONES], 1)],
                         ids=["(N,)", "(N, 1)", "(N, 2)"])
def test_one_column_of_probabilities_has_the_auc_of_both_classes(scores):
    """As scikit-learn reads it: 7 of 9 pairs of photos are in the right order."""
    found = compute_roc_curves(TRUTH[:, None], scores, ["no", "yes"])
    assert [found["per_class"][name]["auc"] for name in ("no", "yes")] == pytest.approx([7 / 9] * 2)
    assert found["macro"]["auc"] == pytest.approx(metrics.roc_auc_score(TRUTH, ONES))


def test_words_are_classes_by_their_names_and_frames_by_their_columns():
    names = ["wood", "brick", "sky"]
    words = np.array(["sky", "wood", "brick", "sky"], object)
    assert compute_confusion_matrix(words, [2, 0, 1, 0], names).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    frame = pd.DataFrame(np.eye(3)[[2, 0, 1, 0]], columns=names)[["brick", "sky", "wood"]]
    for given_names in (names, None):
        found = compute_classification_metrics(frame, frame, given_names)
        assert found["accuracy"] == 1 and found["per_class"]["wood"]["support"] == 2
    assert compute_classification_metrics(words, frame, names)["accuracy"] == 3 / 4
    assert compute_classification_metrics([0], [0], {"b": 1, "a": 0})["per_class"]["a"]["support"] == 1


NAN_ROW = np.array([[.5, .3, .2], [np.nan] * 3, [0, 0, 1.]])


@pytest.mark.parametrize(("truth", "answers", "names", "facts"), [
    ([0, 1, 1], ONES[:3], None, ["y_pred[0]", "0.1", "[:, None]"]),
    ([0, 1, 2, 2], [0, 1, 2, 2], ["a", "b"], ["y_true[2]", "2", "class_names"]),
    ([0, 1, 1], [0, 1, 2], ["a", "b"], ["y_pred[2]", "2"]),
    ([0, 1, -1], [0, 1, 1], ["a", "b"], ["y_true[2]", "-1"]), ([0, 255], [0, 1], ["a", "b"], ["y_true[1]", "255"]),
    ([0, 2**40], [0, 1], None, ["y_true[1]", str(2**40)]), ([1, 2], [1, 2], None, ["0"]),
    ([0, 1, 2], NAN_ROW, None, ["y_pred[1, 0]", "nan"]), ([0, np.inf], [0, 1], None, ["y_true[1]", "inf"]),
    ([0.5, 1], [0, 1], None, ["y_true[0]", "0.5"]), ([None, 1], [0, 1], None, ["y_true[0]", "nan"]),
    ([0, 1, 1], [0, 1], None, ["3", "2"]), ([], [], None, ["empty"]),
    (np.empty((0, 2)), np.empty((0, 2)), None, ["empty"]),
    (["cat", "dog"], ["cat", "dog"], None, ["cat", "class_names"]),
    (["cat", "cow"], ["cat", "dog"], ["cat", "dog"], ["y_true[1]", "cow"]), (["0", 1], [0, 1], None, ["y_true"]),
    ([[1, 1], [0, 1]], [0, 1], None, ["y_true[0]", "[1, 1]"]),
    ([[0, 0], [0, 1]], [0, 1], None, ["y_true[0]", "[0, 0]"]),
    ([[.9, .1], [0, 1]], [0, 1], None, ["y_true[0]", "argmax"]), ([0, 1], [[1, 1], [0, 1]], None, ["y_pred[0]"]),
    ([0, 1], [[2.5], [-1.0]], None, ["y_pred[0]", "2.5", "exp"]),
    ([0, 0], [[.9], [.2]], ["a"], ["1 in class_names", "2"]),
    ([0, 1], np.eye(3)[:2], ["a", "b"], ["2 in class_names", "3"]), (np.eye(3)[:2], np.eye(2), None, ["3", "2"]),
    ([0, 1], [[.3, .7], [.2]], None, ["y_pred"]), (np.zeros((2, 1, 1)), [0, 1], None, ["(2, 1, 1)"]),
    (3, [0], None, ["()"]), ([0, 1], {"a": 1}, None, ["y_pred"]), ([0, 1j], [0, 1], None, ["complex"]),
    (np.ma.masked_array([0, 1], [False, True]), [0, 1], None, ["y_true", "masked"]),
    (pd.Series([0, pd.NA], dtype="Int64"), [0, 1], None, ["y_true"]),
    (pd.DataFrame(np.eye(2), columns=["a", "b"]), [0, 1], ["b", "c"], ["a, b", "b, c"]),
    ([0, 1], [0, 1], ["a", "a"], ["a"]), ([0, 1], [0, 1], "ab", ["'ab'"]), ([0, 1], [0, 1], [], ["class_names"])])
def test_what_is_no_label_or_answer_is_refused_with_its_place(truth, answers, names, facts):
    for compute in (compute_classification_metrics, compute_confusion_matrix):
        with pytest.raises(LabelsError) as refused:
            compute(truth, answers, names)
        assert all(fact in str(refused.value) for fact in facts), str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("scores", "facts"), [
    ([-1.0, 2.0], ["y_prob[0]", "-1"]), ([[-1.0], [2.0]], ["y_prob[0]", "exp"]), ([0.1, np.nan], ["y_prob[1]", "nan"]),
    (["a", "b"], ["y_prob"]), ([[.1, .9, 0]] * 2, ["2 in class_names", "3"]), ([0.1], ["2", "1"])])
def test_scores_that_are_none_are_refused(scores, facts):
    with pytest.raises(LabelsError) as refused:
        compute_roc_curves([0, 1], scores, ["a", "b"])
    assert all(fact in str(refused.value) for fact in facts), str(refused.value)


@pytest.mark.keras
def test_tensors_are_read_as_arrays():
    import tensorflow as tf

    truth, answers = tf.constant(TRUTH)[:, None], tf.cast(tf.constant(ONES), tf.bfloat16)[:, None]
    assert compute_classification_metrics(truth, answers)["accuracy"] == pytest.approx(4 / 6)
    with pytest.raises(LabelsError, match="y_pred"):
        compute_classification_metrics(TRUTH, tf.ragged.constant([[.1], [.9, .2], [.2], [.4], [.8], [.7]]))


@pytest.mark.torch
def test_tensors_of_pytorch_are_read_as_arrays(torch):
    answers = torch.tensor(ONES, dtype=torch.bfloat16, requires_grad=True)[:, None]
    assert compute_classification_metrics(torch.tensor(TRUTH), answers)["accuracy"] == pytest.approx(4 / 6)
    assert compute_roc_curves(torch.tensor(TRUTH), torch.tensor(ONES))["macro"]["auc"] == pytest.approx(7 / 9)


DIVERGED = predictions_of([[.5, .5], [.9, np.nan]], [0, 1])


@pytest.mark.parametrize("compute", [
    lambda: judge(DIVERGED, ("a", "b")), lambda: coverage(DIVERGED.probabilities, DIVERGED.labels),
    lambda: PredictedPhotos(DIVERGED.probabilities, DIVERGED.labels), lambda: find_suspects({"m": DIVERGED}, "ab"),
    lambda: judge(predictions_of(np.eye(2), [0, 1]), ("a", "b", "c"))],
    ids=["judge", "coverage", "weighted", "labels", "names"])
def test_every_way_in_has_the_same_guard(compute):
    with pytest.raises(LabelsError):
        compute()


def test_predictions_of_classes_that_there_are_not_are_refused():
    """A file of another model, with labels beyond its columns, would index out of it."""
    for labels in ([0, 2], [0, -1]):
        with pytest.raises(ValueError, match=str(labels[1])):
            predictions_of(np.eye(2), labels)


FORMS: dict[str, Callable[[np.ndarray, int], Any]] = {
    "numbers": lambda numbers, _: numbers, "column": lambda numbers, _: numbers[:, None],
    "floats": lambda numbers, _: numbers.astype(np.float32), "list": lambda numbers, _: numbers.tolist(),
    "small": lambda numbers, _: numbers.astype(np.uint8), "objects": lambda numbers, _: numbers.astype(object),
    "one-hot": lambda numbers, n: np.eye(n)[numbers],
    "one-hot booleans": lambda numbers, n: np.eye(n, dtype=bool)[numbers],
    "series": lambda numbers, _: pd.Series(numbers, index=numbers), "sparse": lambda numbers, n: sparse.csr_array(
        np.eye(n)[numbers]),
    "words": lambda numbers, _: np.array([f"c{number}" for number in numbers], np.str_),
    "frame": lambda numbers, n: pd.DataFrame(np.eye(n), columns=[f"c{i}" for i in range(n)]).iloc[numbers, ::-1]}
WRONG: dict[str, Callable[[np.ndarray, int], Any]] = {
    "NaN": lambda numbers, _: np.append(numbers[:-1].astype(float), np.nan),
    "fraction": lambda numbers, _: numbers + 0.25, "below": lambda numbers, _: np.append(numbers[:-1], -1),
    "above": lambda numbers, n: np.append(numbers[:-1], n + 1), "longer": lambda numbers, _: np.append(numbers, 0),
    "two hot": lambda numbers, n: np.ones((len(numbers), n)),
    "cube": lambda numbers, n: np.eye(n)[numbers][..., None], "other words": lambda numbers, _: ["x"] * len(numbers),
    "none": lambda numbers, _: None, "empty": lambda *_: []}


@st.composite
def problems(draw: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """True class numbers (N,), scores (N, C) without ties, and C."""
    classes, photos = draw(st.integers(2, 5)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.dirichlet(np.ones(classes), photos)
    return rng.integers(classes, size=photos), scores, classes


@pytest.mark.attacks
@settings(max_examples=rounds(60, 2000), deadline=None, derandomize=True, database=None)
@given(problem=problems(), truth_form=st.sampled_from([*FORMS, *WRONG]),
       answer_form=st.sampled_from([*FORMS, *WRONG, "scores", "logits", "sigmoid", "flat"]),
       names_form=st.sampled_from(["right", "right", "none", "few", "many"]))
def test_any_form_gives_scikit_learns_figures_or_is_refused(problem, truth_form, answer_form, names_form):
    truth, scores, classes = problem
    assume(names_form != "none" or "frame" not in (truth_form, answer_form))  # then its columns are the names
    names = {"right": [f"c{i}" for i in range(classes)], "none": None, "few": [f"c{i}" for i in range(classes - 1)],
             "many": [f"c{i}" for i in range(classes + 1)]}[names_form]
    numbers = scores.argmax(axis=1)
    given_truth = {**FORMS, **WRONG}[truth_form](truth, classes)
    as_scores = {"scores": scores, "logits": np.log(scores) * 3, "sigmoid": scores[:, 1:2], "flat": scores[:, 1]}
    given_answers = as_scores.get(answer_form)
    if given_answers is None:
        given_answers = {**FORMS, **WRONG}[answer_form](numbers, classes)
    fitting = truth_form in FORMS and names_form == "right" and (
        answer_form in FORMS or answer_form in ("scores", "logits") or (answer_form == "sigmoid" and classes == 2))
    try:
        found = compute_classification_metrics(given_truth, given_answers, names)
        matrix = compute_confusion_matrix(given_truth, given_answers, names)
    except LabelsError:
        assert not fitting, (truth_form, answer_form)
    else:
        assert truth_form in FORMS and answer_form not in (*WRONG, "flat")
        assert answer_form != "sigmoid" or truth.max() < 2
        expected = (scores[:, 1] > 0.5).astype(int) if answer_form == "sigmoid" else numbers
        labels = list(range(len(matrix)))
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, expected))
        assert matrix.tolist() == metrics.confusion_matrix(truth, expected, labels=labels).tolist()
        assert matrix.sum() == len(truth)
        assert found["macro_f1"] == pytest.approx(metrics.f1_score(
            truth, expected, labels=labels, average="macro", zero_division=0))
        assert names is None or len(labels) == len(names)
    try:
        curves = compute_roc_curves(given_truth, given_answers, names)["per_class"]
    except LabelsError:
        assert not (fitting and answer_form in as_scores)
        return
    assert truth_form in FORMS
    columns = as_scores.get(answer_form)
    if columns is not None and columns.size > len(truth):
        aucs = [None if len(set(truth == number)) == 1 else metrics.roc_auc_score(truth == number, columns[:, number])
                for number in range(classes)]
        assert [curve["auc"] for curve in curves.values()] == [
            None if auc is None else pytest.approx(auc) for auc in aucs]
    elif columns is not None and len(set(truth)) == 2:
        assert set(truth) == {0, 1} and curves[list(curves)[1]]["auc"] == pytest.approx(
            metrics.roc_auc_score(truth, columns.ravel()))


@pytest.mark.parametrize("names", [
    {"c": 0, "b": 1, "a": 2}, {2: "a", 0: "c", 1: "b"}, {np.int64(1): "b", np.int64(0): "c", np.int64(2): "a"},
    {"a": np.int32(2), "c": np.int32(0), "b": np.int32(1)}, {"c": 0, "b": 1, "a": 2}.keys(), (name for name in "cba"),
    np.array(["c", "b", "a"]), pd.Index(["c", "b", "a"]), [b"c", b"b", b"a"]],
    ids=["name to number", "number to name", "numpy keys", "numpy values", "keys", "generator", "array", "index",
         "bytes"])
def test_a_figure_stands_beside_the_name_of_its_class_in_any_form_of_names(names):
    """Class 0 is c: three photos of it, two of b, one of a."""
    found = compute_classification_metrics([0, 0, 0, 1, 1, 2], [0] * 6, names)
    assert {name: scores["support"] for name, scores in found["per_class"].items()} == {"c": 3, "b": 2, "a": 1}
    assert list(found["per_class"]) == ["c", "b", "a"]


@pytest.mark.parametrize("names", [
    {"a", "b", "c"}, frozenset("abc"), {"a": 0, "b": 0, "c": 2}, {"a": 1, "b": 2, "c": 3}, {0: "a", 2: "b", 3: "c"},
    {"a": 0, 1: "b", "c": 2}, {"a": "0", "b": "1", "c": "2"}, {0: 2, 1: 1, 2: 0}, {"a": 0.0, "b": 1.0, "c": 2.0},
    {"a": None, "b": 1, "c": 2}, 3, object(), ["a", None, "c"], [["a"], ["b"], ["c"]], {"a": 0, "b": 1, "c": 2}.items(),
    b"abc", np.array("a"), {}, [b"\xff", "b", "c"]], ids=repr)
def test_names_whose_order_nothing_tells_are_refused(names):
    with pytest.raises(LabelsError) as refused:
        compute_classification_metrics([0, 1, 2], [0, 1, 2], names)
    assert "class_names" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("columns", [[2, 0, 1], ["2", "0", "1"], [2.0, 0.0, 1.0], np.array([2, 0, 1])],
                         ids=["int", "text", "float", "numpy"])
@pytest.mark.parametrize("names", [None, ["c", "b", "a"], ["0", "1", "2"]], ids=["none", "words", "numbers"])
def test_numbered_columns_of_a_frame_are_class_numbers(columns, names):
    """As pivot tables and files of scores have them. By their places all photos would be wrong."""
    truth = [0, 1, 2, 2]
    frame = pd.DataFrame(np.eye(3)[truth][:, [2, 0, 1]] * 0.8 + 0.1, columns=columns)
    assert compute_classification_metrics(truth, frame, names)["accuracy"] == 1
    curves = compute_roc_curves(truth, frame, names)["per_class"]
    assert [curve["auc"] for curve in curves.values()] == [1.0] * 3
    assert list(curves) == (names or ["0", "1", "2"])
    one_hot = pd.DataFrame(np.eye(3)[truth][:, [2, 0, 1]], columns=columns)
    assert compute_confusion_matrix(one_hot, truth, names).tolist() == np.diag([1, 1, 2]).tolist()


def test_columns_of_true_and_false_are_those_of_two_classes():
    frame = pd.DataFrame({True: ONES, False: 1 - ONES})
    assert compute_classification_metrics(TRUTH, frame)["accuracy"] == pytest.approx(4 / 6)


@pytest.mark.parametrize(("columns", "names"), [([0, 2], None), ([2, 1], None), ([0, 2], ["a", "b"]),
                                                ([0, 1, 2], ["a", "b"]), ([0, "b"], ["a", "b"])])
def test_numbered_columns_that_are_no_class_numbers_are_refused(columns, names):
    """`pandas.get_dummies` leaves out a class without photos, so that the second column is of the third class."""
    with pytest.raises(LabelsError) as refused:
        compute_classification_metrics([0, 1], pd.DataFrame(np.eye(len(columns))[:2], columns=columns), names)
    assert ", ".join(map(str, columns)) in str(refused.value)


def test_numbers_that_are_the_names_of_classes_put_columns_in_their_order():
    frame = pd.DataFrame({20: [.1, .8], 10: [.9, .2]})
    assert compute_classification_metrics([0, 1], frame, [10, 20])["accuracy"] == 1


def test_the_way_out_for_soft_labels_can_be_pasted():
    """What the message gives is evaluated here, on a list as on an array."""
    soft = [[.9, .1], [.2, .8]]
    with pytest.raises(LabelsError) as refused:
        compute_classification_metrics(soft, [0, 1])
    numbers = eval(str(refused.value).split("soft labels: ")[1], {"numpy": np, "y_true": soft})
    assert compute_classification_metrics(numbers, [0, 1])["accuracy"] == 1


def test_names_are_checked_in_one_place():
    assert checked_names(np.array(["a", "b"])) == ("a", "b") and checked_names({"a": 1, "b": 0}) == ("b", "a")
    assert len(checked_names(range(10_000))) == 10_000
