"""Training in the PyTorch room: the numbers of a plain loop over torchvision's network, and mixed precision."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import CLASSES, unseen
from small_networks import PHOTO_BATCHES as BATCHES

from matlens.errors import DeviceError
from matlens.models.protocol import BuildOrder, room_of

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def network(torch):
    """torchvision's GoogLeNet without dropout, whose numbers depend on how a tensor lies in memory."""
    from torchvision.models import GoogLeNet

    torch.manual_seed(0)
    network = GoogLeNet(CLASSES, aux_logits=True, transform_input=False, init_weights=False, dropout=0.0,
                        dropout_aux=0.0)
    return network.train()


def built(network, precision="float32"):
    classifier = room_of("inception_v1").build(BuildOrder("inception_v1", CLASSES, precision=precision, device="cpu"))
    classifier.network.module.load_state_dict(network.state_dict())
    for module in classifier.network.module.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    return classifier


def test_an_epoch_is_a_plain_loops(torch, network):
    """Order in memory, fused Adam and late reading are ways to the same numbers, not other ones.

    The plain loop is in float64, since float32's rounding shows in the second step already. With Adam's usual epsilon
    a gradient of 1e-9, which is rounding, moves a weight as far as one of 1.
    """
    import copy

    from torch.nn import functional

    plain = copy.deepcopy(network).double()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3, eps=1e-2, fused=False, foreach=False)
    losses = []
    for images, labels in BATCHES[:2]:
        target = torch.as_tensor(labels).double()
        main, aux2, aux1 = plain(torch.as_tensor(images).double().permute(0, 3, 1, 2).contiguous() * 2 - 1)
        loss = functional.cross_entropy(main, target) + 0.3 * (
            functional.cross_entropy(aux1, target) + functional.cross_entropy(aux2, target))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    classifier, read = built(network), []
    classifier.optimizer.param_groups[0]["eps"] = 1e-2
    scores = classifier.train_epoch(BATCHES[:2], lambda step, scores: read.append(scores().loss))
    assert read == pytest.approx([losses[0], np.mean(losses)], rel=1e-3)
    assert scores.loss == read[-1]
    moved, expected = (torch.cat([(after - before).detach().double().flatten() for after, before in
                                  zip(each.parameters(), network.parameters(), strict=True)])
                       for each in (classifier.network.module, plain))
    assert float((moved - expected).norm() / expected.norm()) < 0.1


def test_the_whole_step_stays_channels_last(torch, network):
    """A layer that falls back costs a copy there and a slow kernel after it; nothing else would show it."""
    classifier, elsewhere = built(network), []

    def look(name, output):
        if isinstance(output, torch.Tensor) and output.ndim == 4 and not output.is_contiguous(
                memory_format=torch.channels_last):
            elsewhere.append(name)

    for name, module in classifier.network.module.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: look(name, output))
    classifier.train_epoch(BATCHES[:1], unseen)
    for name, values in classifier.network.module.named_parameters():
        look(f"{name}, gradient", values.grad)
    assert elsewhere == []


def test_bfloat16_is_of_the_steps_alone(torch, network):
    """Validation and predictions must be those of the float32 network that is saved."""
    exact, mixed = built(network), built(network, "bfloat16")
    scores = [each.train_epoch(BATCHES[:1], unseen) for each in (exact, mixed)]
    assert scores[1].loss == pytest.approx(scores[0].loss, rel=5e-2)
    assert scores[1].loss != scores[0].loss, "it was computed in float32"
    assert {values.dtype for values in mixed.network.state_dict().values()} == {torch.float32, torch.int64}
    exact.restore(mixed.snapshot())
    assert mixed.validate(BATCHES) == exact.validate(BATCHES)
    np.testing.assert_array_equal(mixed.predict(BATCHES[0][0]), exact.predict(BATCHES[0][0]))


def test_the_room_refuses_float16_on_a_cpu(torch):
    """PyTorch itself would train there for days."""
    with pytest.raises(DeviceError, match="--precision float32"):
        room_of("inception_v1").build(BuildOrder("inception_v1", CLASSES, precision="float16", device="cpu"))


def test_shifted_scores_are_what_the_network_answers_saves_and_exports(torch, network):
    """Logit adjustment is in the last biases: log p moves by the shift, but for a constant."""
    classifier, shift = built(network), np.log([1, 2, 4]).astype(np.float32)
    images = BATCHES[0][0]
    before, bias = classifier.predict(images), classifier.head().layers[-1].bias
    classifier.shift_logits(shift)
    expected = before * [1, 2, 4]
    np.testing.assert_allclose(classifier.predict(images), expected / expected.sum(1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(classifier.head().layers[-1].bias, bias + shift, rtol=1e-6)
