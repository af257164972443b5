"""A throw-away file that adds a PyTorch model: three parts, a head, and weights from a file of its own."""

from __future__ import annotations

from typing import Any

from matlens.models.preprocess import Standardise
from matlens.models.registry import register
from matlens.models.spec import ModelSpec, NetworkOrder, WeightsFile

PUBLISHED_CLASSES = 7


def tiny(classes: int) -> Any:
    """Three convolutions, averaging, one linear layer."""
    from collections import OrderedDict

    from torch import nn

    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())

    return nn.Sequential(OrderedDict(
        stem=block(3, 8), middle=block(8, 16), last=block(16, 32), pool=nn.AdaptiveAvgPool2d(1),
        classify=nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, classes))))


def _network(order: NetworkOrder) -> Any:
    from torch import nn

    from matlens.models.torch.files import load_pretrained
    from matlens.models.torch.network import DividedModule

    module = tiny(PUBLISHED_CLASSES)
    if order.weights_file is not None:
        load_pretrained(module, order.weights_file, "Tiny")
    module.classify[-1] = nn.Linear(32, order.num_classes)
    return DividedModule(module, ("stem", "middle", "last"), ("pool", "classify"),
                         pretrained=order.weights_file is not None)


register(ModelSpec("acme/tiny", "Tiny", "torch", network=_network, preprocess=Standardise(), strong_cut="middle",
                   weights=(WeightsFile("tiny.pth", "https://example.org/tiny.pth"),)))
