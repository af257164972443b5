"""A training step of the networks that are trained whole, against a plain loop of their frameworks, in the same call.

    python benchmarks/bench_steps.py [vgg19_scratch|inception_v1 ...]

224 px, random photos and weights, float32. The peers are Keras' `fit` of the same VGG19 with keras.optimizers.Adam, and
a loop over torchvision's GoogLeNet as PyTorch's tutorials write it (NCHW, torch.optim.Adam, the same loss). Ours and
theirs alternate; photos/s as medians of the steps after the first. Each framework gets a process of its own. Other work
on the machine spoils it: PyTorch's threads wait for each other after every layer.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from matlens.models.protocol import BuildOrder, room_of

SIDE, CLASSES, BATCH, STEPS = 224, 23, 16, 5


def plain_keras(images: Any, labels: Any) -> Callable[[], object]:
    """One step of Keras' own `fit`."""
    import keras

    model = room_of("vgg19_scratch").build(BuildOrder("vgg19_scratch", CLASSES)).model  # type: ignore[attr-defined]
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    return lambda: model.fit(images, labels, batch_size=BATCH, verbose=0)


def plain_torch(images: Any, labels: Any) -> Callable[[], object]:
    """One step of a loop over torchvision's network."""
    import torch
    from torch.nn import functional
    from torchvision.models import googlenet

    model = googlenet(num_classes=CLASSES, aux_logits=True, init_weights=True).train()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    target, photos = torch.as_tensor(labels), torch.as_tensor(images.transpose(0, 3, 1, 2).copy()) * 2 - 1

    def step() -> float:
        adam.zero_grad()
        main, aux2, aux1 = model(photos)
        loss = functional.cross_entropy(main, target) + 0.3 * (
            functional.cross_entropy(aux1, target) + functional.cross_entropy(aux2, target))
        loss.backward()
        adam.step()
        return loss.item()

    return step


PEERS = {"vgg19_scratch": ("Keras fit", plain_keras), "inception_v1": ("plain PyTorch", plain_torch)}


def measure(name: str) -> None:
    """Both ways in turn, and print."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, SIDE, SIDE, 3), dtype=np.float32)
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, BATCH)]
    classifier = room_of(name).build(BuildOrder(name, CLASSES))
    title, peer = PEERS[name]
    ways = {f"{name}, matlens": lambda: classifier.train_epoch([(images, labels)], lambda step, read: None),
            f"{name}, {title}": peer(images, labels)}
    found: dict[str, list[float]] = {what: [] for what in ways}
    for number in range(STEPS + 1):
        for what, step in ways.items():
            started = time.perf_counter()
            step()
            if number:
                found[what].append(BATCH / (time.perf_counter() - started))
    for what, rates in found.items():
        print(f"{what:<34} {statistics.median(rates):6.2f} photos/s  (n = {STEPS} steps of {BATCH} photos, "
              f"{min(rates):.2f} to {max(rates):.2f})")
    ours, theirs = (statistics.median(rates) for rates in found.values())
    print(f"ratio {ours / theirs:.2f}", flush=True)


def main() -> None:
    """Each model in a process of its own."""
    if sys.argv[1:2] == ["--here"]:
        measure(sys.argv[2])
        return
    for name in sys.argv[1:] or PEERS:
        subprocess.run([sys.executable, __file__, "--here", name], check=True)


if __name__ == "__main__":
    main()
