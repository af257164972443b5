"""Read what the tokens of a vision transformer attend to, in the blocks that timm builds them of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from matlens.models.capabilities.attention import Attention, no_attention
from matlens.models.head import Pooling
from matlens.models.torch.network import DividedModule
from matlens.types import Array

_WEIGHTS = "attn_drop"
"""The module of each of timm's attentions that is given the weights, softmax included: the dropout on them."""

_FUSED = "fused_attn"
"""The flag by which timm lets PyTorch compute an attention in one piece: its weights are then never made."""


def read_attention(network: DividedModule, photos: torch.Tensor, title: str) -> Attention:
    """Return the attention of preprocessed photos (B, 3, H, W).

    Raises ModelError where the network is no chain of blocks in which all tokens attend to all.
    """
    of_tokens = network.tokens
    if of_tokens is None:
        attends = any(name.rpartition(".")[2] == _WEIGHTS for name, _ in network.module.named_modules())
        raise no_attention(title, "its tokens attend within windows, not each to all" if attends else
                           "it is no vision transformer")
    patches = of_tokens.grid[0] * of_tokens.grid[1]
    tokens = network.prefix_tokens + patches
    with torch.inference_mode(), _noted(network.module.eval()) as noted:
        network.module(photos)
    for name, weights in noted:
        if weights.ndim != 4 or weights.shape[0] != len(photos) or weights.shape[2:] != (tokens, tokens):
            raise no_attention(title, f"{name} attends within windows or channels, not from each of the {tokens} "
                                      f"tokens to all (its weights are {tuple(weights.shape)})")
        if not torch.allclose(weights.sum(-1), torch.ones((), device=weights.device), atol=1e-3):
            raise no_attention(title, f"the weights of {name} do not sum to 1")
    blocks = [_block(name) for name, _ in noted]
    if not noted or len(set(blocks)) < len(blocks):
        raise no_attention(title, "a block computes several attentions side by side" if noted else
                           "nothing in it attends from patches to patches")
    maps = torch.stack([weights.float().mean(1) for _, weights in noted], 1)
    return Attention(maps.cpu().numpy(), _pooled(of_tokens.pooling, network.prefix_tokens, patches),
                     of_tokens.grid)


@contextmanager
def _noted(module: nn.Module) -> Iterator[list[tuple[str, torch.Tensor]]]:
    """Note the weights of each attention by its name, in the order of computing; they are computed one by one inside.
    """
    noted: list[tuple[str, torch.Tensor]] = []
    fused = [attending for attending in module.modules() if getattr(attending, _FUSED, False) is True]

    def note(name: str) -> Any:
        return lambda _, given: noted.append((name, given[0]))

    hooks = [inner.register_forward_pre_hook(note(name.rpartition(".")[0])) for name, inner in module.named_modules()
             if name.rpartition(".")[2] == _WEIGHTS]
    for attending in fused:
        setattr(attending, _FUSED, False)
    try:
        yield noted
    finally:
        for attending in fused:
            setattr(attending, _FUSED, True)
        for hook in hooks:
            hook.remove()


def _block(name: str) -> str:
    """Return the name of the block that an attention is in: up to the first number."""
    match = re.match(r"(?:[^.]+\.)*?\d+", name)
    return match[0] if match else name


def _pooled(pooling: Pooling, prefix: int, patches: int) -> Array:
    """Return the share of each token in what goes into the head: the class token, the mean of the patches, or both."""
    token = {"token": 1, "token+avg": 0.5}.get(pooling, 0)
    shares = np.zeros(prefix + patches, np.float32)
    shares[prefix:] = (1 - token) / patches
    if token:
        shares[0] = token
    return shares
