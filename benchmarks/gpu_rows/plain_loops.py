"""The peers: what a user would write with the framework alone.

Each function returns a job: a call runs it once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_rows.work import CLASSES

Job = Callable[[], object]


def torch_googlenet(batch: int, side: int, device: str, *, half: bool) -> Job:
    """One training step of torchvision's GoogLeNet from host bytes, as PyTorch's tutorials write it, with Adam.

    half: bfloat16 autocast, channels-last, a fused Adam; otherwise float32 with TF32 in convolutions and products.
    """
    import torch
    from torch.nn import functional
    from torchvision.models import googlenet

    torch.set_float32_matmul_precision("high")
    layout = torch.channels_last if half else torch.contiguous_format
    model = googlenet(num_classes=len(CLASSES), aux_logits=True, init_weights=True, transform_input=False)
    model = model.to(device, memory_format=layout).train()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=half)
    bytes_on_host, target = _torch_batch(batch, side, device)

    def step() -> None:
        photos = bytes_on_host.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        photos = photos.contiguous(memory_format=layout)
        adam.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            main, aux2, aux1 = model(photos)
            loss = functional.cross_entropy(main, target) + 0.3 * (
                functional.cross_entropy(aux1, target) + functional.cross_entropy(aux2, target))
        loss.backward()
        adam.step()

    return step


def torch_features(batch: int, side: int, device: str) -> Job:
    """One batch through torchvision's GoogLeNet up to its pooled features, bfloat16 and channels-last, to the host."""
    import torch
    from torchvision.models import googlenet

    model = googlenet(num_classes=len(CLASSES), aux_logits=False, init_weights=True, transform_input=False)
    model.fc, model.dropout = torch.nn.Identity(), torch.nn.Identity()
    model = model.to(device, memory_format=torch.channels_last).eval()
    bytes_on_host, _ = _torch_batch(batch, side, device)

    def forward() -> Any:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
            photos = bytes_on_host.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            return model(photos).float().cpu()

    return forward


def keras_vgg19(batch: int, side: int, steps: int) -> Job:
    """One epoch of Keras' own `fit` of the same VGG19 over arrays in memory, with keras.optimizers.Adam."""
    import keras

    from matlens.models.keras.networks.vgg19 import vgg19

    image = keras.Input((side, side, 3))
    model = keras.Model(image, vgg19(image, len(CLASSES)))
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    images = rng.random((batch * steps, side, side, 3), dtype=np.float32)
    labels = np.eye(len(CLASSES), dtype=np.float32)[rng.integers(0, len(CLASSES), batch * steps)]
    return lambda: model.fit(images, labels, batch_size=batch, verbose=0)


def keras_features(batch: int, side: int, batches: int) -> Job:
    """Keras' own `predict` of a MobileNetV2 that averages over places, over float arrays in memory."""
    import keras

    model = keras.applications.MobileNetV2(include_top=False, weights=None, pooling="avg", input_shape=(side, side, 3))
    images = np.random.default_rng(0).random((batch * batches, side, side, 3), dtype=np.float32)
    return lambda: model.predict(images, batch_size=batch, verbose=0)


def _torch_batch(batch: int, side: int, device: str) -> tuple[Any, Any]:
    """Return random photos (B, H, W, 3) uint8 on the host, pinned for a GPU, and class numbers on the device."""
    import torch

    photos = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8)
    labels = torch.randint(0, len(CLASSES), (batch,)).to(device)
    return (photos.pin_memory() if device == "cuda" else photos), labels
