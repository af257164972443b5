"""Attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928): which patches the pooled tokens are made of.

A block adds what its tokens take from each other to what they are: each token is half itself, half what it attends to
(the paper's 0.5 A + 0.5 I, with the mean A over heads). The product of these over all blocks says which share each
token of the first block has in each of the last. Of the rows of that product those count that go into the head: the
class token's, the mean of the patches', or half of each.

It knows neither classes nor signs: it shows what is looked at, not what speaks for the answer.
"""

from __future__ import annotations

import numpy as np

from matlens.explanation.explainer import AttentionMethod
from matlens.explanation.registry import register
from matlens.models.capabilities.attention import Attention
from matlens.types import Array


@register
class AttentionRollout(AttentionMethod):
    """Multiply the attention of all blocks, each with what its tokens keep of themselves."""

    name = "rollout"
    title = "Attention rollout"
    source = "Abnar and Zuidema 2020"
    rank = 40

    def evidence(self, attention: Attention) -> Array:
        """Go back from the pooled tokens to the first block's, block by block."""
        shares: Array = np.broadcast_to(attention.pooled, (len(attention.blocks), 1, len(attention.pooled)))
        for block in range(attention.blocks.shape[1] - 1, -1, -1):
            shares = np.asarray((shares @ attention.blocks[:, block] + shares) / 2, dtype=np.float32)
        return np.asarray(shares[:, 0])
