"""The PyTorch room: training that goes on in a fresh network, and batches in parts."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import CLASSES, unseen
from small_networks import PHOTO_BATCHES as BATCHES

from matlens.models.protocol import BuildOrder, room_of

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


def fresh(torch, seed=1):
    room = room_of("inception_v1")
    room.seed(seed, False)
    return room.build(BuildOrder("inception_v1", CLASSES, device="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_fresh_network_goes_on_bit_for_bit(torch, optimizer):
    """Moments (which lie in memory as their weights do), steps, statistics and dropout."""
    whole, first, second = (fresh(torch) for _ in range(3))
    for classifier in (whole, first, second):
        if optimizer == "adamw":
            classifier.use_adamw(0.05)
    for classifier in (whole, first):
        classifier.train_epoch(BATCHES[:2], unseen)
    expected = whole.train_epoch(BATCHES[2:], unseen)
    torch.manual_seed(77)  # dropout must not follow from this generator
    second.resume(first.snapshot(), first.training_state())
    assert second.train_epoch(BATCHES[2:], unseen) == expected
    for one, other in zip([*whole.snapshot(), *whole.training_state().values()],
                          [*second.snapshot(), *second.training_state().values()], strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_leaves_the_generator_of_others_alone(torch):
    """A notebook's own augmentation draws from it."""
    classifier = fresh(torch)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    classifier.train_epoch(BATCHES[:1], unseen)
    assert torch.equal(torch.rand(3), wanted)


def test_a_batch_in_parts_gives_the_whole_batchs_gradient(torch):
    """Where memory is short, the training must be the one that was asked for.

    Batch normalisation in inference mode, as pretrained networks have it, and no dropout: the rest is rounding.
    """
    whole, parted = (fresh(torch) for _ in range(2))
    images, labels = BATCHES[0]
    told, gradients = [], []
    for classifier in (whole, parted):
        classifier._pretrained = True
        for module in classifier.network.module.modules():
            if type(module).__name__ == "Dropout":
                module.p = 0.0

    def short_of_memory(module, given):
        if len(given[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = parted.network.module.register_forward_pre_hook(short_of_memory)
    parted.micro_batches.on_halved = told.append
    scores = [classifier.train_epoch([(images, labels)], unseen) for classifier in (whole, parted)]
    assert told == [2]
    assert scores[1].loss == pytest.approx(scores[0].loss, rel=1e-5)
    assert scores[1].accuracy == scores[0].accuracy
    for classifier in (whole, parted):
        gradients.append(torch.cat([values.grad.flatten() for values in classifier.network.module.parameters()]))
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 1e-4
    in_parts = parted.validate(BATCHES[:1])
    hook.remove()
    parted.micro_batches.size = None
    assert in_parts.loss == pytest.approx(parted.validate(BATCHES[:1]).loss, rel=1e-5)


def test_an_allocator_that_finds_nothing_is_out_of_memory(torch):
    """On a CPU PyTorch raises a bare RuntimeError; here from a real allocation of an exabyte."""
    classifier, tried = fresh(torch), []

    def compute(parts):
        tried.append(len(parts))
        if len(parts) == 1:
            torch.empty(2**58)
        return parts

    assert classifier.micro_batches.run(4, compute) == [(0, 2), (2, 4)]
    assert tried == [1, 2]
