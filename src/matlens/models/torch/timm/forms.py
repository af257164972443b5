"""The forms that features take inside a network, and all of them as maps (B, K, h, w).

The rest of matlens knows maps alone: heat maps, artifact, OpenVINO, cached activations and pooled features then work
for vision transformers as they do for convolutional networks.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from matlens.models.head import Pooling

Form = Literal["map", "places", "tokens"]
"""(B, K, h, w); (B, h, w, K); (B, T, K), which becomes a map (B, K, T, 1)."""


def form_of(values: torch.Tensor, by_place: bool) -> Form | None:
    """Return the form of a tensor; None where it is none. by_place: whether maps have their channels last."""
    if values.ndim == 4:
        return "places" if by_place else "map"
    return "tokens" if values.ndim == 3 else None


def to_map(values: torch.Tensor, form: Form | None) -> torch.Tensor:
    """Return a tensor of a form as a map."""
    if form == "places":
        return values.permute(0, 3, 1, 2)
    return values.transpose(1, 2).unsqueeze(-1) if form == "tokens" else values


def from_map(values: torch.Tensor, form: Form | None) -> torch.Tensor:
    """Undo `to_map`."""
    if form == "places":
        return values.permute(0, 2, 3, 1)
    return values.squeeze(-1).transpose(1, 2) if form == "tokens" else values


class AsMaps(nn.Module):
    """A part of a network, from maps to maps, whatever form it takes and gives."""

    def __init__(self, part: nn.Module, before: Form | None, after: Form | None) -> None:
        super().__init__()
        self.part, self._before, self._after = part, before, after

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return to_map(self.part(from_map(maps, self._before)), self._after)


class Ending(nn.Module):
    """What makes the trunk's map of the network's last one: patches in their places, class token, normalisation.

    The mean over places of what it gives is the vector that the head takes, exactly:

    - The patch tokens stand in their places; prefix tokens are left out.
    - The class token, where it is pooled, stands in channels of its own, at every place the same.
    - A network that normalises behind its pooling (ConvNeXt, transformers with `fc_norm`) has each place scaled and
      shifted by the deviation and mean of the pooled vector: the mean over places of that is the normalised mean.

    pooling: "avg" of maps and patches; "token" or "token+avg" where there is a class token, which is the first one.
    prefix: how many tokens precede the patches. grid: (h, w) of the patches; None where it is given maps.
    norm: the layer normalisation behind the pooling.
    """

    def __init__(self, pooling: Pooling, prefix: int, grid: tuple[int, int] | None, norm: nn.LayerNorm | None) -> None:
        super().__init__()
        self._pooling, self._prefix, self._grid, self.norm = pooling, prefix, grid, norm

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if self._grid is None:
            return self._normalised(maps)
        batch, depth = maps.shape[:2]
        patches = maps[:, :, self._prefix:].reshape(batch, depth, *self._grid)
        if self._pooling == "avg":
            return self._normalised(patches)
        token = self._normalised(maps[:, :, :1]).expand(-1, -1, *self._grid)
        return token if self._pooling == "token" else torch.cat((self._normalised(patches), token), dim=1)

    def _normalised(self, maps: torch.Tensor) -> torch.Tensor:
        if self.norm is None:
            return maps
        pooled = maps.mean((2, 3), keepdim=True)
        mean = pooled.mean(1, keepdim=True)
        variance = (pooled - mean).square().mean(1, keepdim=True)
        maps = (maps - mean) * torch.rsqrt(variance + self.norm.eps)
        if self.norm.weight is not None:
            maps = maps * self.norm.weight[:, None, None]
        return maps if self.norm.bias is None else maps + self.norm.bias[:, None, None]
