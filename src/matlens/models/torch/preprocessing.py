"""From photos in [0, 1] to what a network was trained on, as operations on tensors (B, 3, H, W)."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
import torch

from matlens.models.preprocess import CaffeMeans, Preprocess, Scale, Standardise


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
    mean, deviation = (torch.tensor(values, device=photos.device)[:, None, None]
                       for values in (preprocess.mean, preprocess.deviation))
    return (photos - mean) / deviation


@preprocessed.register
def _(preprocess: CaffeMeans, photos: torch.Tensor) -> torch.Tensor:
    return photos.flip(1) * 255 - torch.tensor(preprocess.means, device=photos.device)[:, None, None]


def on_device(values: Any, device: torch.device) -> torch.Tensor:
    """Return an array or tensor as float32 on a device; a GPU is given it while it works on the batch before."""
    tensor = torch.as_tensor(np.asarray(values, dtype=np.float32))
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # from other memory the copy would wait
    return tensor.to(device, non_blocking=True)


def to_input(preprocess: Preprocess | None, images: Any, device: torch.device) -> torch.Tensor:
    """Map photos (B, H, W, 3) in [0, 1] to the network's input (B, 3, H, W), channels last in memory."""
    photos = on_device(images, device).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return preprocessed(preprocess, photos)


def to_activations(values: Any, device: torch.device) -> torch.Tensor:
    """Map activations (B, h, w, K) to (B, K, h, w), channels last in memory."""
    return on_device(values, device).permute(0, 3, 1, 2)
