"""Which arithmetic a GPU computes in: exact float32, TF32 or a shorter type; chosen, measured, and checked."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")

FEATURES_WITHIN = 1e-3
"""How far features may be from float32's, as a share of the largest."""

Inside = Literal["float16", "tf32", "float32"]


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Compute float32 on a CUDA device inside with or without TF32, whose products have 10 bits of fraction.

    Without it, numbers are float32's in the sense in which a CPU's are. Elsewhere it changes nothing.

    PyTorch has two generations of these switches, and refuses to read the older where they disagree. So the newer are
    read, which always works, and the older set, which set both.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    operations = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
    before = [operation.fp32_precision for operation in operations]
    _set(tf32, tf32)
    try:
        yield
    finally:
        _set(before[0] == "tf32", before[2] == "tf32")
        for operation, precision in zip(operations, before, strict=True):
            if operation.fp32_precision != precision:
                operation.fp32_precision = precision


def _set(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


@contextmanager
def inside(device: torch.device, kind: Inside) -> Iterator[None]:
    """Compute float32 networks inside in float16, in TF32, or exactly."""
    with arithmetic(device, tf32=kind == "tf32"), torch.autocast(device.type, torch.float16, enabled=kind == "float16"):
        yield


def fastest_faithful(compute: Callable[[Inside], torch.Tensor], kinds: tuple[Inside, ...]) -> Inside:
    """Return the first of these arithmetics whose result is within FEATURES_WITHIN of float32's, else "float32"."""
    if not kinds:
        return "float32"
    exact = compute("float32").float()
    largest = exact.abs().max()
    for kind in kinds:
        difference = (compute(kind).float() - exact).abs().max()
        if bool(torch.isfinite(difference)) and float(difference) <= FEATURES_WITHIN * float(largest):
            return kind
    return "float32"


def shorter_kinds(device: torch.device) -> tuple[Inside, ...]:
    """Return the arithmetics besides float32 that a device has in hardware, the fastest first."""
    if device.type != "cuda":
        return ()
    capability = torch.cuda.get_device_capability(device)
    return (*(("float16",) if capability >= (7, 0) else ()), *(("tf32",) if capability >= (8, 0) else ()))


def seconds_of(step: Callable[[], object], device: torch.device, *, before: int, steps: int) -> float:
    """Measure how long `steps` calls take on a device, after `before` others."""
    for _ in range(before):
        step()
    _finish(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    _finish(device)
    return time.perf_counter() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
