"""The devices that PyTorch computes on: found, tried, and freed where they are full. This needs no torchvision."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from matlens.errors import DeviceError, OutOfMemoryError
from matlens.models import preflight as flights
from matlens.models.preflight import Gpu, Preflight

_FULL = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "MPS backend out of memory")
"""Words of errors for want of memory that PyTorch raises without a class of their own."""


@lru_cache(maxsize=8)
def preflight(name: str | None) -> Preflight:
    """Try a device, once in a process. See `models.preflight.preflight`.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps"; None or "auto": the first GPU that computes, else the CPU. An Apple GPU
            is used where it is named.

    Raises:
        DeviceError: the device that is named does not exist, or does not compute.
    """
    asked = None if name == "auto" else name
    seen = gpus()
    if asked is None:
        seen = [gpu for gpu in seen if gpu != "mps"]
    return flights.preflight(asked, seen, compute_on, "PyTorch", card)


def chosen_device(name: str | None) -> torch.device:
    """Return a device by name, as `preflight` chooses it. Raises DeviceError."""
    return torch.device(preflight(name).device)


def gpu_works() -> bool:
    """Return whether PyTorch has a GPU that it takes by itself and that can compute."""
    return preflight(None).device != "cpu"


def gpus() -> list[str]:
    """Return the names of the devices that PyTorch sees besides the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a driver that is too old; the preflight says that
        cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [*(f"cuda:{number}" for number in range(cards)), *(["mps"] if torch.backends.mps.is_available() else [])]


def card(device: str) -> Gpu:
    """Describe a CUDA card; this can be asked where nothing can be computed."""
    if not device.startswith("cuda"):
        return Gpu()
    return Gpu(torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device),
               tuple(torch.cuda.get_arch_list()))


def compute_on(device: str) -> None:
    """Compute a small convolution, a product of matrices and their gradients, and compare them with the CPU's.

    Raises RuntimeError where the device fails, or computes something else.
    """
    generator = torch.Generator().manual_seed(0)
    photos, kernel = torch.randn(2, 3, 8, 8, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    results = []
    for place in (device, "cpu"):
        inputs = [values.detach().to(place).requires_grad_() for values in (photos, kernel)]
        maps = functional.conv2d(inputs[0], inputs[1], padding=1).flatten(1)
        (maps @ maps.T).sum().backward()
        results.append(torch.cat([values.grad.flatten().cpu() for values in inputs if values.grad is not None]))
    difference = float((results[0] - results[1]).norm() / results[1].norm())
    if not difference < 0.05:  # TF32 makes a thousandth of it; a NaN is not below anything
        raise RuntimeError(f"a convolution's gradient differs from the CPU's by {difference:.2g} of its size")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a GPU, PyTorch's allocator on the CPU (which raises a bare RuntimeError) or NumPy is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL))


@contextmanager
def enough_memory(for_what: str) -> Iterator[None]:
    """Raise OutOfMemoryError, which names what there is too little memory for, where a step inside finds too little."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"There is too little memory for {for_what}. End other programs that hold memory, or "
                               "take a smaller network or smaller photos (--img-size).") from error


@contextmanager
def generators_of_their_own(device: torch.device) -> Iterator[Callable[..., None]]:
    """Give what seeds the generators of the CPU and of a device by whole numbers; afterwards they are as before."""
    def seed(*numbers: int) -> None:
        drawn = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
        torch.default_generator.manual_seed(drawn)  # torch.manual_seed looks for devices that are not used, too
        if device.type == "cuda":
            torch.cuda.default_generators[device.index or 0].manual_seed(drawn)

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield seed


@contextmanager
def chance_refused(device: torch.device) -> Iterator[None]:
    """Raise DeviceError where an operation inside cannot be deterministic, which was asked for."""
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise DeviceError(f"This network cannot be trained with --deterministic on {device}: PyTorch has no "
                          f"deterministic form of {str(error).split()[0]} there. Leave --deterministic out, or use "
                          "--device cpu.") from error


def free_memory() -> None:
    """Give back what nothing holds any more."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA was not used
