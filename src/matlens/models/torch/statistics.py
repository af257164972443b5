"""A PyTorch network under a linear head that sees the statistics of several depths (`models.heads.stages`)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from matlens.models.heads.stages import SMALLEST, Depth, ends_of_stages
from matlens.models.torch.network import DividedModule

STATISTICS = "statistics"
"""The name of the only part of the trunk: from preprocessed photos to all features."""


def with_statistics(network: DividedModule, num_classes: int, size: tuple[int, int]) -> DividedModule:
    """Return the network with its statistics as features, and one linear layer in place of its head.

    Auxiliary classifiers are left out: nothing inside the trunk is trained.

    size: (height, width) of a photo, by which the stages are told.
    """
    trunk = tuple(network.part(name) for name in network.trunk)
    with torch.no_grad():
        x, outputs = torch.zeros(1, 3, *size), list[Depth]()
        for name, part in zip(network.trunk, trunk, strict=True):
            x = part.eval()(x)
            outputs.append(Depth(name, x.shape[2] * x.shape[3], x.shape[1]))
    places = {"token": 0, "token+avg": outputs[-1].channels // 2}.get(network.pooling, outputs[-1].channels)
    ends = ends_of_stages(outputs)
    statistics = _Statistics(trunk, {number for number, name in enumerate(network.trunk) if name in ends}, places,
                             network.prefix_tokens)
    with torch.no_grad():
        width = statistics.eval()(torch.zeros(1, 3, *size)).shape[1]
    for name in (*network.head, *network.auxiliary.values()):
        owner, _, own_name = name.rpartition(".")
        setattr(network.module.get_submodule(owner), own_name, nn.Identity())
    network.module.requires_grad_(not network.pretrained)
    return replace(network, module=_OnStatistics(network.module, statistics, width, num_classes), trunk=(STATISTICS,),
                   head=("pool", "predictions"), auxiliary={}, pooling="statistics", places=places, cut=None,
                   parts=dict(zip(network.trunk, trunk, strict=True)), shared=(STATISTICS,),
                   prefix=f"network.{network.prefix}", explained=network.explained or network.trunk[-1])


class _Statistics(nn.Module):
    """Preprocessed photos (B, 3, H, W) to the last map and the statistics, the same at every place: (B, N, h, w)."""

    def __init__(self, parts: tuple[nn.Module, ...], ends: set[int], places: int, prefix: int) -> None:
        """ends: the numbers of the parts behind which a stage ends. places: channels of the last map that tell of such.

        prefix: tokens before those of the patches.
        """
        super().__init__()
        self._parts, self._ends, self._places, self._prefix = nn.ModuleList(parts), ends, places, prefix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stages: list[torch.Tensor] = []
        last = len(self._parts) - 1
        for number, part in enumerate(self._parts):
            x = part(x)
            if number in self._ends and number != last:
                of_patches = x[:, :, self._prefix:] if x.shape[3] == 1 else x
                stages += _moments(of_patches)
        if self._places and last in self._ends:
            stages.append(_moments(x[:, :self._places])[1])  # the mean is the pooled map itself
        everywhere = torch.cat(stages, 1).expand(-1, -1, x.shape[2], x.shape[3])
        return torch.cat((x, everywhere), 1)


def _moments(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and the standard deviation over places, both (B, K, 1, 1)."""
    mean = maps.mean((2, 3), keepdim=True)
    return mean, (maps - mean).square().mean((2, 3), keepdim=True).clamp_min(SMALLEST).sqrt()


class _OnStatistics(nn.Module):
    """Preprocessed photos (B, 3, H, W) to logits (B, C). network: holds the weights of the trunk."""

    def __init__(self, network: nn.Module, statistics: _Statistics, width: int, classes: int) -> None:
        super().__init__()
        self.network, self.statistics = network, statistics
        self.pool, self.predictions = nn.AdaptiveAvgPool2d(1), nn.Linear(width, classes)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.predictions(self.pool(self.statistics(photos)).flatten(1))
        return logits
