"""The devices that PyTorch computes on: found, tried, and explained where they fail."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch.nn import functional

from matlens.errors import DeviceError
from matlens.models.preflight import Preflight

_OLDER_BUILD = "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cu126"
"""Installs PyTorch for CUDA 12.6, whose driver is older, and whose kernels are for cards from Maxwell (5.0) on."""

_FULL = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "MPS backend out of memory")
"""Words of errors for want of memory that PyTorch raises without a class of their own."""

_FAILED = torch.AcceleratorError
"""What PyTorch raises for an error of a device's driver."""

_OF_THE_KERNEL = Path("/proc/driver/nvidia/version")


def chosen_device(name: str | None) -> torch.device:
    """Return a device by name; None or "auto" is a GPU if there is one that works, else the CPU.

    Raises:
        DeviceError: there is none of this name, or it cannot compute.
    """
    return torch.device(preflight(name).device)


def preflight(name: str | None) -> Preflight:
    """Try a device with a convolution, forward and backward, and a product of matrices.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps"; None or "auto": the first GPU, or the CPU where it does not work.

    Raises:
        DeviceError: the device that is named does not work.
    """
    if name is None or name == "auto":
        return _automatic()
    device = _parsed(name)
    problem = _problem_of(device)
    if problem is not None:
        raise DeviceError(f"PyTorch cannot compute on '{name}': {problem} Or use --device cpu, or --device auto.")
    return Preflight(str(device))


def gpu_works() -> bool:
    """Return whether PyTorch has a GPU that can compute."""
    return _automatic().device != "cpu"


@lru_cache(maxsize=1)
def _automatic() -> Preflight:
    if not torch.cuda.is_available():
        return Preflight("cpu", _why_a_card_is_not_seen())
    device = _parsed("cuda")
    problem = _problem_of(device)
    if problem is None:
        return Preflight(str(device))
    return Preflight("cpu", f"PyTorch sees {device} but cannot compute on it, so the CPU is used: {problem}")


def _parsed(name: str) -> torch.device:
    """Return a device with its index. Raises DeviceError for a name that PyTorch does not know."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"PyTorch knows no device '{name}'. Use --device auto, cpu, cuda, cuda:1 or mps.") from error
    if name == "cuda":
        return torch.device("cuda", torch.cuda.current_device() if torch.cuda.is_initialized() else 0)
    return device


def _why_a_card_is_not_seen() -> str:
    """Return a warning where this machine has an NVIDIA card that PyTorch does not see; empty where all is well."""
    if not _OF_THE_KERNEL.exists() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ""  # no card, or the user hid it
    return f"This machine has an NVIDIA card that PyTorch does not see, so the CPU is used: {_absence(0)}"


def _problem_of(device: torch.device) -> str | None:
    """Return why a device cannot compute and what to do, in sentences; None where it can."""
    if device.type == "cpu":
        return None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        return _absence(device.index or 0)
    try:
        _try(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return explained(error, device)
    return None


def _absence(index: int) -> str:
    """Return why there is no CUDA card of this index, and what to do."""
    if torch.version.cuda is None:
        return (f"PyTorch {torch.__version__} is built without CUDA. Install one with it: pip install "
                "--force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cu130")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if cards:
        names = ", ".join(f"cuda:{number} ({torch.cuda.get_device_name(number)})" for number in range(cards))
        hidden = f" CUDA_VISIBLE_DEVICES={visible} hides others." if visible is not None else ""
        return f"There is no card of number {index}; there are {names}.{hidden}"
    if visible is not None:
        return (f"CUDA_VISIBLE_DEVICES is '{visible}', which names no card that there is. Unset it: unset "
                "CUDA_VISIBLE_DEVICES.")
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return explained(error, torch.device("cuda", index))
    return "The driver reports no card. Look at what it sees: nvidia-smi"


def _try(device: torch.device) -> None:
    """Compute a little, with the gradients, and compare with the CPU. Raises RuntimeError."""
    generator = torch.Generator().manual_seed(0)
    photos, kernel = torch.randn(2, 3, 8, 8, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    results = []
    for place in (device, torch.device("cpu")):
        inputs = [values.detach().to(place).requires_grad_() for values in (photos, kernel)]
        maps = functional.conv2d(inputs[0], inputs[1], padding=1).flatten(1)
        (maps @ maps.T).sum().backward()
        results.append(torch.cat([values.grad.flatten().cpu() for values in inputs if values.grad is not None]))
    difference = float((results[0] - results[1]).norm() / results[1].norm())
    if not difference < 0.05:  # TF32's share is a thousandth; NaN is no number below
        raise RuntimeError(f"a convolution's gradient differs from the CPU's by {difference:.2g} of its size")


def explained(error: BaseException, device: torch.device) -> str:
    """Return what an error of a device's driver or kernels means and what to do, in sentences."""
    text = str(error)
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    if "no kernel image" in text or "not compatible with the current PyTorch" in text:
        return (f"This PyTorch ({torch.__version__}) has no kernels for {_card(device)}, but for "
                f"{' '.join(torch.cuda.get_arch_list()) or 'no card'}. Install a build that has: {_OLDER_BUILD}")
    if "driver on your system is too old" in text or "driver version is insufficient" in text:
        version = re.search(r"found version (\d+)", text)
        found = f" (it knows CUDA {int(version[1]) // 1000}.{int(version[1]) % 1000 // 10})" if version else ""
        return (f"NVIDIA's driver is too old{found} for this PyTorch, which is built for CUDA {torch.version.cuda}. "
                f"Update the driver, or install a PyTorch for an older one: {_OLDER_BUILD}")
    if "no NVIDIA driver" in text:
        return "There is no NVIDIA driver. Install it from https://www.nvidia.com/drivers"
    if is_out_of_memory(error) or "out of memory" in text:
        return "It has no memory left: another program holds it. See which one: nvidia-smi"
    if "busy or unavailable" in text:
        return "Another program has it for itself. See which one: nvidia-smi"
    if "invalid device ordinal" in text:
        return _absence(device.index or 0)
    return f"{first}. See the card's state: nvidia-smi" if device.type == "cuda" else f"{first}."


def _card(device: torch.device) -> str:
    """Return a card's name and compute capability; they can be asked for where nothing can be computed."""
    try:
        major, minor = torch.cuda.get_device_capability(device)
        return f"this card ({torch.cuda.get_device_name(device)}, compute capability {major}.{minor})"
    except (RuntimeError, AssertionError):
        return "this card"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a GPU, PyTorch's allocator on the CPU (which raises a bare RuntimeError) or NumPy is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL))


@contextmanager
def errors_explained(device: torch.device) -> Iterator[None]:
    """Raise DeviceError where a device fails inside for another reason than memory: it hung, or is gone."""
    try:
        yield
    except _FAILED as error:
        if is_out_of_memory(error):
            raise
        raise DeviceError(f"The device '{device}' failed while it computed: {explained(error, device)} Or go on with "
                          "--device cpu.") from error


def free_memory() -> None:
    """Give back what nothing holds any more."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA was not used
