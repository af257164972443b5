"""Classes of different sizes: weights are photos that come several times, and are what the formulas say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stand_ins import SILENT, Counter
from test_checkpoints import Heard, Killed, killed_after
from test_feature_batches import numbered, store_of

from matlens.data.balance import Balance, balanced_draws
from matlens.data.batches import PhotoBatches
from matlens.data.imbalance import balance_of, class_weights, logit_shift, photo_weights, remarks_on
from matlens.data.split.splits import Photo, Split
from matlens.errors import SettingsError
from matlens.models.head import Dense, Head
from matlens.settings.schema import Settings
from matlens.training.checkpoints import Checkpoints
from matlens.training.feature_batches import FeatureBatches
from matlens.training.head_training import HeadTrainer
from matlens.training.history import Epoch, History
from matlens.training.loop import fit
from matlens.training.strong import STRONG, fit_strong
from matlens.types import ClassCounts, Scores

NAMES, SIZES = ("common", "rare", "some"), {"common": 30, "rare": 1, "some": 9}


def split(**sizes: int) -> Split:
    """A split with so many training photos of each class, and one to validate and to test on."""
    photos = tuple(Photo(f"{part}/{name}/{number}", name, part, f"{part}{name}{number}") for name in NAMES
                   for part, n in (("train", (sizes or SIZES)[name]), ("val", 1), ("test", 1)) for number in range(n))
    return Split("random", NAMES, photos)


def settings(**given) -> Settings:
    return Settings.load(options=given)


# Weights


def test_balanced_weights_let_all_classes_weigh_the_same_at_a_mean_of_1():
    """N / (C n_c): 40 / (3 x 30), 40 / (3 x 1), 40 / (3 x 9)."""
    weights = class_weights(settings(class_weights="balanced"), split())
    assert weights == pytest.approx([40 / 90, 40 / 3, 40 / 27])
    labels = np.repeat([0, 1, 2], [30, 1, 9])
    of_photos = photo_weights(settings(class_weights="balanced"), split(), labels)
    assert of_photos.dtype == np.float32 and of_photos.mean() == pytest.approx(1)
    assert [of_photos[labels == number].sum() for number in range(3)] == pytest.approx([40 / 3] * 3)


def test_given_weights_keep_their_ratios_at_a_mean_of_1():
    given = settings(class_weights={"common": 1, "rare": 10, "some": 2})
    weights = class_weights(given, split())
    assert weights / weights[0] == pytest.approx([1, 10, 2])
    assert weights @ [30, 1, 9] == pytest.approx(40)


def test_without_weights_labels_are_one_hot_as_ever():
    assert class_weights(settings(), split()) is None
    np.testing.assert_array_equal(balance_of(settings(), split(), np.array([2, 0])).targets(
        np.array([2, 0]), np.array([0, 1]), 3), [[0, 0, 1], [1, 0, 0]])


def test_weights_of_other_classes_are_refused_by_name():
    with pytest.raises(SettingsError, match=r"'rear'.*'rare'"):
        class_weights(settings(class_weights={"common": 1, "rear": 10, "some": 2}), split())


# A weight of 2 is the photo twice


def trainer() -> HeadTrainer:
    return HeadTrainer.fresh(6, 5, 3, 0.0, 0.1, seed=3)


def test_a_head_learns_of_a_weight_what_it_learns_of_the_photo_twice():
    """Adam's first moment is a tenth of the gradient: it must be the same, and so must the loss."""
    rng = np.random.default_rng(0)
    features, labels = rng.random((4, 6), dtype=np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    weights = np.array([2, 1, 3, 1], np.float32)
    again = np.repeat(np.arange(4), weights.astype(int))
    weighted, repeated = trainer(), trainer()
    ours = weighted.train_epoch([(features, labels * (weights / weights.mean())[:, None])], lambda *_: None)
    theirs = repeated.train_epoch([(features[again], labels[again])], lambda *_: None)
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    for name, moment in weighted.training_state().items():
        np.testing.assert_allclose(moment, repeated.training_state()[name], rtol=1e-4, atol=1e-7)


def test_smoothing_leaves_a_photo_its_weight():
    """Smoothed labels of the recipe `strong`: w ((1 - s) y + s / C)."""
    network, labels = Counter([1.0]), np.eye(4, dtype=np.float32)[[0, 2]] * np.array([[3], [0.5]], np.float32)
    data = FeatureBatches((np.zeros((2, 1), np.float32),), np.array([0, 2]), 4, 2,
                          balance=Balance(np.array([3, 0.5], np.float32)))
    fit_strong(network, data, data, SILENT, epochs=1, steps=1, save_best=lambda: None)
    smooth = STRONG.label_smoothing
    np.testing.assert_allclose(network.labels[0], labels * (1 - smooth) + smooth / 4 * labels.sum(1, keepdims=True),
                               rtol=1e-6)
    np.testing.assert_allclose(network.labels[0].sum(axis=1), [3, 0.5], rtol=1e-6)


# Balanced sampling


@pytest.mark.parametrize("sizes", [(30, 1, 9), (5, 5, 5), (1, 1, 40), (7, 3, 0)])
def test_balanced_draws_are_as_many_as_the_photos_and_equally_many_of_each_class(sizes):
    labels = np.repeat([0, 1, 2], sizes)
    draws = balanced_draws(labels, np.random.default_rng(1))
    assert len(draws) == len(labels) == len(set(draws.tolist())), "no photo is drawn twice in the same turn"
    of_classes = np.bincount(labels[draws % len(labels)])[[number for number in range(3) if sizes[number]]]
    assert of_classes.max() - of_classes.min() <= 1
    times = np.bincount(draws % len(labels), minlength=len(labels))
    for number in range(3):
        own = times[labels == number]
        assert not len(own) or own.max() - own.min() <= 1, "all photos of a class come before one comes again"


def test_epochs_of_balanced_sampling_follow_from_seed_and_epoch():
    """A training that goes on in another process must see the photos that it would have seen."""
    labels = np.repeat([0, 1, 2], [30, 1, 9])
    one, same, other = (PhotoBatches(store_of(40), np.arange(40), labels, 3, 8, seed=seed, shuffle=True,
                                     balance=Balance(sampled=True)) for seed in (4, 4, 5))
    assert one.order(3).tolist() == same.order(3).tolist() != other.order(3).tolist()
    assert one.order(3).tolist() != one.order(2).tolist()
    assert np.bincount(labels[one.order(0)]).tolist() in ([14, 13, 13], [13, 14, 13], [13, 13, 14])


def test_a_photo_that_is_drawn_again_is_varied_anew_and_comes_in_its_next_view():
    """Thirty times the same picture would teach the network that picture."""
    labels = np.repeat([0, 1], [9, 1])
    sampled = Balance(sampled=True)
    photos = PhotoBatches(store_of(10), np.arange(10), labels, 2, 10, seed=1, shuffle=True, augmented=True,
                          balance=sampled).as_bytes()
    (images, encoded), = photos.epoch(0)
    rare = encoded[:, 1] == 1
    assert rare.sum() == 5 and len({warp.tobytes() for warp in images.warps[rare]}) == 5
    features = FeatureBatches(numbered(10, 3, 1), labels, 2, 10, seed=1, shuffle=True, by_turns=True, balance=sampled)
    (values, encoded), = features.epoch(0)
    views = sorted((values[encoded[:, 1] == 1, 0] // 100).tolist())
    assert views in ([0, 0, 1, 1, 2], [0, 0, 1, 2, 2], [0, 1, 1, 2, 2])
    mixed = FeatureBatches(numbered(10, 3, 1), labels, 2, 30, seed=1, shuffle=True, balance=sampled)
    (values, encoded), = mixed.epoch(0)
    assert np.bincount(encoded.argmax(1)).tolist() == [15, 15]
    assert np.bincount((values[encoded[:, 1] == 1, 0] // 100).astype(int)).tolist() == [5, 5, 5]


@pytest.mark.parametrize("balance", [Balance(sampled=True), Balance(np.linspace(0.5, 1.5, 40).astype(np.float32))])
def test_a_killed_training_of_weighted_or_drawn_photos_goes_on_to_the_same_numbers(tmp_path, balance):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(40, 6)).astype(np.float32), np.repeat([0, 1, 2], [30, 1, 9])
    train = FeatureBatches((features,), labels, 3, 8, seed=5, shuffle=True, balance=balance)
    val = FeatureBatches((features[::2],), labels[::2], 3, 8)

    def trained(folder=None, progress=SILENT):
        one = HeadTrainer.fresh(6, 5, 3, 0.5, 0.01, seed=5)
        states = folder and Checkpoints(folder, "k", Heard()).of("train", one)
        return one, fit(one, train, val, progress, epochs=5, history=History(choose_by="macro_f1"), states=states)

    whole, history = trained()
    with pytest.raises(Killed):
        trained(tmp_path, killed_after(2))
    again, resumed = trained(tmp_path)
    assert [epoch.val for epoch in resumed] == [epoch.val for epoch in history]
    assert resumed.best.number == history.best.number
    for ours, theirs in zip(again.snapshot(), whole.snapshot(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# Logit adjustment


def test_an_adjusted_head_answers_what_the_formula_says():
    """argmax of f_c - tau log p_c (Menon et al. 2021), and probabilities p / prior^tau, scaled to 1."""
    shift = logit_shift(settings(logit_adjustment=0.5), split())
    prior = np.array([30, 1, 9]) / 40
    assert shift == pytest.approx(-0.5 * np.log(prior))
    rng = np.random.default_rng(0)
    head = Head("avg", (Dense(rng.normal(size=(4, 3)).astype(np.float32), np.zeros(3, np.float32), "softmax"),))
    maps = rng.random((5, 2, 2, 4), dtype=np.float32)
    expected = head.probabilities(maps) / prior**0.5
    np.testing.assert_allclose(head.shifted(shift).probabilities(maps), expected / expected.sum(1, keepdims=True),
                               rtol=1e-5)
    assert logit_shift(settings(), split()) is None


def test_remarks_say_what_was_done_and_to_which_classes():
    assert remarks_on(settings(), split()) == ()
    weighted, = remarks_on(settings(class_weights="balanced"), split())
    assert "rare 13.3" in weighted and "common 0.444" in weighted
    sampled, chosen = remarks_on(settings(sampling="balanced", choose_by="macro_f1"), split())
    assert "1 to 30" in sampled and "macro F1" in chosen
    assert "logit adjustment 1" in remarks_on(settings(logit_adjustment=1), split())[0]


# The epoch that is kept


def epoch(number: int, loss: float, accuracy: float, macro_f1: float | None = None) -> Epoch:
    return Epoch(number, Scores(1, 0.5), Scores(loss, accuracy, macro_f1), 1e-3, 1, 1)


EPOCHS = [epoch(1, 0.5, 0.8, 0.3), epoch(2, 0.4, 0.7, 0.4), epoch(3, 0.6, 0.8, 0.6), epoch(4, 0.7, 0.75, 0.6)]


@pytest.mark.parametrize(("choose_by", "best"), [("val_loss", 2), ("accuracy", 1), ("macro_f1", 3)])
def test_the_epoch_is_kept_that_the_setting_says_the_first_of_equals(choose_by, best):
    assert History(list(EPOCHS), choose_by=choose_by).best.number == best
    assert History(list(EPOCHS), choose_by=choose_by, keep_last=True).best.number == 4


@pytest.mark.parametrize(("choose_by", "best"), [("val_loss", 1), ("accuracy", 3), ("macro_f1", 3)])
def test_epochs_after_the_heads_must_be_as_good_by_the_same_figure(choose_by, best):
    """By the loss, the head (epoch 1) is beaten by epochs that are right as often; none is of those of lower loss."""
    epochs = [EPOCHS[0], EPOCHS[1], EPOCHS[2] if choose_by != "val_loss" else epoch(3, 0.3, 0.79, 0.6)]
    assert History(epochs, choose_by=choose_by, head_epochs=1).best.number == best


def test_training_ends_early_by_the_figure_that_chooses_and_slows_down_by_the_loss():
    """The loss rises from the first epoch on, macro F1 rises until the third."""
    losses, scores = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.1, 0.2, 0.3, 0.3, 0.2, 0.1]

    class Scored(Counter):
        def validate(self, batches, *, macro_f1=False):
            assert macro_f1, "it is asked for macro F1"
            return replace(super().validate(batches), macro_f1=scores[len(losses) - len(self.losses) - 1])

    data = FeatureBatches((np.zeros((2, 1), np.float32),), np.array([0, 1]), 2, 2)
    network, saved = Scored(losses), []
    history = fit(network, data, data, SILENT, epochs=6, early_stopping_patience=2, reduce_lr_patience=2,
                  history=History(choose_by="macro_f1"), save_best=lambda: saved.append(float(network.weight[0])))
    assert (len(history.epochs), history.best.number, saved) == (5, 3, [1, 2, 3])
    assert float(network.weight[0]) == 3, "the weights of the third epoch are back"
    assert history.history["val_macro_f1"] == scores[:5]
    assert history.history["learning_rate"] == pytest.approx([3, 3, 3, 0.3, 0.3])
    assert "macro F1 30.0 %" in history.best.line(improved=True)


def test_macro_f1_of_batches_is_scikit_learns():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    truth, answers = rng.integers(0, 4, 50), rng.integers(0, 3, 50)
    truth[truth == 3], answers[0] = 0, 1
    counts = ClassCounts(5)  # the classes 3 and 4 have no photo and no answer
    for start in range(0, 50, 20):
        counts.add(answers[start:start + 20], truth[start:start + 20])
    assert counts.macro_f1() == pytest.approx(f1_score(truth, answers, labels=range(5), average="macro",
                                                      zero_division=0))
