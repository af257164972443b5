"""The guide's training loop in PyTorch, for a whole network or what follows a cut in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from matlens.models.averaging import HostAverage, WeightAverage
from matlens.models.micro_batches import MicroBatches, Parts, Result
from matlens.models.precision import ChosenPrecision, Precision
from matlens.models.torch.devices import chance_refused, free_memory, is_out_of_memory
from matlens.models.torch.gpu.arithmetic import arithmetic
from matlens.models.torch.gpu.averages import DeviceAverage
from matlens.models.torch.gpu.feeder import Feeder
from matlens.models.torch.preprocessing import on_device
from matlens.models.torch.stepping import Scored, Stepper, hits_in
from matlens.types import Batch, ClassCounts, OnStep, Scores

Answered = tuple[torch.Tensor, torch.Tensor, int]
"""Class numbers of a part of a batch as answered and in truth, (B,) each, and the number of classes."""


class TorchTrainable:
    """See `models.protocol.Tunable`.

    On a GPU, steps of whole batches are recorded as a graph (`steps`), and batches are copied beside the computing.

    module: it returns logits; in training mode, where it has auxiliary classifiers, (logits, *auxiliary logits), where
        auxiliary logits may be None.
    to_input: turns a batch into what the module takes, on its device.
    pretrained: batch normalisation then stays in inference mode.
    auxiliary_weight: of each auxiliary classifier's loss.
    seed: of dropout; by default the one that PyTorch was last given.
    """

    def __init__(self, module: nn.Module, to_input: Callable[[Any, torch.device], torch.Tensor], device: torch.device,
                 *, pretrained: bool, learning_rate: float, auxiliary_weight: float,
                 precision: ChosenPrecision | None = None, seed: int | None = None,
                 micro_batches: MicroBatches | None = None) -> None:
        self._module, self._to_input, self._pretrained, self._device = module, to_input, pretrained, device
        self.micro_batches = micro_batches or MicroBatches(is_out_of_memory, free_memory)
        self._chosen = precision or ChosenPrecision("float32")
        self._stepper = Stepper(module, to_input, device, auxiliary_weight=auxiliary_weight, chosen=self._chosen,
                                seed=torch.initial_seed() if seed is None else seed, learning_rate=learning_rate)
        self._feeder = None if self._stepper.recorded is None else Feeder(device)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The present optimiser."""
        return self._stepper.optimizer

    @property
    def precision(self) -> Precision:
        """The arithmetic of training steps."""
        return self._chosen.precision

    @property
    def takes_bytes(self) -> bool:
        """Whether it asks for BytePhotos: what follows a cut takes activations."""
        return False

    @property
    def learning_rate(self) -> float:
        """The optimiser's present learning rate."""
        return self._stepper.rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._stepper.rate = value

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
        self._stepper.look_again()
        sums = _Sums()
        with chance_refused(self._device), arithmetic(self._device, tf32=True):
            for step, (images, labels) in enumerate(self._fed(batches), 1):
                self._stepper.steps += 1
                if self._chosen.candidates:
                    self._stepper.measure(images, labels, self.micro_batches.parts(len(images))[0][1])
                for scores in self._in_parts(len(images), partial(self._stepper.step, images, labels)):
                    sums.add(*scores)
                on_step(step, sums.scores)
        return sums.scores()

    def _fed(self, batches: Iterable[Batch]) -> Iterable[tuple[Any, Any]]:
        return batches if self._feeder is None else self._feeder.fed(batches)

    def _in_parts(self, photos: int, compute: Callable[[Parts], Result]) -> Result:
        """Compute a batch in the parts that fit into memory; a recording gives its memory back before they shrink."""
        recorded = self._stepper.recorded

        def try_again(parts: Parts) -> Result:
            try:
                return compute(parts)
            except Exception as error:
                if recorded is None or not recorded.is_recorded or not is_out_of_memory(error):
                    raise
            recorded.give_up("the memory of a recorded step is needed for others")
            free_memory()
            return compute(parts)

        return self.micro_batches.run(photos, try_again)

    def validate(self, batches: Iterable[Batch], *, macro_f1: bool = False) -> Scores:
        """Return cross-entropy, accuracy and, where asked for, macro F1 of the main classifier."""
        self._module.eval()
        sums, answered = _Sums(), list[Answered]()
        with arithmetic(self._device, tf32=False):
            for images, labels in self._fed(batches):
                for scored, answers in self._in_parts(len(images), partial(self._test_on, images, labels)):
                    sums.add(*scored)
                    answered += [answers] * macro_f1
        return replace(sums.scores(), macro_f1=_macro_f1(answered)) if answered else sums.scores()

    def _test_on(self, images: Any, labels: Any, parts: Parts) -> list[tuple[Scored, Answered]]:
        scored = []
        with torch.inference_mode():
            for start, end in parts:
                target = on_device(labels[start:end], self._device)
                logits = self._module(self._to_input(images[start:end], self._device))
                scored.append(((functional.cross_entropy(logits, target), hits_in(logits, target), end - start),
                               (logits.argmax(1), target.argmax(1), logits.shape[1])))
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
            with torch.no_grad(), arithmetic(self._device, tf32=False):
                for images, _ in self._fed(batches):
                    self._module(self._to_input(images, self._device))
        finally:
            for module, momentum in zip(modules, momenta, strict=True):
                module.momentum = momentum
            self._module.eval()

    def use_adam(self, learning_rate: float) -> None:
        """Train what is not frozen now with Adam from now on."""
        self._stepper.use_adam(learning_rate)

    def use_adamw(self, weight_decay: float) -> None:
        """Train with AdamW from now on; biases and normalisation do not decay."""
        self._stepper.use_adamw(weight_decay)

    def average(self) -> WeightAverage:
        """Return a running average of the weights, which stays on a GPU."""
        if self._device.type == "cpu":
            return HostAverage(self)
        return DeviceAverage(self._module.state_dict().values())

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
        return {"micro_batch": np.array(self.micro_batches.size or 0), **self._stepper.state()}

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the state that `snapshot` and `training_state` returned."""
        self.restore(snapshot)
        self.micro_batches.limit(int(state["micro_batch"]) or None)
        self._stepper.resume(state)


class _Sums:
    """Sums loss and hits on the device, and reads them only when asked for."""

    def __init__(self) -> None:
        self._loss: torch.Tensor | float = 0.0
        self._hits: torch.Tensor | float = 0.0
        self._photos = 0

    def add(self, loss: torch.Tensor, hits: torch.Tensor, photos: int) -> None:
        self._photos += photos
        self._loss = self._loss + loss * photos
        self._hits = self._hits + hits

    def scores(self) -> Scores:
        photos = max(self._photos, 1)
        return Scores(float(self._loss) / photos, float(self._hits) / photos)


def _macro_f1(answered: list[Answered]) -> float:
    counts = ClassCounts(answered[0][2])
    for answers, truth, _ in answered:
        counts.add(answers.cpu().numpy(), truth.cpu().numpy())
    return counts.macro_f1()


def _normalisations(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
