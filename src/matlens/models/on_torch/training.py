"""The guide's training loop in PyTorch, for GoogLeNet or what follows a cut in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from matlens.errors import DataError
from matlens.models.on_torch.googlenet import on_device
from matlens.models.precision import Precision
from matlens.models.protocol import Batch, OnStep, Scores

LEARNING_RATE = 1e-3
AUXILIARY_WEIGHT = 0.3
"""Of each auxiliary classifier's loss (Szegedy et al. 2014, section 5)."""


class TorchTrainable:
    """See `models.protocol.Tunable`.

    module: in training mode it gives (logits, aux2, aux1), where auxiliary logits may be None; else logits.
    to_input: makes a batch what the module takes, on its device.
    pretrained: batch normalisation then stays in inference mode.
    """

    def __init__(self, module: nn.Module, to_input: Callable[[Any, torch.device], torch.Tensor], device: torch.device,
                 *, pretrained: bool, precision: Precision = "float32", learning_rate: float = LEARNING_RATE) -> None:
        self._module, self._to_input, self._pretrained = module, to_input, pretrained
        self._device = device
        self.precision = precision
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(self._trained(), lr=learning_rate, fused=True)
        # float16's smallest number is 6e-8, and many gradients are smaller.
        self._scaler = torch.GradScaler(device.type, enabled=precision == "float16")

    @property
    def learning_rate(self) -> float:
        """The optimiser's present learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value

    @property
    def trains_statistics(self) -> bool:
        """Whether batch normalisation is trained: from random weights only."""
        return not self._pretrained

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """One pass; the epoch's loss is the mean over photos, batches counted as they come."""
        self._module.train()
        if self._pretrained:
            for module in _normalisations(self._module):
                module.eval()
        sums = _Sums()
        for step, (images, labels) in enumerate(batches, 1):
            target = on_device(labels, self._device)
            photos = self._to_input(images, self._device)
            try:
                with self._autocast():
                    logits, *auxiliary = (each.float() for each in self._module(photos) if each is not None)
            except ValueError as error:
                if len(images) > 1:
                    raise
                raise DataError("Batch normalisation cannot be trained on a batch of one photo of this size; use "
                                "another batch size.") from error
            loss = functional.cross_entropy(logits, target)
            for each in auxiliary:
                loss = loss + AUXILIARY_WEIGHT * functional.cross_entropy(each, target)
            self.optimizer.zero_grad(set_to_none=True)
            self._scaler.scale(loss).backward()
            self._scaler.step(self.optimizer)
            self._scaler.update()
            sums.add(loss.detach(), logits.detach(), target)
            on_step(step, sums.scores)
        return sums.scores()

    def validate(self, batches: Iterable[Batch]) -> Scores:
        """Cross-entropy and accuracy of the main classifier."""
        self._module.eval()
        sums = _Sums()
        with torch.inference_mode():
            for images, labels in batches:
                target = on_device(labels, self._device)
                logits = self._module(self._to_input(images, self._device))
                sums.add(functional.cross_entropy(logits, target), logits, target)
        return sums.scores()

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Average each normalisation's batch mean and variance over the batches (momentum None is PyTorch's way)."""
        modules = _normalisations(self._module)
        momenta = [module.momentum for module in modules]
        self._module.eval()
        for module in modules:
            module.reset_running_stats()
            module.momentum = None
            module.train()
        try:
            with torch.no_grad():
                for images, _ in batches:
                    self._module(self._to_input(images, self._device))
        finally:
            for module, momentum in zip(modules, momenta, strict=True):
                module.momentum = momentum
            self._module.eval()

    def use_adamw(self, weight_decay: float) -> None:
        """AdamW from now on; biases and normalisation do not decay."""
        decaying = [values for values in self._trained() if values.ndim > 1]
        others = [values for values in self._trained() if values.ndim <= 1]
        self.optimizer = torch.optim.AdamW([{"params": decaying, "weight_decay": weight_decay},
                                            {"params": others, "weight_decay": 0.0}], lr=self.learning_rate, fused=True)

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """All weights, copied."""
        return [values.detach().cpu().numpy().copy() for values in self._module.state_dict().values()]

    def restore(self, snapshot: list[npt.NDArray[Any]]) -> None:
        """Bring weights back."""
        with torch.no_grad():
            for values, kept in zip(self._module.state_dict().values(), snapshot, strict=True):
                values.copy_(torch.as_tensor(kept))

    def _trained(self) -> list[nn.Parameter]:
        return [values for values in self._module.parameters() if values.requires_grad]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, getattr(torch, self.precision), enabled=self.precision != "float32")


class _Sums:
    """Loss and hits summed on the device; read only when asked for."""

    def __init__(self) -> None:
        self._loss: torch.Tensor | float = 0.0
        self._hits: torch.Tensor | float = 0.0
        self._photos = 0

    def add(self, loss: torch.Tensor, logits: torch.Tensor, target: torch.Tensor) -> None:
        self._photos += len(target)
        self._loss = self._loss + loss * len(target)
        self._hits = self._hits + (logits.argmax(1) == target.argmax(1)).sum()

    def scores(self) -> Scores:
        photos = max(self._photos, 1)
        return Scores(float(self._loss) / photos, float(self._hits) / photos)


def _normalisations(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
