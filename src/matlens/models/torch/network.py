"""Any PyTorch module as a trunk and a head: which of its parts are which, and modules made of some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from matlens.errors import ModelError
from matlens.models.head import Activation, Dense, Head


@dataclass(frozen=True)
class DividedModule:
    """A module that classifies photos, and how it divides: what a spec's `network` returns.

    module: preprocessed photos (B, 3, H, W) to logits (B, C); in training mode, where it has auxiliary classifiers,
        (logits, *auxiliary logits), the deepest first. It computes what its parts compute one after the other.
    trunk: the names of its parts, in order, up to the feature map (B, K, h, w). The output of each is all that the next
        one takes, so the network can be cut behind any of them.
    head: the names of the parts behind: global average pooling first, then dropout and linear layers.
    auxiliary: by a part of the trunk the name of the auxiliary classifier that takes its output. These are for training
        alone: they are in no model file and count for nothing.
    auxiliary_weight: of each auxiliary classifier's loss.
    pretrained: whether it starts from pretrained weights; batch normalisation then stays in inference mode.
    """

    module: nn.Module
    trunk: tuple[str, ...]
    head: tuple[str, ...]
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    auxiliary_weight: float = 0.3
    pretrained: bool = False

    def refuse_misfit(self, title: str, side: int) -> None:
        """Raise ModelError where the parts are not there, or one after the other compute something else."""
        parts = dict(self.module.named_children())
        missing = [name for name in (*self.trunk, *self.head, *self.auxiliary.values()) if name not in parts]
        if missing or not self.trunk or not self.head:
            raise ModelError(f"{title} has no part '{', '.join(missing)}'; it has {', '.join(parts)}." if missing else
                             f"{title} names no parts of its {'head' if self.trunk else 'trunk'}.")
        self.as_head(title)
        probe = torch.linspace(-1, 1, 3 * side * side).reshape(1, 3, side, side)
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
            raise ModelError(f"{title} cannot be cut after '{layer}'. Layers after which it can: "
                             f"{', '.join(self.trunk)}.")
        return self.trunk[:self.trunk.index(layer) + 1]

    def as_head(self, title: str) -> Head:
        """Return the head as arrays, copied. Raises ModelError where it is not average pooling and linear layers."""
        pool, *rest = [leaf for name in self.head for leaf in _leaves(getattr(self.module, name))]
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
        return Head("avg", tuple(layers))

    def shift_logits(self, by: torch.Tensor, title: str) -> None:
        """Add to the biases of the last linear layer, (C,). Raises ModelError where it has none."""
        leaves = [leaf for name in self.head for leaf in _leaves(getattr(self.module, name))]
        last = next((leaf for leaf in reversed(leaves) if isinstance(leaf, nn.Linear)), None)
        if last is None or last.bias is None:
            raise ModelError(f"The head of {title} does not end with a linear layer that has biases, so its scores "
                             "cannot be shifted. Leave --logit-adjustment out; --class-weights balanced needs none.")
        with torch.no_grad():
            last.bias.add_(by.to(last.bias))

    @property
    def _of_training_alone(self) -> tuple[str, ...]:
        return tuple(f"{name}." for name in self.auxiliary.values())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return all that predicts, on the CPU: without the auxiliary classifiers."""
        return {name: values.detach().cpu().contiguous() for name, values in self.module.state_dict().items()
                if not name.startswith(self._of_training_alone)}

    def trainable_count(self) -> int:
        """Return how many numbers are trained, without the auxiliary classifiers."""
        return sum(values.numel() for name, values in self.module.named_parameters()
                   if values.requires_grad and not name.startswith(self._of_training_alone))


class Front(nn.Module):
    """Preprocessed photos (B, 3, H, W) to the output of a part of the trunk, (B, K, h, w)."""

    def __init__(self, network: DividedModule, layers: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self._layers = network.module, layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self._layers:
            x = getattr(self.model, name)(x)
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
        for name in (*self._trunk, *taps, *self._head):
            self.add_module(name, getattr(network.module, name))
        self.flatten = nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        auxiliary: list[torch.Tensor] = []
        for name in ([self._cut] if self._cut else []) + list(self._trunk):
            if name != self._cut:
                x = getattr(self, name)(x)
            if self.training and name in self._auxiliary:
                auxiliary.insert(0, getattr(self, self._auxiliary[name])(x))
        pool, *rest = self._head
        x = self.flatten(getattr(self, pool)(x))
        for name in rest:
            x = getattr(self, name)(x)
        return (x, *auxiliary) if auxiliary else x


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
