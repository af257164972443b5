"""A throw-away file that adds a small PyTorch network whose steps take long enough to be interrupted."""

from __future__ import annotations

from typing import Any

from matlens.models.preprocess import Standardise
from matlens.models.registry import register
from matlens.models.spec import ModelSpec, NetworkOrder


def _network(order: NetworkOrder) -> Any:
    import time
    from collections import OrderedDict

    from torch import nn

    from matlens.models.torch.network import DividedModule

    class Waiting(nn.Module):
        def forward(self, x: Any) -> Any:
            if self.training:
                time.sleep(0.5)
            return x

    module = nn.Sequential(OrderedDict(
        stem=nn.Sequential(Waiting(), nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        last=nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()), pool=nn.AdaptiveAvgPool2d(1),
        classify=nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, order.num_classes))))
    return DividedModule(module, ("stem", "last"), ("pool", "classify"), pretrained=False)


register(ModelSpec("acme/slow", "Slow", "torch", network=_network, preprocess=Standardise()))
