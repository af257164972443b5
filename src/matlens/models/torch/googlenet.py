"""GoogLeNet (Inception V1; Szegedy et al. 2014) from torchvision, with another number of classes.

Its published weights were trained on torchvision's normalisation by ImageNet's mean and deviation, followed by
GoogLeNet's own `transform_input`, which undoes it: (x - 0.5) / 0.5 in one step. So `transform_input` is off here, and
the spec's preprocessing is that one step.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import GoogLeNet
from torchvision.models.googlenet import BasicConv2d, Inception, InceptionAux

from matlens.models.torch.files import load_pretrained
from matlens.models.torch.network import DividedModule

_TRUNK = ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3", "inception4a",
          "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4", "inception5a", "inception5b")

_AUXILIARY_WEIGHT = 0.3
"""Of each auxiliary classifier's loss (Szegedy et al. 2014, section 5)."""


class _Auxiliary(InceptionAux):
    """torchvision's auxiliary classifier; on a GPU with deterministic operations, whose averaging PyTorch lacks."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not (x.is_cuda and torch.are_deterministic_algorithms_enabled()):
            return super().forward(x)
        maps = self.conv(averaged(x, 4))
        return self.fc2(self.dropout(functional.relu(self.fc1(maps.flatten(1)))))


_BLOCKS = [BasicConv2d, Inception, _Auxiliary]


def averaged(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Average maps (B, K, h, w) over side x side regions, as adaptive_avg_pool2d does, by products of matrices."""
    rows, columns = (_shares(length, side, maps.device).to(maps.dtype) for length in maps.shape[2:])
    return rows @ maps @ columns.T


@lru_cache(maxsize=8)
def _shares(length: int, regions: int, device: torch.device) -> torch.Tensor:
    """Return how much each of `length` places counts in each region, (regions, length). A recorded step makes none."""
    with torch.inference_mode(False):
        shares = torch.zeros(regions, length)
        for region in range(regions):
            start, end = region * length // regions, -(-(region + 1) * length // regions)
            shares[region, start:end] = 1 / (end - start)
        return shares.to(device)


def googlenet(num_classes: int, weights_file: Path | None = None) -> DividedModule:
    """Build GoogLeNet from a file of ImageNet weights or, without one, from random weights. Raises WeightsError."""
    if weights_file is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a change to come of torchvision's default
            module = GoogLeNet(aux_logits=True, transform_input=False, init_weights=True, blocks=_BLOCKS)
    else:
        module = GoogLeNet(aux_logits=True, transform_input=False, init_weights=False, blocks=_BLOCKS)
        load_pretrained(module, weights_file, "torchvision's GoogLeNet")
    for classifier, name in ((module, "fc"), (module.aux1, "fc2"), (module.aux2, "fc2")):
        setattr(classifier, name, nn.Linear(getattr(classifier, name).in_features, num_classes))
    return DividedModule(module, _TRUNK, ("avgpool", "dropout", "fc"), pretrained=weights_file is not None,
                         auxiliary={"inception4a": "aux1", "inception4d": "aux2"}, auxiliary_weight=_AUXILIARY_WEIGHT)
