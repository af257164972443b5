"""From photos in [0, 1] to what a network was trained on, as operations on tensors (B, 3, H, W)."""

from __future__ import annotations

from functools import lru_cache, singledispatch
from typing import Any

import numpy as np
import torch

from matlens.models.preprocess import CaffeMeans, Preprocess, Scale, Standardise
from matlens.models.torch.device_photos import DevicePhotos
from matlens.models.torch.gpu.feeder import photos_on
from matlens.types import BytePhotos


@singledispatch
def preprocessed(preprocess: Preprocess | None, photos: torch.Tensor) -> torch.Tensor:
    """Compute `preprocess` of photos (B, 3, H, W) in [0, 1]; None leaves them as they are."""
    if preprocess is None:
        return photos
    raise TypeError(f"nothing computes {preprocess!r}")


@preprocessed.register
def _(preprocess: Scale, photos: torch.Tensor) -> torch.Tensor:
    return photos * float(preprocess.high - preprocess.low) + float(preprocess.low)


@preprocessed.register
def _(preprocess: Standardise, photos: torch.Tensor) -> torch.Tensor:
    mean, deviation = (_channels(values, photos.device) for values in (preprocess.mean, preprocess.deviation))
    return (photos - mean) / deviation


@preprocessed.register
def _(preprocess: CaffeMeans, photos: torch.Tensor) -> torch.Tensor:
    return photos.flip(1) * 255 - _channels(preprocess.means, photos.device)


@lru_cache(maxsize=32)
def _channels(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return numbers (C, 1, 1) on a device, copied there once: a step that is recorded can copy nothing."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)[:, None, None]


def on_device(values: Any, device: torch.device) -> torch.Tensor:
    """Return an array or tensor as float32 on a device; a GPU is given it while it works on the batch before."""
    if isinstance(values, torch.Tensor):
        return values.to(device, torch.float32)
    tensor = torch.as_tensor(np.asarray(values, dtype=np.float32))
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # from other memory the copy would wait
    return tensor.to(device, non_blocking=True)


def to_input(preprocess: Preprocess | None, images: Any, device: torch.device) -> torch.Tensor:
    """Map photos to the network's input (B, 3, H, W), channels last in memory.

    images: (B, H, W, 3) in [0, 1], or BytePhotos, or DevicePhotos of this device.
    """
    if isinstance(images, BytePhotos):
        images = photos_on(images, device)
    if isinstance(images, DevicePhotos):
        return preprocessed(preprocess, images.floats())
    photos = on_device(images, device).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return preprocessed(preprocess, photos)


def to_activations(values: Any, device: torch.device) -> torch.Tensor:
    """Map activations (B, h, w, K) to (B, K, h, w), channels last in memory."""
    return on_device(values, device).permute(0, 3, 1, 2)
