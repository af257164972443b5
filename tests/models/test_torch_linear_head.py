"""Any head of a PyTorch network can be made linear, and a head be put into it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from matlens.errors import ModelError
from matlens.models.head import Dense, Head

pytestmark = pytest.mark.torch

CLASSES, DEPTH, SIDE = 3, 5, 16


@pytest.fixture
def network(torch):
    """A convolution under a head of two layers."""
    from torch import nn

    from matlens.models.torch.network import DividedModule

    torch.manual_seed(0)
    module: Any = nn.Sequential(OrderedDict(
        last=nn.Conv2d(3, DEPTH, 3), pool=nn.AdaptiveAvgPool2d(1),
        squeeze=nn.Sequential(nn.Flatten(), nn.Linear(DEPTH, 4), nn.ReLU()), classify=nn.Linear(4, 7)))
    return DividedModule(module, ("last",), ("pool", "squeeze", "classify"))


def linear(width: int = DEPTH) -> Head:
    rng = np.random.default_rng(1)
    return Head("avg", (Dense(rng.normal(size=(width, CLASSES)).astype(np.float32),
                              rng.normal(size=CLASSES).astype(np.float32), "softmax"),))


def test_a_head_of_several_layers_is_replaced_by_one_that_takes_the_trunks_features(torch, network):
    """The network then computes what the artifact does: trunk, mean over places, the fitted layer."""
    network.make_linear(CLASSES, "Small")
    network.refuse_misfit("Small", (SIDE, SIDE))
    network.set_head(linear(), "Small")
    photos = torch.rand(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        maps = network.module.last(photos).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(network.module(photos).numpy(), linear().logits(maps), atol=1e-5)
    np.testing.assert_array_equal(network.as_head("Small").layers[0].kernel, linear().layers[0].kernel)


def test_a_linear_head_stays_as_it_is(network):
    """Its layers keep their names, so that its files fit."""
    network.make_linear(CLASSES, "Small")
    before = list(network.state_dict())
    network.make_linear(CLASSES, "Small")
    assert list(network.state_dict()) == before


@pytest.mark.parametrize("given", [linear(DEPTH + 1), Head("avg", linear().layers * 2),
                                   Head("max_flatten", linear().layers)], ids=["width", "layers", "pooling"])
def test_a_head_of_other_layers_is_refused_and_nothing_is_changed(network, given):
    """Half a head would answer something."""
    network.make_linear(CLASSES, "Small")
    before = network.as_head("Small").layers[0].bias
    with pytest.raises(ModelError, match="Small"):
        network.set_head(given, "Small")
    np.testing.assert_array_equal(network.as_head("Small").layers[0].bias, before)
