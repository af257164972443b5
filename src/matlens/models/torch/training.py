"""The guide's training loop in PyTorch, for a whole network or what follows a cut in it."""

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
from matlens.models.averaging import HostAverage, WeightAverage
from matlens.models.micro_batches import MicroBatches, Parts
from matlens.models.precision import Precision
from matlens.models.torch.preprocessing import on_device
from matlens.types import Batch, OnStep, Scores

_Scored = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_SCALE = ("scale", "_growth_tracker")
"""The parts of a GradScaler's state that change."""


class TorchTrainable:
    """See `models.protocol.Tunable`.

    module: it returns logits; in training mode, where it has auxiliary classifiers, (logits, *auxiliary logits), where
        auxiliary logits may be None.
    to_input: turns a batch into what the module takes, on its device.
    pretrained: batch normalisation then stays in inference mode.
    auxiliary_weight: of each auxiliary classifier's loss.
    seed: of dropout; by default the one that PyTorch was last given.
    """

    def __init__(self, module: nn.Module, to_input: Callable[[Any, torch.device], torch.Tensor], device: torch.device,
                 *, pretrained: bool, learning_rate: float, auxiliary_weight: float, precision: Precision = "float32",
                 seed: int | None = None, micro_batches: MicroBatches | None = None) -> None:
        self._module, self._to_input, self._pretrained = module, to_input, pretrained
        self._device, self._auxiliary_weight = device, auxiliary_weight
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
        """Train once on each batch; the scores are means over photos."""
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
        """Do one step of the optimiser; return each part's loss, logits and labels."""
        self.optimizer.zero_grad(set_to_none=True)
        scored = []
        for number, (start, end) in enumerate(parts):
            target = on_device(labels[start:end], self._device)
            photos = self._to_input(images[start:end], self._device)
            try:
                with self._own_dropout(number), self._autocast():
                    outputs = self._module(photos)
                    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                    logits, *auxiliary = (output.float() for output in outputs if output is not None)
            except ValueError as error:
                if end - start > 1:
                    raise
                raise DataError("Batch normalisation cannot be trained on a batch of one photo of this size; use "
                                "another batch size.") from error
            loss = functional.cross_entropy(logits, target)
            for scores in auxiliary:
                loss = loss + self._auxiliary_weight * functional.cross_entropy(scores, target)
            self._scaler.scale(loss * ((end - start) / len(images))).backward()
            scored.append((loss.detach(), logits.detach(), target))
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return scored

    @contextmanager
    def _own_dropout(self, part: int) -> Iterator[None]:
        """Draw numbers inside by seed, step and part of the batch; restore the generator afterwards."""
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            drawn = int(np.random.SeedSequence([self._seed, self._steps, part]).generate_state(1, np.uint64)[0]) >> 1
            torch.default_generator.manual_seed(drawn)  # torch.manual_seed looks for devices that are not used, too
            if self._device.type == "cuda":
                torch.cuda.manual_seed(drawn)
            yield

    def validate(self, batches: Iterable[Batch]) -> Scores:
        """Return cross-entropy and accuracy of the main classifier."""
        self._module.eval()
        sums = _Sums()
        for images, labels in batches:
            for scores in self.micro_batches.run(len(images), partial(self._test_on, images, labels)):
                sums.add(*scores)
        return sums.scores()

    def _test_on(self, images: Any, labels: Any, parts: Parts) -> list[_Scored]:
        scored = []
        with torch.inference_mode():
            for start, end in parts:
                target = on_device(labels[start:end], self._device)
                logits = self._module(self._to_input(images[start:end], self._device))
                scored.append((functional.cross_entropy(logits, target), logits, target))
        return scored

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
        """Train with AdamW from now on; biases and normalisation do not decay."""
        decaying = [values for values in self._trained() if values.ndim > 1]
        others = [values for values in self._trained() if values.ndim <= 1]
        self.optimizer = torch.optim.AdamW([{"params": decaying, "weight_decay": weight_decay},
                                            {"params": others, "weight_decay": 0.0}], lr=self.learning_rate, fused=True)

    def average(self) -> WeightAverage:
        """Begin a moving average of the weights."""
        return HostAverage(self)

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """Return a copy of all weights."""
        return [values.detach().cpu().numpy().copy() for values in self._module.state_dict().values()]

    def restore(self, snapshot: list[npt.NDArray[Any]]) -> None:
        """Set all weights."""
        with torch.no_grad():
            for values, saved in zip(self._module.state_dict().values(), snapshot, strict=True):
                values.copy_(torch.as_tensor(saved))

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return steps, how many photos fit into memory, loss scale, and by parameter the optimiser's variables."""
        scaler = self._scaler.state_dict()
        state = {"steps": np.array(self._steps), "micro_batch": np.array(self.micro_batches.size or 0), **{
            f"scaler/{name}": np.array(scaler[name]) for name in _SCALE if scaler}}
        for number, values in enumerate(self._optimised()):
            for name, moment in self.optimizer.state.get(values, {}).items():
                state[f"optimizer/{number}/{name}"] = moment.cpu().numpy().copy()
        return state

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the state that `snapshot` and `training_state` returned."""
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
                moment = torch.zeros((), device=values.device) if saved.ndim == 0 else torch.empty_like(values)
                self.optimizer.state[values][name] = moment.detach().copy_(torch.as_tensor(saved))

    def _optimised(self) -> list[nn.Parameter]:
        return [values for group in self.optimizer.param_groups for values in group["params"]]

    def _trained(self) -> list[nn.Parameter]:
        return [values for values in self._module.parameters() if values.requires_grad]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, getattr(torch, self.precision), enabled=self.precision != "float32")


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether a GPU, PyTorch's allocator on the CPU (which raises a bare RuntimeError) or NumPy is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _free() -> None:
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA was not used


class _Sums:
    """Sums loss and hits on the device, and reads them only when asked for."""

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
