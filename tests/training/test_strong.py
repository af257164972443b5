"""The recipe `strong` with a stand-in for a network: the schedule, smoothed labels, averaged weights, the best."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from stand_ins import SILENT, Counter

from matlens.training.history import Epoch, History
from matlens.training.strong import STRONG, Strong, fit_strong
from matlens.types import Scores

LABELS = np.eye(4, dtype=np.float32)[[0, 2, 3]]


def fitted(losses: list[float], steps: int = 2, trains_statistics: bool = False, recipe: Strong = STRONG,
           accuracies: list[float] | None = None, head: History | None = None):
    """(network, history, weights at each save), trained for as many epochs as there are losses."""
    return trained(Counter(losses, trains_statistics, accuracies), steps, recipe, head)


def trained(network: Counter, steps: int, recipe: Strong = STRONG, head: History | None = None):
    """(network, history, weights at each save), as `fitted`."""
    saved: list[float] = []
    data = SimpleNamespace(epoch=lambda number: [(np.zeros((3, 1)), LABELS)] * steps, head=lambda n: [])
    history = fit_strong(network, data, [], SILENT, epochs=len(network.losses), steps=steps, recipe=recipe,
                         history=head, save_best=lambda: saved.append(float(network.weight[0])))
    return network, history, saved


def averages(steps: int, keep: float) -> list[float]:
    """The averaged weight after each step, where the weight itself is the number of steps t.

    While t / (t + 9) < keep it is 0.9 t; from then on its lag behind t follows lag <- keep (lag + 1).
    """
    found, lag = [], 0.0
    for step in range(1, steps + 1):
        lag = step * 0.1 if step / (step + 9) < keep else keep * (lag + 1)
        found.append(step - lag)
    return found


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine():
    """Loshchilov and Hutter 2017, by hand: half way up and half way down it is half of the highest."""
    assert [STRONG.rate(done, 0.02) for done in (0.05, 0.1, 0.1 + 0.9 / 3, 0.55, 0.1 + 0.9 * 2 / 3, 1.0)] == (
        pytest.approx([0.01, 0.02, 0.015, 0.01, 0.005, 0.0], abs=1e-12))
    assert 0 < STRONG.rate(0, 0.02) <= 0.02 / 50, "a first step at no rate at all would be wasted"


def test_each_step_has_its_rate_and_the_highest_is_the_networks_own():
    """The loop's plateau must not meddle: the losses here rise in each epoch."""
    network, history, _ = fitted([1, 2, 3, 4, 5], steps=4)
    assert network.rates == pytest.approx([STRONG.rate(step / 20, 3.0) for step in range(20)])
    assert max(network.rates) == pytest.approx(3.0)
    assert history.history["learning_rate"] == pytest.approx(network.rates[3::4])
    assert network.decay == STRONG.weight_decay


def test_a_network_that_draws_batches_ahead_of_its_steps_trains_the_same():
    """A GPU is sent the next batch while it computes; rates and averages belong to steps, not to what is drawn."""
    class Ahead(Counter):
        def train_epoch(self, batches, on_step):
            return super().train_epoch(list(batches), on_step)

    ahead, network = (trained(kind([3, 2, 1]), 4)[0] for kind in (Ahead, Counter))
    assert ahead.rates == network.rates
    assert ahead.validated == network.validated


def test_labels_are_smoothed_exactly():
    """Szegedy et al. 2016: 0.1 of each label goes to the 4 classes alike, so 0.925 and 0.025."""
    network, *_ = fitted([1])
    for labels in network.labels:
        assert labels.dtype == np.float32
        np.testing.assert_allclose(labels, np.where(LABELS == 1, 0.925, 0.025), rtol=1e-6)


@pytest.mark.parametrize(("steps", "keep"), [(2, 1 - 1 / 1.5), (10, 1 - 1 / 7.5), (1, 0.0)])
def test_validation_sees_averaged_weights_and_training_goes_on_from_its_own(steps, keep):
    """Averages that were trained on would be neither; of few steps a quarter is averaged, and one at least."""
    network, *_ = fitted([3, 2, 1], steps=steps)
    wanted = averages(3 * steps, keep)
    assert [weight for weight, *_ in network.validated] == pytest.approx(
        [wanted[epoch * steps - 1] for epoch in (1, 2, 3)], rel=1e-5)
    assert network.began == [0, steps, 2 * steps]
    assert [seed for _, seed, _ in network.validated] == [7 + epoch * steps for epoch in (1, 2, 3)], (
        "whole numbers, such as seeds, are not averaged")


def test_the_network_ends_with_the_averaged_weights_of_the_best_epoch_and_those_are_saved():
    """The model file, and what is exported from the network, must be the one that was judged."""
    network, history, saved = fitted([3, 1, 2, 1.5])
    wanted = averages(8, 1 - 1 / 2)
    assert history.best.number == 2
    assert saved == pytest.approx([wanted[1], wanted[3]], rel=1e-5)
    assert float(network.weight[0]) == pytest.approx(wanted[3], rel=1e-5)


def head_of(*of_validation: tuple[float, float]) -> History:
    """The epochs of a head, of (loss, accuracy)."""
    return History([Epoch(number, Scores(1, 0.5), Scores(*scores), 1e-3, 1, 1)
                    for number, scores in enumerate(of_validation, 1)])


@pytest.mark.parametrize(("accuracies", "losses", "best"), [
    ([0.70, 0.82, 0.85], [0.9, 0.8, 0.7], 5),  # losses of smoothed labels are higher than the head's, and that is right
    ([0.70, 0.82, 0.79], [0.9, 0.8, 0.7], 4),  # the last has the lower loss, and answers less than the head
    ([0.80, 0.70, 0.70], [0.9, 0.8, 0.7], 3),  # as many right as the head
    ([0.70, 0.75, 0.79], [0.5, 0.4, 0.3], 2),  # none reaches the head, whatever its loss
])
def test_it_never_ends_below_the_guides_head_on_validation(accuracies, losses, best):
    """The head of two epochs, of which the second was its best, stays the one to beat by accuracy."""
    network, history, saved = fitted(losses, accuracies=accuracies, head=head_of((0.7, 0.85), (0.6, 0.80)))
    assert (history.head_epochs, history.best.number, len(history.epochs)) == (2, best, 5)
    assert (float(network.weight[0]) == 0) == (best == 2), "the head's weights are those that it began with"
    assert saved[-1:] == ([float(network.weight[0])] if best > 2 else [])


def test_after_a_head_the_schedule_begins_anew_and_epochs_go_on():
    network, history, _ = fitted([1, 2], steps=4, head=head_of((0.5, 0.5)))
    assert network.rates == pytest.approx([STRONG.rate(step / 8, 3.0) for step in range(8)])
    assert [epoch.number for epoch in history] == [1, 2, 3]


@pytest.mark.parametrize(("planned", "steps", "wanted"), [(9, 56, 9), (9, 14, 36), (9, 1, 500), (9, 2000, 9)])
def test_few_photos_are_trained_for_as_many_steps_as_many(planned, steps, wanted):
    """Nine epochs of 14 steps ended before the network had left the majority class. 36 x 14 = 504."""
    assert STRONG.epochs(planned, steps) == wanted


def test_it_is_never_stopped_early():
    """The schedule ends at rate 0; half of it would be another training."""
    _, history, _ = fitted([1, *range(2, 14)], steps=1)
    assert len(history.epochs) == 13


def test_statistics_are_of_the_averaged_weights():
    """Batch normalisation's mean belongs to the weights that are judged."""
    network, *_ = fitted([2, 1], trains_statistics=True)
    wanted = averages(4, 0)
    assert [mean for *_, mean in network.validated] == pytest.approx([10 * wanted[1], 10 * wanted[3]], rel=1e-5)


@pytest.mark.keras
def test_weights_decay_and_biases_and_normalisation_do_not(keras):
    """Loshchilov and Hutter 2019. Adam's first step is the rate times the gradient's sign, so what decays is known."""
    from matlens.models.keras.classifier import KerasClassifier

    image = keras.Input((2, 2, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization(name="normal")(image))
    model = keras.Model(image, keras.layers.Dense(4, "softmax", name="predictions")(x))
    rng = np.random.default_rng(0)
    gamma, beta, kernel, bias = (rng.uniform(2, 4, shape).astype(np.float32) for shape in (3, 3, (3, 4), 4))
    model.set_weights([gamma, beta, np.zeros(3), np.ones(3), kernel, bias])
    model.compile(keras.optimizers.Adam(0.125), "categorical_crossentropy", metrics=["accuracy"])
    classifier = KerasClassifier(model)
    classifier.use_adamw(0.5)
    assert classifier.learning_rate == 0.125
    classifier.train_epoch([(rng.random((3, 2, 2, 3), dtype=np.float32) * [1, 5, 9], LABELS)], lambda *_: None)
    after = model.get_weights()
    for values, now, decay in ((gamma, after[0], 0), (beta, after[1], 0), (kernel, after[4], 0.5), (bias, after[5], 0)):
        step = now - values * np.float32(1 - 0.125 * decay)
        np.testing.assert_allclose(np.abs(step), 0.125, rtol=0.02)  # decay alone would be twice as much
