"""Warnings of trainings that went wrong: each kind by hand, and none of what is sound or chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import certain_predictions
from matlens.evaluation.inference.groups import Groups, mean_scatter
from matlens.evaluation.intervals import share_interval, wilson
from matlens.evaluation.trouble import OF_BALANCE, difference, troubles
from matlens.runs.training_record import TrainingRecord

CLASSES = ("a", "b", "c")
OPTIONS = {"--class-weights", "--sampling", "--logit-adjustment"}
SOUND = np.tile([0, 1, 2], 40)
"""The labels of 120 photos; a model that answers nine tenths of them right has no warning."""


def record(val_losses=(1.0, 0.7, 0.69), losses=None, val_accuracies=None, **changes) -> TrainingRecord:
    epochs = len(val_losses)
    history = {"loss": list(losses or np.linspace(1, 0.5, epochs)), "val_loss": list(val_losses),
               "accuracy": [0.5] * epochs, "val_accuracy": list(val_accuracies or [0.9] * epochs)}
    return TrainingRecord.model_validate({
        "history": history, "epochs": epochs, "best_epoch": 1 + int(np.argmin(val_losses)), "parameters": 1,
        "trainable_parameters": 1, "pretrained": True, "split_hash": "", "remarks": [], "seconds": {},
        "peak_rss_bytes": 1, "versions": {}, **changes})


def answered(labels, wrong: int = 0, by=None, classes: int = 3):
    """Answers that are right but for the first `wrong`, which are the next class, or class `by`."""
    answers = np.array(labels).copy()
    answers[:wrong] = (answers[:wrong] + 1) % classes if by is None else by
    return certain_predictions(answers, labels, classes)


def kinds(training=None, test=None, validation=None, names=CLASSES) -> list[str]:
    found = troubles(training or record(), test if test is not None else answered(SOUND, 12),
                     validation if validation is not None else answered(SOUND, 12), names)
    assert all(each["text"].endswith(".") for each in found)
    return [each["kind"] for each in found]


def test_a_sound_training_has_no_warning():
    assert kinds() == []


@pytest.mark.parametrize(("training", "wanted"), [
    ({"val_losses": (1.0, 0.8, 0.75)}, ["last_epoch_best"]),  # the last epoch gained 6 %
    ({"val_losses": (1.0, 0.8, 0.77)}, []),  # 4 %: most trainings end so
    ({"val_losses": (1.0, 0.7, 0.75)}, []), ({"val_losses": (1.0,)}, []),
    ({"losses": (1.0, 1.0, 1.1)}, ["loss_did_not_fall"]), ({"losses": (1.0, 1.1, 0.9)}, []),
    # Three epochs of the head and two inside the network, of which none was as often right as the head.
    ({"val_losses": (1, 0.9, 0.8, 0.5, 0.4), "head_epochs": 3, "best_epoch": 3}, ["head_kept"]),
    ({"val_losses": (1, 0.9, 0.8, 0.9, 0.89), "head_epochs": 3, "best_epoch": 5}, []),
    # The losses of the second part, of smoothed labels, begin anew above the head's.
    ({"val_losses": (1, 0.9, 0.8, 0.9, 0.89), "losses": (0.5, 0.4, 0.3, 1.0, 0.9), "head_epochs": 3, "best_epoch": 5},
     [])])
def test_curves_that_went_wrong_are_told(training, wanted):
    assert kinds(record(**training)) == wanted


def test_where_validation_was_trained_on_nothing_is_said_of_it():
    found = troubles(record((1.0, 0.8, 0.4)), answered(SOUND, 12), None, CLASSES)
    assert found == []


def test_answers_of_the_majority_class_are_told_with_the_classes_that_are_never_answered():
    """60 photos of a, 30 of b, 10 of c, all but five answered a."""
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    test = certain_predictions(np.where(np.arange(100) < 95, 0, 2), labels, 3)
    found = troubles(record(), test, test, CLASSES)
    assert [each["kind"] for each in found] == ["one_answer", "never_predicted"]
    assert "answered a" in found[0]["text"] and "87.5 %" in found[0]["text"]  # 35 of the 40 photos of b and c
    assert ": b." in found[1]["text"] and "1 of 3" in found[1]["text"]


def test_where_classes_differ_in_size_the_options_are_named_that_may_help():
    """Someone whose rare classes are never answered should not have to find them in the help."""
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    test = certain_predictions(np.where(np.arange(100) < 95, 0, 2), labels, 3)
    for may_need_balance in (False, True):
        found = troubles(record(), test, test, CLASSES, may_need_balance=may_need_balance)
        assert [set(each["text"].split()) >= OPTIONS for each in found] == [may_need_balance] * 2
        assert {each["kind"] for each in found} <= OF_BALANCE


def test_a_head_that_was_kept_by_macro_f1_is_told_by_that_figure():
    """Three epochs of the head, two inside of the network that were less good."""
    training = record((1, 0.9, 0.8, 0.5, 0.4), head_epochs=3, best_epoch=3)
    training.history["val_macro_f1"] = [0.1, 0.2, 0.625, 0.5, 0.4]
    text = next(iter(troubles(training, answered(SOUND, 12), answered(SOUND, 12), CLASSES)))["text"]
    assert "macro F1" in text and "62.5 %" in text


@pytest.mark.parametrize(("photos", "wanted"), [(0, []), (1, []), (3, []), (4, ["never_predicted"])])
def test_a_class_without_an_answer_is_told_if_chance_would_not_miss_its_photos(photos, wanted):
    """At an accuracy of 80 % three photos are missed in 0.8 % of cases, four in 0.16 %, less than a third of 2 %."""
    labels = np.concatenate([np.tile([0, 1], 50), np.full(photos, 2)])
    answers = np.where(labels == 2, 0, labels)
    answers[:20 - photos] = 1 - answers[:20 - photos]
    test = certain_predictions(answers, labels, 3)
    validation = answered(np.tile([0, 1, 2], 34), 20)
    assert kinds(test=test, validation=validation) == wanted
    if photos:  # of one group they are one piece of evidence
        grouped = replace(test, together=np.where(labels == 2, 0, 1 + np.arange(len(labels))))
        assert kinds(test=grouped, validation=validation) == []


@pytest.mark.parametrize(("classes", "photos", "accuracy"), [(47, 2, 0.9), (23, 2, 0.9), (100, 2, 0.88), (47, 3, 0.75)])
def test_many_classes_of_few_photos_are_not_named_by_chance(classes, photos, accuracy):
    """Independent errors, no class special: of 200 such test parts at most some 2 % have a class that is named."""
    rng, named, names = np.random.default_rng(0), 0, tuple(map(str, range(classes)))
    for _ in range(200):
        labels = np.repeat(np.arange(classes), photos)
        answers = np.where(rng.random(len(labels)) < accuracy, labels,
                           (labels + rng.integers(1, classes, len(labels))) % classes)
        test = certain_predictions(answers, labels, classes)
        named += any(trouble["kind"] == "never_predicted" for trouble in troubles(record(), test, None, names))
    assert named <= 10


@pytest.mark.parametrize(("right", "wanted"), [(40, ["learned_nothing"]), (52, [])])
def test_a_model_that_is_no_better_than_the_most_frequent_class_is_told(right, wanted):
    labels = np.repeat([0, 1, 2], [40, 30, 30])
    part = answered(labels, 100 - right)
    assert [kind for kind in kinds(test=part, validation=part) if kind != "never_predicted"] == wanted


def test_validation_far_from_test_is_told_if_chance_does_not_explain_it():
    """97.5 % and 80 % of 120 photos: the difference of 17.5 points has the 99 % interval 7.2 to 28.3 (Newcombe)."""
    validation, test = answered(SOUND, 3), answered(SOUND, 24)
    assert kinds(validation=validation, test=test) == ["validation_far_from_test"]
    assert kinds(validation=validation, test=answered(SOUND, 12)) == []  # 7.5 points may be chance
    # In 12 groups of ten the 24 wrong answers are two groups and a half: such a part may well happen.
    together = np.arange(120) // 10
    assert kinds(validation=replace(validation, together=together), test=replace(test, together=together)) == []


@pytest.mark.parametrize(("first", "second", "ends"), [
    ((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090)), ((10, 10), (0, 10), (0.6075, 1.0))])
def test_the_interval_of_a_difference_is_newcombes(first, second, ends):
    """Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I), table II, method 10."""
    parts = (certain_predictions((np.arange(n) >= right).astype(int), np.zeros(n, int), 2)
             for right, n in (first, second))
    assert difference(*parts, confidence=0.95) == pytest.approx(ends, abs=1e-4)


def test_parts_of_few_groups_are_not_said_to_differ():
    """Of four groups of thirty no share has an interval; of five the one of a share in groups goes into Newcombe's."""
    validation, test = answered(SOUND, 3), answered(SOUND, 60)
    few, more = np.arange(120) // 30, np.arange(120) % 5
    assert difference(validation, test)[0] > 0
    assert difference(replace(validation, together=few), test) is None
    assert "validation_far_from_test" not in kinds(validation=validation, test=replace(test, together=few))
    of_test = share_interval(test.predicted == test.labels, Groups.of(more), 0.99)
    of_validation = wilson(117, 120, 0.99)
    assert difference(validation, replace(test, together=more)) == pytest.approx((
        0.475 - np.hypot(0.975 - of_validation.low, of_test.high - 0.5),
        0.475 + np.hypot(of_validation.high - 0.975, 0.5 - of_test.low)))


def test_the_standard_error_of_groups_by_hand():
    """Without groups it is s / sqrt(n). Photos doubled in pairs tell as much as one of each pair."""
    values = np.array([0, 1, 1, 1, 0, 1.0])
    alone = values.std(ddof=1) / np.sqrt(6)
    assert mean_scatter(Groups.single(6), values)[1] == pytest.approx(alone)
    assert mean_scatter(Groups.of(np.arange(6).repeat(2)), values.repeat(2))[1] == pytest.approx(alone)
    assert mean_scatter(Groups.of(np.zeros(6, int)), values)[1] == np.inf
