"""Training whose steps are recorded, without a GPU: the numbers of plain training, whatever happens on the way."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pytest
from fake_recorder import FakeRecorder
from small_networks import CLASSES, unseen

from matlens.types import BytePhotos

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

SIDE, SIZES = 12, (6, 6, 6, 6, 6, 6, 3)
RATES = [2.0**-exponent for exponent in (9, 10, 8, 9, 11, 10, 8, 9, 10, 9, 8, 11, 10, 9)]
"""Of each step. float32 has them exactly, so that a rate on the device is the same number."""


def batches(epoch):
    """Bytes, varied, with smoothed labels as in the recipe `strong`; the last batch is smaller."""
    for number, size in enumerate(SIZES):
        rng = np.random.default_rng([epoch, number])
        angles = rng.uniform(-0.3, 0.3, size)
        warps = np.stack([[[np.cos(angle), -np.sin(angle), 1.5], [np.sin(angle), np.cos(angle), -2.0]]
                          for angle in angles])
        labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(CLASSES, size=size)] * 0.9 + 0.1 / CLASSES
        yield (BytePhotos(rng.integers(0, 256, (size, SIDE, SIDE, 3), dtype=np.uint8), warps,
                          rng.uniform(0.9, 1.1, size).astype(np.float32)), labels.astype(np.float32))


@pytest.fixture
def fresh(torch, monkeypatch):
    """Build the same small network with normalisation and dropout, recorded by a recorder or plainly."""
    from matlens.models.torch import stepping
    from matlens.models.torch.preprocessing import to_input
    from matlens.models.torch.training import TorchTrainable

    def build(recorder=None, precision=None):
        monkeypatch.setattr(stepping, "recorder_for", lambda device: recorder)
        torch.manual_seed(0)
        nn = torch.nn
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                               nn.Dropout(0.4), nn.Linear(32, CLASSES)).to(memory_format=torch.channels_last)
        return TorchTrainable(module, partial(to_input, None), torch.device("cpu"), pretrained=False,
                              learning_rate=2.0**-9, auxiliary_weight=0.3, seed=5, precision=precision)

    return build


def train(network, epochs, given=batches):
    """Change the rate in each step, as the recipe `strong` does."""
    scores = []
    for epoch in epochs:
        def with_rates(epoch=epoch):
            for number, batch in enumerate(given(epoch)):
                network.learning_rate = RATES[epoch * len(SIZES) + number]
                yield batch

        scores.append(network.train_epoch(with_rates(), unseen))
    return scores


def assert_same(one, other):
    for ours, theirs in zip([*one.snapshot(), *one.training_state().values()],
                            [*other.snapshot(), *other.training_state().values()], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_recorded_steps_are_the_plain_ones(fresh, optimizer):
    """Static inputs, a rate on the device, dropout by step, and a last smaller batch beside the recording."""
    recorder = FakeRecorder()
    plain, recorded = fresh(), fresh(recorder)
    for network in (plain, recorded):
        if optimizer == "adamw":
            network.use_adamw(0.05)
    assert train(recorded, (0, 1)) == train(plain, (0, 1))
    assert_same(recorded, plain)
    assert recorded.validate(batches(3)) == plain.validate(batches(3))
    assert (recorder.warmed, recorder.recorded, recorder.replayed) == (3, 1, 9)


def test_the_rate_stays_in_its_place_on_the_device(torch, fresh):
    """A graph reads an address: a rate that is another tensor, or a number of Python's, would never change there."""
    network = fresh(FakeRecorder())
    places = [group["lr"] for group in network.optimizer.param_groups]
    network.learning_rate = 0.25
    assert all(isinstance(place, torch.Tensor) and place.item() == 0.25 for place in places)
    assert [id(group["lr"]) for group in network.optimizer.param_groups] == [id(place) for place in places]
    assert network.learning_rate == 0.25


def test_a_fresh_network_goes_on_bit_for_bit(torch, fresh):
    """Moments and their step counters are new tensors then, so what was recorded of the old ones must go."""
    whole, first, second = fresh(FakeRecorder()), fresh(FakeRecorder()), fresh(again := FakeRecorder())
    for network in (whole, first, second):
        network.use_adamw(0.05)
    train(whole, (0,))
    expected = train(whole, (1,))
    train(first, (0,))
    train(second, (0,))
    torch.manual_seed(77)
    second.resume(first.snapshot(), first.training_state())
    assert train(second, (1,)) == expected
    assert_same(second, whole)
    assert again.recorded == 2


def test_a_network_that_changes_is_recorded_anew(fresh):
    """A frozen layer would otherwise go on being trained."""
    recorder = FakeRecorder()
    network = fresh(recorder)
    train(network, (0,))
    for values in network._module[0].parameters():
        values.requires_grad_(False)
    before = network.snapshot()[0]
    train(network, (1,))
    np.testing.assert_array_equal(network.snapshot()[0], before)
    assert recorder.recorded == 2


def test_what_cannot_be_recorded_is_computed_and_said(fresh, caplog):
    """A network of a user's may ask the device for a number in the midst of a step."""
    recorder = FakeRecorder(refuses=RuntimeError("operation not permitted when stream is capturing"))
    plain, stubborn = fresh(), fresh(recorder)
    with caplog.at_level(logging.WARNING):
        assert train(stubborn, (0, 1)) == train(plain, (0, 1))
    assert_same(stubborn, plain)
    assert recorder.recorded == 1, "it is tried once"
    assert "not permitted when stream is capturing" in caplog.text


def test_a_recording_gives_its_memory_up_before_batches_shrink(torch, fresh):
    """Half batches are slower for the whole training, and change what normalisation sees."""
    recorder = FakeRecorder()
    network = fresh(recorder)
    train(network, (0,))
    failures = [torch.OutOfMemoryError("CUDA out of memory")]

    def full_once(module, given):
        if failures:
            raise failures.pop()

    hook = network._module.register_forward_pre_hook(full_once)
    scores = network.validate(batches(3))
    hook.remove()
    assert (network.micro_batches.size, network._stepper.recorded.is_recorded) == (None, False)
    assert scores == network.validate(batches(3))
    train(network, (1,))
    assert recorder.recorded == 1


def test_batches_in_parts_are_not_recorded(torch, fresh):
    """Where memory is short, a recording would hold what the parts need."""
    recorder, told = FakeRecorder(), []
    parted, plain = fresh(recorder), fresh()

    def short_of_memory(module, given):
        if len(given[0]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    for network in (parted, plain):
        network._module.register_forward_pre_hook(short_of_memory)
        network.micro_batches.on_halved = told.append
    assert train(parted, (0,)) == train(plain, (0,))
    assert_same(parted, plain)
    assert (told, recorder.recorded) == ([3, 3], 0)


def test_the_kind_that_comes_again_and_again_is_recorded(torch):
    """A last batch may be larger by the photo that would be left alone; it must not cost the recording."""
    from matlens.models.torch.gpu.steps import RecordedStep

    recorder = FakeRecorder()
    step = RecordedStep(lambda tensors: (tensors[0].sum(), torch.tensor(len(tensors[0]))), recorder)
    sizes = [4, 4, 4, 4, 4, 5] * 2 + [6] * 5
    for number, size in enumerate(sizes):
        total, count = step((torch.full((size,), float(number)),))
        assert (float(total), int(count)) == (number * size, size)
    assert (recorder.recorded, recorder.replayed) == (2, 8)


@pytest.mark.parametrize(("seconds", "chosen"), [
    ({"float32": 1.0, "bfloat16": 0.5}, "bfloat16"), ({"float32": 1.0, "bfloat16": 0.97}, "float32"),
    ({"float32": 1.0, "bfloat16": None}, "float32"), ({"float32": None, "bfloat16": 1.0}, "bfloat16")])
def test_precision_is_measured_and_the_measurement_leaves_no_trace(torch, fresh, monkeypatch, seconds, chosen):
    """The training must be that of the precision from its first step on. None: there is no memory for it."""
    from matlens.models.precision import ChosenPrecision
    from matlens.models.torch import stepping

    def measured(step, device, *, before, steps):
        for _ in range(before + steps):
            step()
        taken = seconds[network.precision]
        if taken is None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return taken

    monkeypatch.setattr(stepping, "seconds_of", measured)
    network = fresh(FakeRecorder(), ChosenPrecision("bfloat16", ("float32", "bfloat16")))
    plain = fresh(FakeRecorder(), ChosenPrecision(chosen))
    assert train(network, (0,)) == train(plain, (0,))
    assert network.precision == chosen
    for ours, theirs in zip(network.snapshot(), plain.snapshot(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    resumed = fresh(FakeRecorder(), ChosenPrecision("bfloat16", ("float32", "bfloat16")))
    monkeypatch.setattr(stepping, "seconds_of", None)  # nothing is measured again
    resumed.resume(network.snapshot(), network.training_state())
    assert resumed.precision == chosen
    assert train(resumed, (1,)) == train(network, (1,))


@pytest.mark.parametrize(("recorder", "at_once"), [(None, None), (None, 2), (FakeRecorder, None)])
def test_a_weight_of_2_is_the_photo_twice(fresh, recorder, at_once):
    """In each way to compute a step. Adam's first moments after it are a tenth of the gradients."""
    rng, times = np.random.default_rng(0), np.array([2, 1, 3, 2])
    photos, labels = rng.random((4, SIDE, SIDE, 3), dtype=np.float32), np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 1]]
    again = np.repeat(np.arange(4), times)
    networks, losses = [fresh(recorder and recorder()), fresh()], []
    for network, batch in zip(networks, [(photos, labels * (times / times.mean()).astype(np.float32)[:, None]),
                                         (photos[again], labels[again])], strict=True):
        network._pretrained = True  # batch normalisation that is trained would see other batches
        network._module[5].p = 0.0
        network.micro_batches.limit(at_once if network is networks[0] else None)
        losses.append(network.train_epoch([batch], unseen).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    ours, theirs = (network.training_state() for network in networks)
    moments = [name for name in theirs if name.endswith("exp_avg")]
    assert moments
    for name in moments:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-7, err_msg=name)


def test_macro_f1_of_validation_is_that_of_the_answers(fresh):
    """From batches whose memory is used again, as a GPU's are."""
    from sklearn.metrics import f1_score

    network, given = fresh(FakeRecorder()), [(photos.pixels / np.float32(255), labels) for photos, labels in batches(0)]
    scores = network.validate(given, macro_f1=True)
    with_logits = [network._module(network._to_input(photos, network._device)).argmax(1) for photos, _ in given]
    truth = np.concatenate([labels.argmax(1) for _, labels in given])
    answers = np.concatenate([each.numpy() for each in with_logits])
    assert scores.macro_f1 == pytest.approx(f1_score(truth, answers, average="macro", zero_division=0,
                                                     labels=range(CLASSES)))
    assert network.validate(given).macro_f1 is None
