"""What timm says of its networks, and what is seen of one that is built without weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import timm
import torch
from torch import nn

from matlens.errors import ModelError
from matlens.models.torch.counting import operations
from matlens.models.torch.devices import enough_memory, is_out_of_memory
from matlens.models.torch.timm.division import Division, divide
from matlens.models.torch.timm.network import created, cut_in, has_class_token

_FIELDS = ("architecture", "tag", "input_size", "min_input_size", "fixed_input_size", "interpolation", "crop_pct",
           "mean", "std", "license", "hf_hub_id", "hf_hub_filename", "url")

_OF_SIZE = ("pos_embed", "relative_position", "rope", "attn_mask")
"""In the names of what timm makes anew, or interpolates, for photos of another size."""


def catalogue() -> dict[str, dict[str, Any]]:
    """Return by name what timm says of each network: those with weights by their tags, and all by their architecture.

    An architecture's name stands for its first tag.
    """
    names = [*timm.list_models(pretrained=True), *timm.list_models()]
    configurations = {name: timm.get_pretrained_cfg(name) for name in names}
    return {name: {field: getattr(about, field) for field in _FIELDS}
            for name, about in configurations.items() if about is not None}


def card(name: str) -> dict[str, Any]:
    """Return what is seen of a network that is built without weights, on PyTorch's meta device where that works.

    Its keys are the fields of `models.libraries.timm.NetworkCard`; `refused` says why it cannot be a model, or nothing.

    Raises:
        OutOfMemoryError: it cannot be built without numbers, and its numbers do not fit into memory.
    """
    size = _said(name).input_size[1:]
    with enough_memory(name):
        try:
            backbone, takes_size, device = _built(name, size)
            division = divide(backbone, name, size, device)
            return {**_sizes(name, size, backbone, division, takes_size), **_cost(backbone, size, device),
                    "cut": cut_in(division), "cuts": list(division.parts), "channels": division.channels,
                    "has_token": division.final == "tokens" and has_class_token(backbone),
                    "pools_mean": getattr(backbone, "global_pool", "") == "avg", "refused": ""}
        except ModelError as error:
            return {"refused": str(error)}
        except Exception as error:  # whatever a network's own code fails with: others are still to be looked at
            if is_out_of_memory(error):  # which says nothing of the network
                raise
            return {"refused": f"{name} cannot be a model here: {type(error).__name__} while its parts were looked at: "
                               f"{str(error)[:200]}"}


def _said(name: str) -> Any:
    return timm.get_pretrained_cfg(name)


def _built(name: str, size: tuple[int, int]) -> tuple[nn.Module, bool, str]:
    try:
        with torch.device("meta"):
            return *created(name, size), "meta"
    except ModelError:  # some networks compute with numbers while they are built
        return *created(name, size), "cpu"


def _cost(backbone: nn.Module, size: tuple[int, int], device: str) -> dict[str, int]:
    """Count weights, and floating-point operations for one photo of the network's own size: two for each product."""
    forward: Any = backbone.eval().forward_features
    return {"parameters": sum(values.numel() for values in backbone.parameters()),
            "flops": operations(backbone, lambda: forward(torch.zeros(1, 3, *size, device=device)))}


def _sizes(name: str, size: tuple[int, int], backbone: nn.Module, division: Division, takes_size: bool,
           ) -> dict[str, Any]:
    """Return the sizes of photos that it takes: any, or those of a raster, or one alone."""
    about = _said(name)
    least = max(about.min_input_size[1:]) if about.min_input_size else 32
    alone = {"sizes": [size], "multiple_of": 1, "smallest_side": min(least, *size)}
    takes: _Takes = partial(_is_built_and_takes, name) if about.fixed_input_size else partial(_takes, backbone)
    raster: int | None
    if not about.fixed_input_size:
        raster = next((raster for raster in _RASTERS if _takes_multiples(takes, size, raster)), None)
    else:
        raster = size[0] // division.grid[0]
        other = (size[0] - raster, size[1] - raster)
        if not (takes_size and min(other) >= raster and _is_same_but_for_positions(name, other, backbone)
                and takes(other)):
            return alone
    return alone if raster is None else {"sizes": [], "multiple_of": raster,
                                         "smallest_side": _smallest(takes, least, min(size), raster)}


_RASTERS = (1, 2, 4, 8, 16, 32, 64)
"""Multiples that sides of photos may have to be of, in pixels, in networks that halve maps and join them again."""

_Takes = Callable[[tuple[int, int]], bool]
"""Tells whether a network takes photos of (height, width)."""


def _takes(network: nn.Module, size: tuple[int, int]) -> bool:
    photo = torch.zeros(1, 3, *size, device=next(network.parameters()).device)
    try:
        with torch.no_grad():
            cast(Any, network.eval()).forward_features(photo)
    except Exception as error:  # PyTorch has many for shapes that do not fit
        if is_out_of_memory(error):
            raise
        return False
    return True


def _is_built_and_takes(name: str, size: tuple[int, int]) -> bool:
    try:
        return _takes(_built(name, size)[0], size)
    except ModelError:
        return False


def _takes_multiples(takes: _Takes, size: tuple[int, int], raster: int) -> bool:
    """Return whether sides may be any multiples of a raster, judged by two odd ones that are larger than its own."""
    height, width = (side // raster for side in size)
    return all(takes((raster * (height + more | 1), raster * (width + more | 1))) for more in (1, height // 4 + 1))


def _smallest(takes: _Takes, least: int, most: int, raster: int) -> int:
    """Return the smallest multiple of a raster, from `least` pixels on, that is taken as the side of a square."""
    low, high = -(-least // raster), most // raster
    if takes((low * raster, low * raster)):
        return low * raster
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if takes((middle * raster, middle * raster)) else (middle + 1, high)
    return low * raster


def _is_same_but_for_positions(name: str, size: tuple[int, int], backbone: nn.Module) -> bool:
    """Return whether a network for photos of another size has the same weights, but for what is of positions."""
    try:
        other = _built(name, size)[0]
    except ModelError:
        return False
    shapes, others = ({key: values.shape for key, values in network.state_dict().items()
                       if not any(word in key for word in _OF_SIZE)} for network in (backbone, other))
    return shapes == others
