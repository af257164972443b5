"""Recorded training steps on a real GPU; skipped without one. What needs none is in test_torch_recorded.py."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytest
from small_networks import CLASSES, unseen
from test_torch_recorded import RATES, SIZES, batches, train

pytestmark = pytest.mark.torch


@pytest.fixture
def card(torch):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA card")
    return torch.device("cuda", 0)


@pytest.fixture
def fresh(torch, card, monkeypatch):
    """Build the same small network, whose steps are recorded or not."""
    from matlens.models.precision import ChosenPrecision
    from matlens.models.torch import stepping
    from matlens.models.torch.preprocessing import to_input
    from matlens.models.torch.training import TorchTrainable

    nn, real = torch.nn, stepping.recorder_for

    class Asking(nn.Module):
        """Asks the device for a number, which no recording can."""

        def forward(self, maps):
            return maps if float(maps.sum()) != 0.5 else -maps

    def build(*, recorded=True, precision="float32", asking=False):
        monkeypatch.setattr(stepping, "recorder_for", real if recorded else lambda device: None)
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                               *([Asking()] if asking else []), nn.Dropout(0.4), nn.Linear(8, CLASSES))
        network = TorchTrainable(module.to(card, memory_format=torch.channels_last), partial(to_input, None), card,
                                 pretrained=False, learning_rate=2.0**-9, auxiliary_weight=0.3, seed=5,
                                 precision=ChosenPrecision(precision))
        network.use_adamw(0.05)
        return network

    return build


def losses(scores):
    return [each.loss for each in scores]


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_graph_computes_the_plain_steps(fresh, precision):
    """Other dropout, a rate that stays, or inputs that are not copied would be far off."""
    plain, recorded = fresh(recorded=False, precision=precision), fresh(precision=precision)
    assert losses(train(recorded, (0, 1))) == pytest.approx(losses(train(plain, (0, 1))), rel=1e-3)
    assert recorded._stepper.recorded.is_recorded
    for ours, theirs in zip(recorded.snapshot(), plain.snapshot(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-3)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_training_on_graphs_goes_on(torch, fresh, precision):
    """In a fresh process, with the steps, moments and loss scale of the first."""
    whole, second = fresh(precision=precision), fresh(precision=precision)
    train(whole, (0,))
    torch.manual_seed(77)
    second.resume(whole.snapshot(), whole.training_state())
    assert losses(train(second, (1,))) == pytest.approx(losses(train(whole, (1,))), rel=1e-3)


def test_what_cannot_be_recorded_goes_on_with_the_same_dropout(fresh, caplog):
    """A recording that breaks off leaves PyTorch's generator and stream as it was."""
    plain, stubborn = fresh(recorded=False, asking=True), fresh(asking=True)
    with caplog.at_level(logging.WARNING):
        assert losses(train(stubborn, (0, 1))) == pytest.approx(losses(train(plain, (0, 1))), rel=1e-3)
    assert "could not be recorded" in caplog.text
    assert not stubborn._stepper.recorded.is_recorded


def test_steps_do_not_wait_for_the_device(torch, fresh):
    """Input, rate, average and sums included. Waiting is what kept the card idle."""
    network = fresh()
    train(network, (0,))
    average = network.average()

    def told():
        for number, batch in enumerate(list(batches(1))):
            network.learning_rate = RATES[number]
            yield batch
            average.update(0.9)

    mode = torch.cuda.get_sync_debug_mode()
    waiting = []

    def on_step(step, read):
        waiting.append(step)
        if step == len(SIZES):
            torch.cuda.set_sync_debug_mode(mode)  # the epoch's scores are read after its last step

    torch.cuda.set_sync_debug_mode("error")
    try:
        network.train_epoch(told(), on_step)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert len(waiting) == len(SIZES)
    assert np.isfinite(network.train_epoch(batches(2), unseen).loss)
