"""Features of frozen trunks: bytes go up beside the computing, numbers are averaged on the device, and come back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from matlens.models.torch.device_photos import DevicePhotos
from matlens.models.torch.devices import is_out_of_memory
from matlens.models.torch.gpu.arithmetic import Inside, fastest_faithful, inside, shorter_kinds
from matlens.models.torch.gpu.feeder import CudaLane
from matlens.models.torch.gpu.steps import Outputs, RecordedStep, Recorder, Tensors
from matlens.types import Array, Pixels


class Sent:
    """Photos (B, H, W, 3) uint8 on their way to a CUDA device, for one use."""

    def __init__(self, pixels: torch.Tensor, mark: Any, lane: CudaLane) -> None:
        self._pixels, self._mark, self._lane = pixels, mark, lane

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, part: slice) -> Sent:
        return Sent(self._pixels[part], self._mark, self._lane)

    def arrived(self) -> torch.Tensor:
        """Return the photos, which what is computed from now on waits for."""
        self._lane.compute_after(self._mark)
        self._pixels.record_stream(torch.cuda.current_stream(self._pixels.device))
        return self._pixels


class Uploads:
    """Copies photos to a device beside what it computes."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._lane = device, CudaLane(device) if device.type == "cuda" else None

    def sent(self, pixels: Pixels) -> Pixels | Sent:
        """Begin to copy photos (B, H, W, 3) uint8, from any thread; return what stands for them."""
        if self._lane is None:
            return pixels
        try:
            host = torch.as_tensor(pixels).pin_memory()
            with self._lane.copying():
                there = host.to(self._device, non_blocking=True)
            return Sent(there, self._lane.copied(), self._lane)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return pixels  # as many of them as fit are sent when they are needed


class Extractor:
    """Computes the features of one trunk.

    maps: computes a trunk's output (B, h, w, K) float32 of photos; its weights stay where they are in memory.
    recorder: records the computing of a batch, and replays it; None: each is computed as it comes.
    on_failure: called where recording failed.
    """

    def __init__(self, maps: Callable[[DevicePhotos], torch.Tensor], device: torch.device, recorder: Recorder | None,
                 on_failure: Callable[[], object] = lambda: None) -> None:
        self._maps, self._device, self._recorder, self._on_failure = maps, device, recorder, on_failure
        self._kind: Inside | None = None
        self._recorded: dict[tuple[Inside, bool], RecordedStep] = {}

    def __call__(self, photos: Pixels | Sent, pooled: bool) -> Array:
        """Return the features of photos: maps (B, h, w, K) float32, or their means over places (B, K).

        A GPU computes in float16 or TF32 where the features of the first photos are float32's but for a share of
        `arithmetic.FEATURES_WITHIN` of the largest.
        """
        if isinstance(photos, Sent):
            there: Tensors = (photos.arrived(),)
        else:
            there = (torch.as_tensor(photos).to(self._device),)
        on_host = pooled and self._device.type == "cpu"
        compute = self._recording(self._decided(there, pooled), pooled and not on_host)
        features: Array = compute(there)[0].cpu().numpy()
        # A CPU's means are NumPy's, whose last digits are others than PyTorch's.
        return features.mean(axis=(1, 2)) if on_host else features.astype(np.float32)

    def _decided(self, there: Tensors, pooled: bool) -> Inside:
        """Return the arithmetic, decided by the first photos that are not of one colour: these show no difference."""
        if self._kind is None:
            pixels = there[0]
            if pixels is None or not pixels.numel() or int(pixels.min()) == int(pixels.max()):
                return "float32"
            self._kind = fastest_faithful(lambda kind: self._compute(kind, pooled, there)[0],
                                          shorter_kinds(self._device))
        return self._kind

    def _recording(self, kind: Inside, pooled: bool) -> Callable[[Tensors], Outputs]:
        compute = partial(self._compute, kind, pooled)
        if self._recorder is None:
            return compute
        return self._recorded.setdefault((kind, pooled), RecordedStep(compute, self._recorder, self._on_failure))

    def _compute(self, kind: Inside, pooled: bool, photos: Tensors) -> Outputs:
        assert photos[0] is not None
        with torch.no_grad(), inside(self._device, kind):
            maps = self._maps(DevicePhotos(photos[0])).float()
            return (maps.mean((1, 2)) if pooled else maps,)
