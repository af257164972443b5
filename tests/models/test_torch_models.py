"""The PyTorch room: GoogLeNet as torchvision has it, its loss, its file, trunk and head."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ModelError, WeightsError
from matlens.models.preprocess import Scale

pytestmark = pytest.mark.torch

CLASSES = 5
GOOGLENETS = Scale(-1, 1)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).random((6, 64, 64, 3), dtype=np.float32)


@pytest.fixture
def wrapper(torch):
    from matlens import InceptionV1Wrapper

    torch.manual_seed(0)
    return InceptionV1Wrapper(CLASSES, pretrained=False)


@pytest.fixture(scope="module")
def published(torch, tmp_path_factory) -> Path:
    """A file such as torchvision publishes: 1000 classes, auxiliary classifiers."""
    from torchvision.models import GoogLeNet

    path = tmp_path_factory.mktemp("weights") / "googlenet-1378be20.pth"
    torch.manual_seed(1)
    torch.save(GoogLeNet(init_weights=False).state_dict(), path)
    return path


def plain_googlenet():
    from torchvision.models import googlenet

    return googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)


def test_the_file_is_a_plain_torchvision_state_dict(torch, wrapper, photos, tmp_path):
    """Who gets the .pth must be able to use it without matlens."""
    wrapper.save(tmp_path / "inception_v1.pth")
    model = plain_googlenet()
    model.load_state_dict(torch.load(tmp_path / "inception_v1.pth", weights_only=True))
    model.eval()
    with torch.no_grad():
        expected = torch.softmax(model(torch.as_tensor(photos).permute(0, 3, 1, 2) * 2 - 1), 1).numpy()
    np.testing.assert_allclose(wrapper.predict(photos), expected, atol=1e-5)
    from matlens import InceptionV1Wrapper

    again = InceptionV1Wrapper(CLASSES, pretrained=False)
    again.load(tmp_path / "inception_v1.pth")
    np.testing.assert_allclose(again.predict(photos), wrapper.predict(photos), atol=1e-5)


def test_parameter_count_is_torchvisions(wrapper):
    """Without the auxiliary classifiers, which do not predict."""
    assert wrapper.get_trainable_params_count() == sum(p.numel() for p in plain_googlenet().parameters())


def test_input_is_what_the_published_weights_were_trained_on(torch, photos):
    """ImageNet's normalisation, then transform_input: once, not twice."""
    from torchvision.models import GoogLeNet_Weights
    from torchvision.transforms import functional

    from matlens.models.torch.preprocessing import to_input

    transforms = GoogLeNet_Weights.IMAGENET1K_V1.transforms()
    normalised = functional.normalize(torch.as_tensor(photos).permute(0, 3, 1, 2), transforms.mean, transforms.std)
    model = plain_googlenet()
    model.transform_input = True
    np.testing.assert_allclose(to_input(GOOGLENETS, photos, torch.device("cpu")),
                               model._transform_input(normalised), atol=1e-5)


def test_pretrained_normalisation_stays_in_inference_mode(torch, published, photos):
    """Small batches would otherwise spoil the published statistics."""
    from matlens import InceptionV1Wrapper

    wrapper = InceptionV1Wrapper(CLASSES, weights_file=published)
    assert wrapper.pretrained
    before = wrapper.model.conv1.bn.running_mean.clone()
    weight = wrapper.model.conv1.conv.weight.detach().clone()
    classifier = wrapper.classifier
    assert not classifier.trains_statistics
    classifier.train_epoch([(photos, np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 3, 4, 0]])], lambda *_: None)
    assert torch.equal(before, wrapper.model.conv1.bn.running_mean)
    assert not torch.equal(weight, wrapper.model.conv1.conv.weight), "it is trained whole"


def test_auxiliary_classifiers_count_three_tenths(torch, wrapper, photos):
    """The loss of one batch, worked out from the three outputs."""
    from torch.nn import functional

    from matlens.models.torch.preprocessing import to_input

    for module in wrapper.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    labels = np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 3, 4, 0]]
    wrapper.model.train()
    with torch.no_grad():
        main, aux2, aux1 = (functional.cross_entropy(out, torch.as_tensor(labels))
                            for out in wrapper.model(to_input(GOOGLENETS, photos, wrapper.device)))
    scores = wrapper.classifier.train_epoch([(photos, labels)], lambda *_: None)
    assert scores.loss == pytest.approx(float(main + 0.3 * aux1 + 0.3 * aux2), rel=1e-4)


@pytest.mark.parametrize("side", [3, 4, 7, 14, 15])
def test_auxiliary_classifiers_can_average_without_chance(torch, side):
    """PyTorch has no deterministic gradient of that on a GPU, so --deterministic would end there."""
    from torch.nn import functional

    from matlens.models.torch.googlenet import averaged

    maps = torch.rand(2, 5, side, side + 2, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(averaged(maps, 4), functional.adaptive_avg_pool2d(maps, 4), atol=1e-6)


def test_files_that_do_not_fit_are_named_and_nothing_is_executed(torch, wrapper, tmp_path):
    """Model files travel between strangers."""
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (canary,)

    bomb = tmp_path / "bomb.pth"
    bomb.write_bytes(pickle.dumps(Bomb()))
    torch.save(Bomb(), tmp_path / "zip.pth")
    for name in ("bomb.pth", "zip.pth", "missing.pth"):
        with pytest.raises(ModelError, match=name):
            wrapper.load(tmp_path / name)
    from matlens import InceptionV1Wrapper

    with pytest.raises(WeightsError, match="bomb"):
        InceptionV1Wrapper(CLASSES, weights_file=bomb)
    assert not canary.exists()


def test_recomputed_statistics_are_the_photos_own(torch, wrapper, photos):
    """Momentum None must average over the batches, and be taken back."""
    from matlens.models.torch.preprocessing import to_input

    classifier = wrapper.classifier
    assert classifier.trains_statistics
    labels = np.zeros((3, CLASSES), np.float32)
    classifier.recompute_statistics([(photos[:3], labels), (photos[3:], labels)])
    with torch.no_grad():
        out = [wrapper.model.conv1.conv(to_input(GOOGLENETS, part, wrapper.device))
               for part in (photos[:3], photos[3:])]
    expected = torch.stack([each.mean((0, 2, 3)) for each in out]).mean(0)
    np.testing.assert_allclose(wrapper.model.conv1.bn.running_mean, expected, atol=1e-5)
    assert wrapper.model.conv1.bn.momentum == 0.1


@pytest.mark.slow
def test_trunk_and_head_say_what_the_model_says_and_give_autograds_gradient(torch, wrapper, photos, tmp_path):
    """Every later figure and heat map comes from the artifact."""
    from matlens.features.artifact import write_artifact

    classifier = wrapper.classifier
    classifier.recompute_statistics([(photos, np.zeros((6, CLASSES), np.float32))])
    artifact = write_artifact(tmp_path / "a", classifier.export_trunk, classifier.predict, photos, "inception_v1",
                              tuple("abcde"))
    np.testing.assert_allclose(artifact.predict(photos), classifier.predict(photos), atol=1e-4)
    features = torch.tensor(artifact.trunk.features(photos), requires_grad=True)
    wrapper.model.fc(features.mean((1, 2)))[:, 3].sum().backward()
    values = artifact.head.forward(features.detach().numpy())
    found = artifact.head.channel_gradients(values, np.full(6, 3), features.shape[-1])
    np.testing.assert_allclose(found, features.grad.sum((1, 2)), atol=1e-5)
