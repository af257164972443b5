"""What a PyTorch trunk gives with `--features multi`: statistics of its parts, worked out in NumPy."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from matlens.features.engine import TrunkEngine

pytestmark = pytest.mark.torch

CLASSES, SIDE = 3, 32


def block(inputs: int, outputs: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU())


@pytest.fixture(scope="module")
def networks(torch):
    """A network as it is, and the same with statistics; it has an auxiliary classifier."""
    from torch import nn

    from matlens.models.torch.network import DividedModule
    from matlens.models.torch.statistics import with_statistics

    torch.manual_seed(0)
    module: Any = nn.Sequential(OrderedDict(
        stem=block(3, 4), middle=block(4, 6), last=block(6, 8), pool=nn.AdaptiveAvgPool2d(1),
        classify=nn.Sequential(nn.Flatten(), nn.Linear(8, CLASSES)), extra=nn.Linear(6, CLASSES)))
    network = DividedModule(module, ("stem", "middle", "last"), ("pool", "classify"), auxiliary={"middle": "extra"},
                            pretrained=True)
    parts = [module.stem, module.middle, module.last]
    return parts, with_statistics(network, CLASSES, (SIDE, SIDE))


def of_parts(torch: Any, parts: list[Any], photos: np.ndarray) -> list[np.ndarray]:
    x, maps = torch.from_numpy(photos.transpose(0, 3, 1, 2).copy()), []
    with torch.inference_mode():
        for part in parts:
            x = part(x)
            maps.append(x.numpy().transpose(0, 2, 3, 1))
    return maps


def photos() -> np.ndarray:
    return np.random.default_rng(0).random((3, SIDE, SIDE, 3), dtype=np.float32)


def test_the_features_are_mean_and_deviation_of_each_stage(torch, networks, tmp_path):
    """In the network, in OpenVINO, and in the order that docs name; the head reads them as a mean over places."""
    from matlens.models.protocol import BuildOrder
    from matlens.models.spec import ModelSpec
    from matlens.models.torch.classifier import TorchClassifier

    parts, network = networks
    spec = ModelSpec("acme/small", "Small", "torch", network=lambda order: None)
    order = BuildOrder("inception_v1", CLASSES, (SIDE, SIDE), linear_head=True, features="multi")
    classifier = TorchClassifier(spec, network, order, torch.device("cpu"))
    stem, middle, last = of_parts(torch, parts, photos())
    wanted = np.concatenate([
        last.mean((1, 2)), stem.mean((1, 2)), stem.std((1, 2)), middle.mean((1, 2)),
        middle.std((1, 2)), last.std((1, 2))], axis=1)
    maps = classifier.features(photos())
    np.testing.assert_allclose(maps.mean((1, 2)), wanted, atol=2e-6)
    np.testing.assert_array_equal(maps[..., :8], last)
    head = classifier.export_trunk(tmp_path)
    assert (head.pooling, head.places, head.layers[0].kernel.shape) == ("statistics", 8, (wanted.shape[1], CLASSES))
    np.testing.assert_allclose(TrunkEngine(tmp_path / "trunk.xml").features(photos()), maps, atol=2e-6)
    np.testing.assert_allclose(head.probabilities(maps), classifier.predict(photos()), atol=1e-6)


def test_a_file_holds_each_weight_once_and_nothing_of_what_was_left_out(torch, networks):
    """The parts are modules of the network; the old head and the auxiliary classifier train nothing any more."""
    names = list(networks[1].state_dict())
    assert len(names) == 3 * 2 + 2
    assert not [name for name in names if "classify" in name or "extra" in name]
    every, trainable = networks[1].counts()
    assert trainable == networks[1].as_head("Small").layers[0].kernel.size + CLASSES
    assert every == trainable + sum(values.numel() for part in networks[0] for values in part.parameters())


def test_a_channel_that_is_the_same_everywhere_has_a_gradient_that_is_a_number(torch, networks):
    """The root of 0 has none, and half of a network's channels may be dark."""
    dark = torch.zeros(1, 3, SIDE, SIDE, requires_grad=True)
    networks[1].module.eval()(dark)[0, 0].backward()
    assert torch.isfinite(dark.grad).all()
