"""Keras' Adam and AdamW as one operation of PyTorch, with everything that changes on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import torch

_LATE = 1e9
"""A step so late that PyTorch's correction of the moments (1 - beta ** step) is 1: Keras' is in the rate instead."""

_OTHER_RULES = ("clipnorm", "clipvalue", "global_clipnorm", "use_ema", "gradient_accumulation_steps", "amsgrad")


class AdamUpdate:
    """Applies gradients as a Keras Adam or AdamW does, on its own variables, without waiting for the device.

    The rule is Keras' (Kingma and Ba 2015, the formulation before section 2.1): epsilon is added to the square root
    before the correction, so PyTorch's optimisers, which add it afterwards, differ where gradients are small.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer
        self._late: torch.Tensor | None = None

    @staticmethod
    def refusal(optimizer: Any) -> str:
        """Return why an optimiser must update weights itself; empty where it need not."""
        if optimizer is None or optimizer.__class__.__name__ not in ("Adam", "AdamW") or not isinstance(
                optimizer, keras.optimizers.Adam | keras.optimizers.AdamW):
            return f"the optimiser is a {type(optimizer).__name__}"
        if not isinstance(optimizer._learning_rate, keras.Variable):
            return "the learning rate follows a schedule of Keras"
        if wrong := [name for name in _OTHER_RULES if getattr(optimizer, name, None)]:
            return f"the optimiser has {', '.join(wrong)}"
        return ""

    @torch.no_grad()
    def __call__(self, variables: Sequence[keras.Variable], gradients: Sequence[torch.Tensor | None]) -> None:
        """Do one step; variables without a gradient stay as they are."""
        optimizer: Any = self.optimizer
        pairs = [(variable, gradient) for variable, gradient in zip(variables, gradients, strict=True)
                 if gradient is not None]
        iterations, rate = optimizer.iterations.value, optimizer._learning_rate.value
        step = (iterations + 1).to(torch.float32)
        corrected = rate * (1 - torch.pow(optimizer.beta_2, step)).sqrt() / (1 - torch.pow(optimizer.beta_1, step))
        if optimizer.weight_decay is not None:
            decaying = [variable.value for variable, _ in pairs if optimizer._use_weight_decay(variable)]
            if decaying:
                torch._foreach_mul_(decaying, 1 - optimizer.weight_decay * rate)
        if self._late is None:
            self._late = torch.full((), _LATE, device=rate.device)
        places = [optimizer._get_variable_index(variable) for variable, _ in pairs]
        torch._fused_adam_(
            [variable.value for variable, _ in pairs], [gradient.contiguous() for _, gradient in pairs],
            [optimizer._momentums[place].value for place in places],
            [optimizer._velocities[place].value for place in places], [], [self._late] * len(pairs), lr=corrected,
            beta1=float(optimizer.beta_1), beta2=float(optimizer.beta_2), weight_decay=0.0,
            eps=float(optimizer.epsilon), amsgrad=False, maximize=False)
        iterations.add_(1)
