"""Features of frozen trunks of Keras on PyTorch: bytes go up, numbers are averaged on the device, and come back."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import torch

from matlens.models.keras.backends.torch_steps import Constants, floats, normalised_at_once
from matlens.models.torch.gpu.arithmetic import Inside, fastest_faithful, inside, shorter_kinds
from matlens.models.torch.gpu.steps import Outputs, RecordedStep, Recorder, Tensors
from matlens.types import Array, Pixels


class Extractor:
    """Computes the features of a trunk: photos (B, H, W, 3) in [0, 1] to maps (B, h, w, K).

    recorder: records the computing of a batch, and replays it; None: each is computed as it comes.
    """

    def __init__(self, trunk: keras.Model, device: torch.device, recorder: Recorder | None) -> None:
        self._trunk, self._device, self._recorder = trunk, device, recorder
        self._constants = Constants(device)
        self._weights = self._addresses()
        self._kind: Inside | None = None
        self._recorded: dict[tuple[Inside, bool], RecordedStep] = {}

    def is_of(self, trunk: keras.Model, device: str) -> bool:
        """Return whether it is of this trunk, as it lies in a device's memory now."""
        return trunk is self._trunk and torch.device(device) == self._device and self._weights == self._addresses()

    def _addresses(self) -> list[int]:
        return [variable.value.data_ptr() for variable in self._trunk.variables]

    def __call__(self, pixels: Pixels, pooled: bool) -> Array:
        """Return the features of photos (B, H, W, 3) uint8: maps (B, h, w, K) float32, or their means (B, K)."""
        there = torch.as_tensor(pixels)
        if self._device.type == "cuda":
            there = there.pin_memory()
        photos: Tensors = (there.to(self._device, non_blocking=True), None, None)
        kind = self._kind
        if kind is None:
            kind = "float32"
            if len(pixels) and int(pixels.min()) != int(pixels.max()):  # one colour shows no difference
                kind = self._kind = fastest_faithful(lambda kind: self._compute(kind, pooled, photos)[0],
                                                     shorter_kinds(self._device))
        compute = partial(self._compute, kind, pooled)
        if self._recorder is not None:
            compute = self._recorded.setdefault(  # type: ignore[assignment]
                (kind, pooled), RecordedStep(compute, self._recorder, self._constants.clear))
        features: Array = compute(photos)[0].cpu().numpy().astype(np.float32)
        return features

    def _compute(self, kind: Inside, pooled: bool, photos: Tensors) -> Outputs:
        with torch.no_grad(), inside(self._device, kind), self._constants, normalised_at_once():
            maps = self._trunk(floats(photos), training=False).float()
            return (maps.mean((1, 2)) if pooled else maps,)
