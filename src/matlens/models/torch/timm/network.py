"""Build a model on a network of timm: its trunk without its classifier, the ending, and matlens' own head."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import timm
import torch
from torch import nn

from matlens.errors import ModelError
from matlens.models.head import Pooling
from matlens.models.spec import MLP, ModelSpec, NetworkOrder
from matlens.models.torch.devices import enough_memory, is_out_of_memory
from matlens.models.torch.network import DividedModule, Tokens
from matlens.models.torch.timm.division import Division, divide, prefix_tokens
from matlens.models.torch.timm.forms import Ending, Form, to_map
from matlens.models.torch.timm.weights import load_into

ENDING = "map"
"""The name of the trunk's last part, where the network's last output is not the map itself."""

HEAD = ("pool", "hidden", "relu", "dropout", "predictions")


def created(name: str, size: tuple[int, int] | None) -> tuple[nn.Module, bool]:
    """Create a network without a classifier, from random weights.

    size: (height, width) of the photos that it is for; a network that takes photos of any size does not ask for it.
        None leaves it to timm.

    Returns:
        The network, and whether it was built for that size.

    Raises:
        ModelError: timm cannot build it.
    """
    about = timm.get_pretrained_cfg(name)
    try:
        if about is not None and about.fixed_input_size and size is not None:
            try:
                return timm.create_model(name, num_classes=0, img_size=size), True
            except TypeError as error:
                if "img_size" not in str(error):
                    raise
        return timm.create_model(name, num_classes=0), False
    except Exception as error:
        if is_out_of_memory(error):
            raise
        of = f" for photos of {size[0]} x {size[1]} pixels" if size else ""
        raise ModelError(f"timm cannot build {name}{of} ({type(error).__name__}: {str(error)[:200]}).") from error


def transfer(spec: ModelSpec, order: NetworkOrder) -> DividedModule:
    """Build a network of timm under a new head; pretrained weights are frozen.

    Raises ModelError, WeightsError, or OutOfMemoryError.
    """
    assert spec.backbone is not None and spec.head is not None
    name = spec.backbone
    with enough_memory(f"{name} for photos of {order.img_size[0]} x {order.img_size[1]} pixels"):
        backbone, _ = created(name, order.img_size)
        division = divide(backbone, name, order.img_size)
    if order.weights_file is not None:
        load_into(backbone, order.weights_file, name, division.unused)
    pooling = spec.pooling_of(order.options)
    ending = ending_of(backbone, division, pooling)
    for unused in division.unused:
        setattr(backbone, unused, nn.Identity())
    is_pretrained = order.weights_file is not None
    backbone.requires_grad_(not is_pretrained)
    parts = dict(division.parts)
    if ending is not None:
        ending.requires_grad_(not is_pretrained)
        parts[ENDING] = ending
    width = division.channels * (2 if pooling == "token+avg" else 1)
    module = _Transfer(backbone, division.final, ending, width, spec.head, order.num_classes)
    return DividedModule(module, tuple(parts), HEAD, pretrained=is_pretrained, parts=parts, size=order.img_size,
                         pooling=pooling, prefix_tokens=prefix_tokens(backbone),
                         tokens=Tokens(division.grid, pooling) if division.final == "tokens" else None,
                         cut=cut_in(division), is_frozen=is_pretrained, prefix="backbone.",
                         map_of=partial(_map_of, division, prefix_tokens(backbone)),
                         explained=_before_last_block(division) if pooling == "token" else None)


def _map_of(division: Division, prefix: int, values: torch.Tensor) -> torch.Tensor:
    """Return what a layer gives as a map (B, K, h, w), without prefix tokens; what is none stays as it is."""
    height, width = division.grid
    if values.ndim == 4:
        return to_map(values, "places") if division.final == "places" else values
    if values.ndim != 3 or values.shape[1] != prefix + height * width:
        return values
    return values[:, prefix:].transpose(1, 2).unflatten(2, (height, width))


def _before_last_block(division: Division) -> str | None:
    """Return the part whose output the last block takes: behind it, patches reach no class token any more."""
    blocks = [number for number, name in enumerate(division.parts) if name.rpartition(".")[2].isdigit()]
    return list(division.parts)[blocks[-1] - 1] if blocks and blocks[-1] else None


def ending_of(backbone: nn.Module, division: Division, pooling: Pooling) -> Ending | None:
    """Return what makes the map of the last output; None where that is the map. It takes the norm behind the pooling.

    Raises ModelError for a class token that the network does not have.
    """
    behind = getattr(backbone, "fc_norm", None), getattr(getattr(backbone, "head", None), "norm", None)
    norms = [norm for norm in behind if isinstance(norm, nn.LayerNorm)]
    if division.final != "tokens":
        return Ending("avg", 0, None, norms[0]) if norms else None
    if pooling != "avg" and not has_class_token(backbone):
        raise ModelError(f"{type(backbone).__name__} has no class token, so its pooling can only be avg.")
    return Ending(pooling, prefix_tokens(backbone), division.grid, norms[0] if norms else None)


def has_class_token(backbone: nn.Module) -> bool:
    """Return whether the first token stands for the whole photo."""
    return prefix_tokens(backbone) > 0 and getattr(backbone, "cls_token", None) is not None


def cut_in(division: Division) -> str | None:
    """Return where the last stage begins: behind the last part whose output has more places than the trunk's.

    Of a network in which all blocks have as many places, such as a vision transformer, it is the last third of the
    blocks. None where it has no blocks.
    """
    names = list(division.parts)
    larger = [name for name, places in zip(names, division.places, strict=True) if places > division.places[-1]]
    if larger:
        return larger[-1]
    blocks = [name for name in names if name.rpartition(".")[2].isdigit()]
    return blocks[-1 - -(-len(blocks) // 3)] if len(blocks) > 1 else None


class _Transfer(nn.Module):
    """Preprocessed photos (B, 3, H, W) to logits (B, C): a backbone, and matlens' head on the mean of its map."""

    def __init__(self, backbone: nn.Module, final: Form, ending: Ending | None, width: int, head: MLP, classes: int,
                 ) -> None:
        super().__init__()
        self._final = final
        self.backbone, self.ending = backbone, ending if ending is not None else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden, self.relu, self.dropout = nn.Linear(width, head.hidden_units), nn.ReLU(), nn.Dropout(head.dropout)
        self.predictions = nn.Linear(head.hidden_units, classes)
        for layer in (self.hidden, self.predictions):  # as Keras begins them (Glorot and Bengio 2010)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.ending(to_map(cast(Any, self.backbone).forward_features(photos), self._final))).flatten(1)
        logits: torch.Tensor = self.predictions(self.dropout(self.relu(self.hidden(x))))
        return logits

