"""Any PyTorch module as a trunk and a head: which of its parts are which, and modules made of some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from matlens.errors import ModelError
from matlens.models.capabilities.cuts import no_cut
from matlens.models.head import Activation, Dense, Head, Pooling, refuse_other_layers


@dataclass(frozen=True)
class Tokens:
    """The tokens of a vision transformer. grid: (h, w) of its patches. pooling: what of them goes into the head."""

    grid: tuple[int, int]
    pooling: Pooling


@dataclass(frozen=True)
class DividedModule:
    """A module that classifies photos, and how it divides: what a spec's `network` returns.

    module: preprocessed photos (B, 3, H, W) to logits (B, C); in training mode, where it has auxiliary classifiers,
        (logits, *auxiliary logits), the deepest first. It computes what its parts compute one after the other.
    trunk: the names of its parts, in order, up to the feature map (B, K, h, w). The output of each is all that the next
        one takes, so the network can be cut behind any of them. A name is that of a module inside, with dots, or one
        of `parts`.
    head: the names of the parts behind: global average pooling first, then dropout and linear layers.
    auxiliary: by a part of the trunk the name of the auxiliary classifier that takes its output. These are for training
        alone: they are in no model file and count for nothing.
    auxiliary_weight: of each auxiliary classifier's loss.
    pretrained: whether it starts from pretrained weights; batch normalisation then stays in inference mode.
    parts: modules that stand for parts of the trunk by their names, from maps (B, K, h, w) to maps; they share the
        module's weights. Where one wraps a module of `module`, that is its `part`.
    shared: modules inside of `module` that hold weights of other modules in it; no file names those again.
    prefix: what precedes the trunk's names of modules in those of `module`, such as "backbone.".
    map_of: makes a map (B, K, h, w) of what a layer of the trunk gives, where that is another form of one.
    explained: the part that Grad-CAM looks at, where that is not the trunk's last one.
    pooling: what the mean over places of the feature map is. places: see `models.head.AnyHead`.
    prefix_tokens: how many tokens precede those of the patches, in a map that is a row of tokens (B, K, T, 1).
    tokens: what its trunk makes of a photo where that is a row of tokens; None where it makes a map.
    size: (height, width) of the photos that it was built for; None where it takes any.
    cut: the part behind which the guide's second stage trains; None where it has no such stage.
    is_frozen: whether the trunk is frozen until fine-tuning begins.
    """

    module: nn.Module
    trunk: tuple[str, ...]
    head: tuple[str, ...]
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    auxiliary_weight: float = 0.3
    pretrained: bool = False
    parts: Mapping[str, nn.Module] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    prefix: str = ""
    map_of: Callable[[torch.Tensor], torch.Tensor] = lambda values: values
    explained: str | None = None
    pooling: Pooling = "avg"
    places: int | None = None
    prefix_tokens: int = 0
    tokens: Tokens | None = None
    size: tuple[int, int] | None = None
    cut: str | None = None
    is_frozen: bool = False

    def part(self, name: str) -> nn.Module:
        """Return a part by its name. Raises AttributeError."""
        return self.parts[name] if name in self.parts else self.module.get_submodule(name)

    def layer(self, name: str) -> nn.Module | None:
        """Return the module of a layer by its name, or that of a part; None where there is none."""
        if name in self.parts:
            part = self.parts[name]
            return getattr(part, "part", part)
        inside = dict(self.module.named_modules())
        return inside.get(name) or inside.get(f"{self.prefix}{name}")

    def refuse_misfit(self, title: str, size: tuple[int, int]) -> None:
        """Raise ModelError where the parts are not there, or one after the other compute something else.

        size: (height, width) of the photo on which that is computed.
        """
        there = {name for name, _ in self.module.named_modules()} | self.parts.keys()
        missing = [name for name in (*self.trunk, *self.head, *self.auxiliary.values()) if name not in there]
        if missing or not self.trunk or not self.head:
            known = ", ".join(name for name, _ in self.module.named_children())
            raise ModelError(f"{title} has no part '{', '.join(missing)}'; it has {known}." if missing else
                             f"{title} names no parts of its {'head' if self.trunk else 'trunk'}.")
        self.as_head(title)
        probe = torch.linspace(-1, 1, 3 * size[0] * size[1]).reshape(1, 3, *size)
        was_training = self.module.training
        self.module.eval()
        with torch.inference_mode():
            whole, chain = self.module(probe), Rest(self, None).eval()(probe)
        self.module.train(was_training)
        if whole.shape != chain.shape or not torch.allclose(whole, chain, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ModelError(f"{title} does not compute what its parts compute one after the other, so it cannot be "
                             f"divided into {', '.join((*self.trunk, *self.head))}.")

    def until(self, layer: str, title: str) -> tuple[str, ...]:
        """Return the trunk's parts up to one. Raises ModelError, which names them."""
        if layer not in self.trunk:
            raise ModelError(no_cut(title, layer, self.trunk))
        return self.trunk[:self.trunk.index(layer) + 1]

    def set_head(self, head: Head, title: str) -> None:
        """Copy the weights of a head into the linear layers. Raises ModelError for a head of other layers."""
        refuse_other_layers(self.as_head(title), head, title)
        with torch.no_grad():
            for layer, dense in zip(self._linear_layers(), head.layers, strict=True):
                layer.weight.copy_(torch.from_numpy(dense.kernel.T))
                if layer.bias is not None:
                    layer.bias.copy_(torch.from_numpy(dense.bias))

    def make_linear(self, num_classes: int, title: str) -> None:
        """Replace the head behind the pooling by one linear layer, unless it is that already. Raises ModelError."""
        layers = self._linear_layers()
        if len(self.as_head(title).layers) == 1:
            return
        for name in self.head[1:-1]:
            setattr(self.module, name, nn.Identity())
        setattr(self.module, self.head[-1], nn.Sequential(nn.Flatten(), nn.Linear(layers[0].in_features, num_classes)))

    def _linear_layers(self) -> list[nn.Linear]:
        return [leaf for leaf in self._leaves_of_head() if isinstance(leaf, nn.Linear)]

    def _leaves_of_head(self) -> list[nn.Module]:
        return [leaf for name in self.head for leaf in _leaves(self.part(name))]

    def as_head(self, title: str) -> Head:
        """Return the head as arrays, copied. Raises ModelError where it is not average pooling and linear layers."""
        pool, *rest = self._leaves_of_head()
        dense: list[tuple[nn.Linear, Activation]] = []
        for leaf in rest:
            if isinstance(leaf, nn.Linear):
                dense.append((leaf, "linear"))
            elif isinstance(leaf, nn.ReLU) and dense:
                dense[-1] = (dense[-1][0], "relu")
            elif not isinstance(leaf, nn.Dropout | nn.Flatten | nn.Identity):
                dense.clear()
                break
        if not dense or not isinstance(pool, nn.AdaptiveAvgPool2d) or pool.output_size not in (1, (1, 1)):
            raise ModelError(f"The head of {title} is not global average pooling and linear layers, so it cannot be "
                             "divided from its trunk.")
        layers = [_dense(layer, activation) for layer, activation in dense]
        layers[-1] = Dense(layers[-1].kernel, layers[-1].bias, "softmax")
        return Head(self.pooling, tuple(layers), self.places)

    def shift_logits(self, by: torch.Tensor, title: str) -> None:
        """Add to the biases of the last linear layer, (C,). Raises ModelError where it has none."""
        last = next(reversed(self._linear_layers()), None)
        if last is None or last.bias is None:
            raise ModelError(f"The head of {title} does not end with a linear layer that has biases, so its scores "
                             "cannot be shifted. Leave --logit-adjustment out; --class-weights balanced needs none.")
        with torch.no_grad():
            last.bias.add_(by.to(last.bias))

    @property
    def _in_no_file(self) -> tuple[str, ...]:
        return tuple(f"{name}." for name in (*self.auxiliary.values(), *self.shared))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return all that predicts, on the CPU: without the auxiliary classifiers."""
        return {name: values.detach().cpu().contiguous() for name, values in self.module.state_dict().items()
                if not name.startswith(self._in_no_file)}

    def counts(self) -> tuple[int, int]:
        """Return (all, trainable) numbers, without auxiliary classifiers; running statistics count as in Keras."""
        weights = [values for name, values in self.module.named_parameters()
                   if not name.startswith(self._in_no_file)]
        statistics = [values for name, values in self.module.named_buffers()
                      if name.endswith(("running_mean", "running_var")) and not name.startswith(
                          self._in_no_file)]
        every = sum(values.numel() for values in (*weights, *statistics))
        return every, sum(values.numel() for values in weights if values.requires_grad)


class Front(nn.Module):
    """Preprocessed photos (B, 3, H, W) to the output of a part of the trunk, (B, K, h, w)."""

    def __init__(self, network: DividedModule, layers: tuple[str, ...]) -> None:
        super().__init__()
        self._layers = nn.ModuleList(network.part(name) for name in layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self._layers:
            x = layer(x)
        return x


class Rest(nn.Module):
    """What follows a cut: activations (B, K, h, w) to what the whole module gives, auxiliary classifiers behind it too.

    cut: a part of the trunk; None: nothing is cut off, and it takes preprocessed photos.
    """

    def __init__(self, network: DividedModule, cut: str | None) -> None:
        super().__init__()
        self._cut, self._auxiliary = cut, network.auxiliary
        self._trunk = network.trunk if cut is None else network.trunk[network.trunk.index(cut) + 1:]
        self._head = network.head
        taps = [name for tap, name in network.auxiliary.items() if tap == cut or tap in self._trunk]
        self._parts = nn.ModuleDict({_key(name): network.part(name) for name in (*self._trunk, *taps, *self._head)})
        self.flatten = nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        auxiliary: list[torch.Tensor] = []
        for name in ([self._cut] if self._cut else []) + list(self._trunk):
            if name != self._cut:
                x = self._part(name)(x)
            if self.training and name in self._auxiliary:
                auxiliary.insert(0, self._part(self._auxiliary[name])(x))
        pool, *rest = self._head
        x = self.flatten(self._part(pool)(x))
        for name in rest:
            x = self._part(name)(x)
        return (x, *auxiliary) if auxiliary else x

    def _part(self, name: str) -> nn.Module:
        return self._parts[_key(name)]


def _key(name: str) -> str:
    return name.replace(".", "/")  # PyTorch's own names of modules inside of others have the dots


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a module's innermost modules, in order."""
    children = list(module.children())
    if not children:
        yield module
    for child in children:
        yield from _leaves(child)


def _dense(layer: nn.Linear, activation: Activation) -> Dense:
    kernel = layer.weight.detach().T.contiguous().cpu().numpy().copy()
    bias = layer.bias if layer.bias is not None else torch.zeros(layer.out_features)
    return Dense(kernel, bias.detach().cpu().numpy().copy(), activation)
