"""Count a PyTorch model without making its numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from matlens.errors import ModelError
from matlens.models.library import ModelFacts
from matlens.models.protocol import BuildOrder
from matlens.models.spec import ModelSpec

_CLASSES = 1000
"""Of a model whose last layer is its own."""


def operations(module: nn.Module, compute: Callable[[], object]) -> int:
    """Count the floating-point operations of what is computed with a module, two for each product.

    Its weights take no gradients afterwards: PyTorch's counter fails at a module that is given a weight which does,
    such as a class token.
    """
    module.requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())


def facts(spec: ModelSpec, img_size: tuple[int, int]) -> ModelFacts:
    """See `models.library.Counting`. Raises ModelError where the model has no network of its own."""
    if spec.network is None:
        raise ModelError(f"{spec.name} has no network of its own that could be counted.")
    with torch.device("meta"):
        network = spec.network(BuildOrder(spec.name, _CLASSES, img_size))
        module = network.module.eval()
        flops = operations(module, lambda: module(torch.zeros(1, 3, *img_size)))
    auxiliary = tuple(f"{name}." for name in network.auxiliary.values())
    parameters = sum(values.numel() for name, values in module.named_parameters() if not name.startswith(auxiliary))
    return ModelFacts(parameters, flops, img_size)
