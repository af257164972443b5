"""The guide's training loop in PyTorch, for GoogLeNet or what follows a cut in it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from matlens.errors import DataError
from matlens.models.micro_batches import MicroBatches, Parts
from matlens.models.precision import Precision
from matlens.models.torch.googlenet import on_device
from matlens.types import Batch, OnStep, Scores

_Scored = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_SCALE = ("scale", "_growth_tracker")
"""What of a GradScaler changes."""

LEARNING_RATE = 1e-3
AUXILIARY_WEIGHT = 0.3
"""Of each auxiliary classifier's loss (Szegedy et al. 2014, section 5)."""


class TorchTrainable:
    """See `models.protocol.Tunable`.

    module: in training mode it gives (logits, aux2, aux1), where auxiliary logits may be None; else logits.
    to_input: makes a batch what the module takes, on its device.
    pretrained: batch normalisation then stays in inference mode.
    seed: of dropout; by default the one that PyTorch was last given.
    """

    def __init__(self, module: nn.Module, to_input: Callable[[Any, torch.device], torch.Tensor], device: torch.device,
                 *, pretrained: bool, precision: Precision = "float32", learning_rate: float = LEARNING_RATE,
                 seed: int | None = None, micro_batches: MicroBatches | None = None) -> None:
        self._module, self._to_input, self._pretrained = module, to_input, pretrained
        self._device = device
        self._seed, self._steps = torch.initial_seed() if seed is None else seed, 0
        self.micro_batches = micro_batches or MicroBatches(_is_out_of_memory, _free)
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
            self._steps += 1
            for scores in self.micro_batches.run(len(images), partial(self._train_on, images, labels)):
                sums.add(*scores)
            on_step(step, sums.scores)
        return sums.scores()

    def _train_on(self, images: Any, labels: Any, parts: Parts) -> list[_Scored]:
        """One step of the optimiser; of each part its loss, logits and labels."""
        self.optimizer.zero_grad(set_to_none=True)
        found = []
        for number, (start, end) in enumerate(parts):
            target = on_device(labels[start:end], self._device)
            photos = self._to_input(images[start:end], self._device)
            try:
                with self._own_dropout(number), self._autocast():
                    logits, *auxiliary = (each.float() for each in self._module(photos) if each is not None)
            except ValueError as error:
                if end - start > 1:
                    raise
                raise DataError("Batch normalisation cannot be trained on a batch of one photo of this size; use "
                                "another batch size.") from error
            loss = functional.cross_entropy(logits, target)
            for each in auxiliary:
                loss = loss + AUXILIARY_WEIGHT * functional.cross_entropy(each, target)
            self._scaler.scale(loss * ((end - start) / len(images))).backward()
            found.append((loss.detach(), logits.detach(), target))
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return found

    @contextmanager
    def _own_dropout(self, part: int) -> Iterator[None]:
        """Inside, what is drawn follows from the seed, the step and the part of its batch; outside all is as it was."""
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            drawn = int(np.random.SeedSequence([self._seed, self._steps, part]).generate_state(1, np.uint64)[0]) >> 1
            torch.default_generator.manual_seed(drawn)  # torch.manual_seed looks for devices that are not used, too
            if self._device.type == "cuda":
                torch.cuda.manual_seed(drawn)
            yield

    def validate(self, batches: Iterable[Batch]) -> Scores:
        """Cross-entropy and accuracy of the main classifier."""
        self._module.eval()
        sums = _Sums()
        for images, labels in batches:
            for scores in self.micro_batches.run(len(images), partial(self._test_on, images, labels)):
                sums.add(*scores)
        return sums.scores()

    def _test_on(self, images: Any, labels: Any, parts: Parts) -> list[_Scored]:
        found = []
        with torch.inference_mode():
            for start, end in parts:
                target = on_device(labels[start:end], self._device)
                logits = self._module(self._to_input(images[start:end], self._device))
                found.append((functional.cross_entropy(logits, target), logits, target))
        return found

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

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """Steps done, how many photos fit, loss scale, and of each parameter by its place what the optimiser keeps."""
        scaler = self._scaler.state_dict()
        state = {"steps": np.array(self._steps), "micro_batch": np.array(self.micro_batches.size or 0), **{
            f"scaler/{name}": np.array(scaler[name]) for name in _SCALE if scaler}}
        for number, values in enumerate(self._optimised()):
            for name, kept in self.optimizer.state.get(values, {}).items():
                state[f"optimizer/{number}/{name}"] = kept.cpu().numpy().copy()
        return state

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Be as when `snapshot` and `training_state` gave these."""
        self.restore(snapshot)
        self._steps = int(state["steps"])
        self.micro_batches.limit(int(state["micro_batch"]) or None)
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(self._scaler.state_dict() | {
                name: state[f"scaler/{name}"].item() for name in _SCALE})
        self.optimizer.state.clear()
        optimised = self._optimised()
        for key, saved in state.items():
            kind, _, place = key.partition("/")
            if kind == "optimizer":
                number, _, name = place.partition("/")
                values = optimised[int(number)]
                # The fused optimisers go over memory as it lies, so moments must lie as their parameter does.
                kept = torch.zeros((), device=values.device) if saved.ndim == 0 else torch.empty_like(values)
                self.optimizer.state[values][name] = kept.detach().copy_(torch.as_tensor(saved))

    def _optimised(self) -> list[nn.Parameter]:
        return [values for group in self.optimizer.param_groups for values in group["params"]]

    def _trained(self) -> list[nn.Parameter]:
        return [values for values in self._module.parameters() if values.requires_grad]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, getattr(torch, self.precision), enabled=self.precision != "float32")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU, PyTorch's allocator on the CPU (which raises a bare RuntimeError) or NumPy found no memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _free() -> None:
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA was not used


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
