"""Divide a network of timm into parts that follow one another, by what its modules do with a photo.

The network computes the features of one photo while each call of a module is noted. A module whose input is the very
tensor that the module before it returned follows that one, with nothing in between. So no list of architectures is
needed: convolutional networks become a chain of blocks from the photo on, and vision transformers a chain of blocks
behind what embeds the patches. A network in which nothing follows anything is one part, and cannot be cut inside.
`network.DividedModule` computes whether the parts give what the whole gives.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from matlens.errors import ModelError
from matlens.models.torch.devices import is_out_of_memory
from matlens.models.torch.timm.forms import AsMaps, Form, form_of

EMBED = "embed"
"""The name of what precedes the chain."""

WHOLE = "forward_features"
"""The name of the only part of a network that does not divide."""


@dataclass(frozen=True)
class Division:
    """How a network divides.

    parts: by name, in order; each maps (B, K, h, w) to (B, K, h, w).
    places: how many places, or tokens, the output of each part has.
    final: the form of the last output. grid: (h, w) of its places, without prefix tokens. channels: K of it.
    unused: the network's own modules behind its features: pooling, classifier.
    """

    parts: dict[str, nn.Module]
    places: tuple[int, ...]
    final: Form
    grid: tuple[int, int]
    channels: int
    unused: tuple[str, ...]


@dataclass(frozen=True)
class _Call:
    """One call of a module. given, gave: its tensors; None where there is not exactly one of them."""

    name: str
    module: nn.Module
    given: torch.Tensor | None
    gave: torch.Tensor | None


def divide(backbone: nn.Module, name: str, size: tuple[int, int], device: torch.device | str = "cpu") -> Division:
    """Divide a network for photos of a size (height, width).

    Raises ModelError where it computes no features of a photo, or features that are neither a map nor tokens.
    """
    photos = torch.zeros(2, 3, *size, device=device)
    calls, features = _recorded(backbone, name, photos)
    by_place = getattr(getattr(backbone, "output_fmt", None), "value", getattr(backbone, "output_fmt", "")) == "NHWC"
    final = form_of(features, by_place)
    if final is None:
        raise ModelError(f"{name} cannot be a model here: its features are no map, but of the shape "
                         f"{tuple(features.shape)}.")
    chain = _suffix(list(_children(backbone, calls)), features)
    links = [link for call in chain for link in _expanded(call, calls)]
    links = [link for link in links if not _does_nothing(link.module)]
    begins, unused = chain[0].given if chain else None, _behind(backbone, calls)
    parts: dict[str, nn.Module] = {}
    outputs: list[torch.Tensor] = []
    if not chain:
        parts[WHOLE], outputs = AsMaps(_Features(backbone), "map", final), [features]
    elif begins is not photos:
        assert begins is not None
        beginning = _Features(_without(backbone, [*(call.name for call in chain), *unused]))
        parts[EMBED], outputs = AsMaps(beginning, "map", form_of(begins, by_place)), [begins]
    for link in links:
        assert link.given is not None and link.gave is not None
        before = "map" if link.given is photos else form_of(link.given, by_place)
        parts[link.name] = AsMaps(link.module, before, form_of(link.gave, by_place))
        outputs.append(link.gave)
    return Division(parts, tuple(_places(values, by_place) for values in outputs), final,
                    _grid(backbone, features, final), int(features.shape[1 if final == "map" else -1]),
                    unused)


def _recorded(backbone: nn.Module, name: str, photos: torch.Tensor) -> tuple[dict[nn.Module, _Call], torch.Tensor]:
    """Compute features; return the calls of all modules in the order of their ends, and the features."""
    calls: dict[nn.Module, _Call] = {}
    again: set[nn.Module] = set()
    names = {module: inner for inner, module in backbone.named_modules()}

    def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], gave: Any) -> None:
        tensors = [value for value in (*given, *named.values()) if isinstance(value, torch.Tensor)]
        again.update({module} & calls.keys())
        calls[module] = _Call(names[module], module, tensors[0] if len(tensors) == 1 else None,
                              gave if isinstance(gave, torch.Tensor) else None)

    hooks = [module.register_forward_hook(note, with_kwargs=True) for module in names if module is not backbone]
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            features = cast(Any, backbone).forward_features(photos)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{name} cannot be a model here: it computes no features of a photo of {photos.shape[2]} x "
                         f"{photos.shape[3]} pixels ({type(error).__name__}: {str(error)[:200]}).") from error
    finally:
        for hook in hooks:
            hook.remove()
        backbone.train(was_training)
    if not isinstance(features, torch.Tensor):
        raise ModelError(f"{name} cannot be a model here: its features are a {type(features).__name__}, not a tensor.")
    return {module: _Call(call.name, module, None, None) if module in again else call
            for module, call in calls.items()}, features


def _children(module: nn.Module, calls: dict[nn.Module, _Call]) -> Iterator[_Call]:
    """Yield the calls of a module's own modules, and of those in its lists, in their order."""
    own: list[_Call] = []
    for child in module.children():
        if child in calls:
            own.append(calls[child])
        elif isinstance(child, nn.ModuleList):
            own += _children(child, calls)
    order = {call.module: number for number, call in enumerate(calls.values())}
    yield from sorted(own, key=lambda call: order[call.module])


def _suffix(children: list[_Call], gave: torch.Tensor) -> list[_Call]:
    """Return the longest chain of calls that ends with `gave`."""
    chain: list[_Call] = []
    now: torch.Tensor | None = gave
    for call in reversed(children):
        if call.gave is not now or call.given is None:
            break
        chain.insert(0, call)
        now = call.given
    return chain


def _expanded(call: _Call, calls: dict[nn.Module, _Call]) -> list[_Call]:
    """Return a stage as its blocks, where these follow one another from its input to its output; else the stage."""
    children = list(_children(call.module, calls))
    if not _is_stage(call.module, children) or call.given is None or call.gave is None:
        return [call]
    chain = _suffix(children, call.gave)
    if len(chain) != len(children) or chain[0].given is not call.given:
        return [call]
    return [part for child in chain for part in _expanded(child, calls)]


def _is_stage(module: nn.Module, children: list[_Call]) -> bool:
    """Return whether a module is a row of blocks: timm's stages, and sequences of more than single layers."""
    if not children:
        return False
    is_row = type(module) is nn.Sequential or "Stage" in type(module).__name__
    return is_row and any(True for child in children for _ in child.module.children())


def _behind(backbone: nn.Module, calls: dict[nn.Module, _Call]) -> tuple[str, ...]:
    """Return the names of the network's modules behind the last one that computes features."""
    names: list[str] = []
    for name, module in backbone.named_children():
        names = [] if calls.keys() & set(module.modules()) else [*names, name]
    return tuple(names)


def _does_nothing(module: nn.Module) -> bool:
    return type(module) is nn.Identity or (isinstance(module, nn.Dropout) and module.p == 0)


def _without(backbone: nn.Module, names: list[str]) -> nn.Module:
    """Return a copy of a network, with the same weights, in which modules pass on what they are given."""
    clone = copy.copy(backbone)
    clone._modules = dict(backbone._modules)
    for name in names:
        first, _, inside = name.partition(".")
        there = clone._modules[first]
        assert there is not None
        clone._modules[first] = _without(there, [inside]) if inside else (
            nn.Sequential() if isinstance(there, nn.Sequential) else nn.Identity())
    return clone


class _Features(nn.Module):
    """A network's `forward_features` as a module."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = cast(Any, self.backbone).forward_features(photos)
        return features


def _places(values: torch.Tensor, by_place: bool) -> int:
    if values.ndim == 3:
        return values.shape[1]
    return int(values.shape[1] * values.shape[2]) if by_place else int(values.shape[2] * values.shape[3])


def _grid(backbone: nn.Module, features: torch.Tensor, form: Form) -> tuple[int, int]:
    """Return (height, width) of the last map. Raises ModelError where tokens lie on no grid."""
    if form == "map":
        return features.shape[2], features.shape[3]
    if form == "places":
        return features.shape[1], features.shape[2]
    tokens = features.shape[1] - prefix_tokens(backbone)
    for embedding in (getattr(backbone, name, None) for name in ("patch_embed", "stem")):
        grid = getattr(embedding, "grid_size", None)
        if grid is not None and grid[0] * grid[1] == tokens:
            return int(grid[0]), int(grid[1])
    side = round(tokens**0.5)
    if side * side != tokens:
        raise ModelError(f"{type(backbone).__name__} cannot be a model here: its {tokens} tokens lie on no grid.")
    return side, side


def prefix_tokens(backbone: nn.Module) -> int:
    """Return how many tokens precede those of the patches: the class token, and registers."""
    return int(getattr(backbone, "num_prefix_tokens", 0) or 0)
