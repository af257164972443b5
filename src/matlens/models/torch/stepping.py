"""One training step: forward, backward and optimiser, whole or in parts, recorded where the device can do that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from matlens.errors import DataError
from matlens.models.micro_batches import Parts
from matlens.models.precision import PRECISIONS, ChosenPrecision, Precision, fastest
from matlens.models.torch.device_photos import DevicePhotos
from matlens.models.torch.devices import free_memory, generators_of_their_own, is_out_of_memory
from matlens.models.torch.gpu.arithmetic import seconds_of
from matlens.models.torch.gpu.steps import WARM_UP, Outputs, RecordedStep, Tensors, recorder_for
from matlens.models.torch.preprocessing import on_device

Scored = tuple[torch.Tensor, torch.Tensor, int]
"""Mean loss, hits, photos."""

_SCALE = ("scale", "_growth_tracker")
"""The parts of a GradScaler's state that change."""

_LOG = logging.getLogger(__name__)


class Stepper:
    """Does training steps: the optimiser, its rate, the loss scale, dropout's numbers and the recording are its own.

    See `TorchTrainable` for the module and what describes it.

    Attributes:
        recorded: the whole step, to be recorded; None where the device records nothing.
        steps: how many were done, from which dropout follows.
        seed: of dropout.
    """

    def __init__(self, module: nn.Module, to_input: Callable[[Any, torch.device], torch.Tensor], device: torch.device,
                 *, auxiliary_weight: float, chosen: ChosenPrecision, seed: int, learning_rate: float) -> None:
        self._module, self._to_input, self._device = module, to_input, device
        self._auxiliary_weight, self._chosen = auxiliary_weight, chosen
        self.seed, self.steps = seed, 0
        recorder = recorder_for(device)
        self.recorded = None if recorder is None else RecordedStep(self._whole_step, recorder, self._tidy_up)
        self._recorded_of: tuple[Any, ...] = ()
        self._scaler = self._new_scaler()
        self.optimizer = self._optimiser(torch.optim.Adam, self.trained(), learning_rate)

    @property
    def rate(self) -> float:
        """The learning rate."""
        rate = self.optimizer.param_groups[0]["lr"]
        return self._rate if isinstance(rate, torch.Tensor) else float(rate)

    @rate.setter
    def rate(self, value: float) -> None:
        self._rate = float(value)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(value)  # where a recorded step reads it; to read it back would wait for the device
            else:
                group["lr"] = value

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that are trained."""
        return [values for values in self._module.parameters() if values.requires_grad]

    def use_adam(self, rate: float) -> None:
        """Train what is not frozen now with Adam from now on, at a learning rate."""
        self.optimizer = self._optimiser(torch.optim.Adam, self.trained(), rate)

    def use_adamw(self, weight_decay: float) -> None:
        """Train with AdamW from now on; biases and normalisation do not decay."""
        decaying = [values for values in self.trained() if values.ndim > 1]
        others = [values for values in self.trained() if values.ndim <= 1]
        self.optimizer = self._optimiser(torch.optim.AdamW, [{"params": decaying, "weight_decay": weight_decay},
                                                             {"params": others, "weight_decay": 0.0}], self.rate)

    def _optimiser(self, kind: type[torch.optim.Adam], trained: list[Any], rate: float) -> torch.optim.Optimizer:
        """Make Adam or AdamW; where steps are recorded, all that changes in them lies on the device."""
        self._rate = rate
        if self.recorded is None:
            return kind(trained, lr=rate, fused=True)
        optimizer = kind(trained, lr=torch.tensor(float(rate), device=self._device), fused=True,
                         capturable=self._device.type == "cuda")
        # The last smaller batch is computed outside a recording, which PyTorch would warn of.
        optimizer._warned_capturable_if_run_uncaptured = True
        return optimizer

    def _new_scaler(self, precision: Precision | None = None) -> torch.GradScaler:
        """float16's smallest number is 6e-8, and many gradients are smaller."""
        return torch.GradScaler(self._device.type, enabled=(precision or self._chosen.precision) == "float16")

    def step(self, images: Any, labels: Any, parts: Parts) -> list[Scored]:
        """Do one step of the optimiser; return each part's mean loss, hits and photos."""
        if self.recorded is not None and len(parts) == 1:
            photos = ((images.pixels, images.warps, images.contrasts) if isinstance(images, DevicePhotos) else
                      (images,))
            with self._own_dropout(0):
                loss, hits = self.recorded((*photos, labels))
            return [(loss, hits, len(images))]
        if self.recorded is not None:
            self.recorded.drop()
        self.optimizer.zero_grad(set_to_none=True)
        scored = [self._add_gradients(images[start:end], labels[start:end], (end - start) / len(images),
                                      self._own_dropout(number)) for number, (start, end) in enumerate(parts)]
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return scored

    def _whole_step(self, tensors: Tensors) -> Outputs:
        """Do one step of the optimiser on tensors of the device; this is what is recorded.

        tensors: (pixels, warps, contrasts, labels) or (images, labels).
        """
        *photos, target = tensors
        assert photos[0] is not None
        images = DevicePhotos(photos[0], *photos[1:]) if len(photos) == 3 else photos[0]
        self.optimizer.zero_grad(set_to_none=True)
        with _counted_at_once(self._module):
            loss, hits, _ = self._add_gradients(images, target, 1.0, nullcontext())
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return loss, hits

    def _add_gradients(self, images: Any, labels: Any, share: float, drawing: AbstractContextManager[Any]) -> Scored:
        """Add the gradient of a part of a batch, which is so much of it; draw dropout's numbers inside `drawing`."""
        target = on_device(labels, self._device)
        photos = self._to_input(images, self._device)
        try:
            with drawing, self._autocast():
                outputs = self._module(photos)
                outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                logits, *auxiliary = (output.float() for output in outputs if output is not None)
        except ValueError as error:
            if len(images) > 1:
                raise
            raise DataError("Batch normalisation cannot be trained on a batch of one photo of this size; use "
                            "another batch size.") from error
        loss = functional.cross_entropy(logits, target)
        for scores in auxiliary:
            loss = loss + self._auxiliary_weight * functional.cross_entropy(scores, target)
        self._scaler.scale(loss * share).backward()
        return loss.detach(), hits_in(logits.detach(), target), len(images)

    def measure(self, images: Any, labels: Any, photos: int) -> None:
        """Decide the precision by three steps in each on so many of these photos; their effect is taken back."""
        candidates, fallback = self._chosen.candidates, self._chosen.precision
        self._chosen.candidates = ()
        before, seconds = _Saved(self._module, self.optimizer), dict[Precision, float]()
        for precision in candidates:
            self._compute_in(precision)
            try:
                seconds[precision] = seconds_of(partial(self.step, images[:photos], labels[:photos],
                                                        [(0, photos)]), self._device, before=WARM_UP + 1, steps=3)
            except RuntimeError as error:
                if not is_out_of_memory(error) and precision == "float32":
                    raise
                _LOG.warning("Training is not measured in %s, which failed: %s", precision, error)
            self.drop_recording()
            before.put_back()
        self._compute_in(fastest(seconds) if seconds else fallback)
        self._chosen.decide(self._chosen.precision)
        self.look_again()
        free_memory()

    def _compute_in(self, precision: Precision) -> None:
        self._chosen.precision, self._scaler = precision, self._new_scaler(precision)
        self.drop_recording()

    def drop_recording(self) -> None:
        """Throw away a recording that holds what is another one now."""
        if self.recorded is not None:
            self.recorded.drop()

    def look_again(self) -> None:
        """Drop the recording where something that it holds is another one now."""
        if self._scaler.is_enabled() != (self._chosen.precision == "float16"):  # decided by a network that shares it
            self._scaler = self._new_scaler()
        tensors = [*self._module.parameters(), *self._module.buffers()]
        now = (self.optimizer, self._scaler, self._chosen.precision,
               [(values.data_ptr(), values.requires_grad) for values in tensors],
               [(module.training, getattr(module, "p", None)) for module in self._module.modules()],
               [[value for name, value in group.items() if name not in ("params", "lr")]
                for group in self.optimizer.param_groups])
        if now != self._recorded_of:
            self.drop_recording()
        self._recorded_of = now

    def _tidy_up(self) -> None:
        """Forget what a step left half done that could not be recorded."""
        self.optimizer.zero_grad(set_to_none=True)
        for name in ("grad_scale", "found_inf"):
            vars(self.optimizer).pop(name, None)
        if self._scaler.is_enabled():
            before, self._scaler = self._scaler.state_dict(), self._new_scaler()
            self._scaler.load_state_dict(before)

    @contextmanager
    def _own_dropout(self, part: int) -> Iterator[None]:
        """Draw numbers inside by seed, step and part of the batch; restore the generator afterwards."""
        with generators_of_their_own(self._device) as seed:
            seed(self.seed, self.steps, part)
            yield

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return steps, precision if it was measured, loss scale, and by parameter the optimiser's variables."""
        scaler = self._scaler.state_dict()
        state = {"steps": np.array(self.steps),
                 **{f"scaler/{name}": np.array(scaler[name]) for name in _SCALE if scaler}}
        if self._chosen.measured:
            state["precision"] = np.array(PRECISIONS.index(self._chosen.precision))
        for number, values in enumerate(self._optimised()):
            for name, moment in self.optimizer.state.get(values, {}).items():
                state[f"optimizer/{number}/{name}"] = moment.cpu().numpy().copy()
        return state

    def resume(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore what `state` returned."""
        self.drop_recording()
        self.steps = int(state["steps"])
        if "precision" in state and (self._chosen.measured or self._chosen.candidates):
            self._compute_in(PRECISIONS[int(state["precision"])])
            self._chosen.decide(self._chosen.precision)
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

    def _autocast(self) -> torch.autocast:
        # A cache of shortened weights would be written while a step is recorded, and read when they have changed.
        precision = self._chosen.precision
        return torch.autocast(self._device.type, getattr(torch, precision), enabled=precision != "float32",
                              cache_enabled=self.recorded is None)


@contextmanager
def _counted_at_once(module: nn.Module) -> Iterator[None]:
    """Let batch normalisations count the batches of inside in one operation afterwards, not in one for each."""
    counting = [(layer, layer.num_batches_tracked) for layer in module.modules()
                if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training
                and layer.num_batches_tracked is not None and layer.momentum is not None]
    for layer, _ in counting:
        layer.num_batches_tracked = None
    try:
        yield
    finally:
        for layer, counter in counting:
            layer.num_batches_tracked = counter
    if counting:
        torch._foreach_add_([counter for _, counter in counting], 1)


class _Saved:
    """What training changes, copied on its device."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._weights, self._optimizer = list(module.state_dict().values()), optimizer
        self._saved = [values.clone() for values in self._weights]
        self._moments = {values: {name: moment.clone() for name, moment in moments.items()}
                         for values, moments in optimizer.state.items()}

    @torch.no_grad()
    def put_back(self) -> None:
        """Restore it."""
        torch._foreach_copy_(self._weights, self._saved)
        self._optimizer.state.clear()
        for values, moments in self._moments.items():
            self._optimizer.state[values] = {name: moment.clone() for name, moment in moments.items()}


def hits_in(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Count the photos whose class is right."""
    return (logits.argmax(1) == target.argmax(1)).sum()
