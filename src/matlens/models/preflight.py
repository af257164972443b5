"""Before training: compute something real on the device, and say what is wrong with it and what to do.

A card that a framework was not built for is listed as available and fails at its first kernel, so that only a
computation tells. `preflight` is all of it but the framework's own calls, which each room hands in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from matlens.errors import DeviceError
from matlens.system.resources import listed_nvidia_gpus

DeviceTrouble = Literal["no kernels", "old driver", "no memory", "in use", "absent", "lost"]

_WORDS: tuple[tuple[DeviceTrouble, str], ...] = (
    ("no kernels", r"no kernel image is available|CUDA_ERROR_NO_BINARY_FOR_GPU|NoKernelImageForDevice|"
                   r"is not compatible with the current PyTorch installation"),
    ("old driver", r"driver version is insufficient|NVIDIA driver on your system is too old|INSUFFICIENT_DRIVER|"
                   r"unsupported toolchain|UNSUPPORTED_PTX_VERSION|unsupported display driver|COMPAT_NOT_SUPPORTED"),
    ("no memory", r"(?:CUDA|HIP|GPU|MPS backend).{0,20}out of memory|CUDA_ERROR_OUT_OF_MEMORY|RESOURCE_EXHAUSTED|"
                  r"OOM when allocating(?!.*device:CPU)|(?:CUBLAS|CUDNN|CUSOLVER)_STATUS_ALLOC_FAILED|"
                  r"cudaErrorMemoryAllocation"),
    ("in use", r"busy or unavailable|DevicesUnavailable|CUDA_ERROR_DEVICE_UNAVAILABLE"),
    ("absent", r"invalid device ordinal|CUDA_ERROR_INVALID_DEVICE|no CUDA-capable device|CUDA_ERROR_NO_DEVICE|"
               r"not compiled with CUDA enabled|Found no NVIDIA driver|PyTorch is not linked with support for \w+ dev"),
    ("lost", r"unspecified launch failure|CUDA_ERROR_LAUNCH_FAILED|illegal memory access|CUDA_ERROR_ILLEGAL_ADDRESS|"
             r"fallen off the bus|GPU is lost|uncorrectable ECC|CUDA_ERROR_ECC_UNCORRECTABLE|CUDA_ERROR_UNKNOWN|"
             r"CUDA error: unknown error|CUDA_ERROR_DEINITIALIZED|device-side assert|CUDA_ERROR_ASSERT"))
"""The words in which CUDA, and PyTorch, TensorFlow and JAX above it, report what is wrong with a device.

TensorFlow has the same words for the machine's memory, and names the device then."""

_LAST_OF_CUDA_12_6 = (7, 0)
"""The newest compute capability for which PyTorch's current default wheels have no kernels, and those of CUDA 12.6 do
(release notes of PyTorch 2.8: Maxwell, Pascal and Volta)."""


@dataclass(frozen=True)
class Preflight:
    """The device on which a real computation has succeeded.

    device: what to hand to `BuildOrder.device`: "cpu", "cuda:0", "cuda:1" or "mps".
    warning: why it is not the GPU that the machine has, and what to do about it; empty where all is as it should be.
    """

    device: str
    warning: str = ""


@dataclass(frozen=True)
class Gpu:
    """What a framework says of a GPU.

    name: such as "Tesla P100-PCIE-16GB". capability: CUDA's compute capability.
    built_for: the architectures that the framework's build has kernels for, such as "sm_70".
    """

    name: str = ""
    capability: tuple[int, int] | None = None
    built_for: Sequence[str] = ()

    def __str__(self) -> str:
        about = [self.name] if self.name else []
        if self.capability:
            about.append(f"compute capability {self.capability[0]}.{self.capability[1]}")
        return f" ({', '.join(about)})" if about else ""


def preflight(asked: str | None, gpus: Sequence[str], compute: Callable[[str], object], framework: str,
              card_of: Callable[[str], Gpu] = lambda device: Gpu()) -> Preflight:
    """Choose the device to train on, and see that it computes; nothing is computed on a CPU.

    Args:
        asked: None, "cpu", "cuda" (the first), "cuda:1" or "mps". None takes the first GPU that computes, else the CPU.
        gpus: the devices that the framework sees besides the CPU, in its order: "cuda:0", "cuda:1", "mps".
        compute: computes a small convolution, its gradient and a matrix product on a device, waits for the result, and
            raises what goes wrong.
        framework: its name, for messages.
        card_of: describes a device, for messages.

    Raises:
        DeviceError: the device that is asked for does not exist, or does not compute.
    """
    if asked == "cpu":
        return Preflight("cpu")
    if asked is None:
        warnings: list[str] = []
        for device in gpus:
            why = _why_it_fails(device, compute, framework, card_of)
            if why is None:
                return Preflight(device, f"{' '.join(warnings)} {device} is used instead." if warnings else "")
            warnings.append(why)
        unseen = "" if warnings else _unseen(framework)
        warnings += [unseen] if unseen else []
        return Preflight("cpu", f"{' '.join(warnings)} The CPU is used instead." if warnings else "")
    wanted = next((gpu for gpu in gpus if asked in (gpu, gpu.partition(":")[0])), None)
    if wanted is None:
        raise DeviceError(f"--device {asked}: {_absent(asked, gpus, framework)}")
    why = _why_it_fails(wanted, compute, framework, card_of)
    if why is not None:
        raise DeviceError(f"--device {asked}: {why}")
    return Preflight(wanted)


def trouble_in(text: str) -> DeviceTrouble | None:
    """Return what an error's message, or a log, says is wrong with a device; None where it is of something else."""
    return next((kind for kind, words in _WORDS if re.search(words, text, re.IGNORECASE)), None)


def trouble_of(error: BaseException | None) -> DeviceTrouble | None:
    """Return what an error, or one that it follows from, says is wrong with a device; None where it is of another."""
    while error is not None:
        if (kind := trouble_in(f"{type(error).__name__}: {error}")) is not None:
            return kind
        error = error.__cause__ or error.__context__
    return None


def explained(kind: DeviceTrouble | None, device: str, framework: str, card: Gpu | None = None, said: str = "") -> str:
    """Say what is wrong with a device, why, and the ways out. said: what the framework's error said."""
    card = card or Gpu()
    said = f" ({' '.join(said.split())[:200]})" if said else ""
    others = "--device cpu trains without it."
    if kind == "no kernels":
        built = f"; it has them for {', '.join(card.built_for)}" if card.built_for else ""
        return (f"{framework} was built without kernels for {device}{card}{built}. {_other_build(framework, card)}"
                f"{others}")
    if kind == "old driver":
        return (f"The NVIDIA driver is too old for this build of {framework}{said}. Install a newer driver (nvidia-smi "
                f"shows the one that is there), or a build of {framework} for an older CUDA. {others}")
    if kind == "no memory":
        return (f"{device}{card} has too little free memory. Another program, such as a notebook or the other "
                "framework, may hold it: nvidia-smi lists them. End it, name another card (--device cuda:1), or train "
                f"with a smaller --batch-size or --img-size. {others}")
    if kind == "in use":
        return (f"{device}{card} is held by another program that shares it with none{said}: nvidia-smi lists it. End "
                f"it, or name another card (--device cuda:1). {others}")
    if kind == "absent":
        return f"{framework} has no {device} here{said}. {others}"
    if kind == "lost":
        return (f"{device}{card} stopped working{said}. See whether nvidia-smi still lists it; if not, restart the "
                f"machine. The same command then goes on from the last state. {others}")
    return f"{framework} cannot compute on {device}{card}{said}. {others}"


def _why_it_fails(device: str, compute: Callable[[str], object], framework: str, card_of: Callable[[str], Gpu],
                  ) -> str | None:
    try:
        compute(device)
    except Exception as error:  # noqa: BLE001 -- whatever a driver raises, it is the answer
        return explained(trouble_of(error), device, framework, _described(device, card_of),
                         f"{type(error).__name__}: {error}")
    return None


def _described(device: str, card_of: Callable[[str], Gpu]) -> Gpu:
    try:
        return card_of(device)
    except Exception:  # noqa: BLE001 -- of a card that fails, even its name may not be told; the message lacks it then
        return Gpu()


def _other_build(framework: str, card: Gpu) -> str:
    if framework != "PyTorch" or card.capability is None:
        return f"Install a build of {framework} that has them. "
    index = " --index-url https://download.pytorch.org/whl/cu126" * (card.capability <= _LAST_OF_CUDA_12_6)
    return f"Install one that has them: pip install --upgrade --force-reinstall torch torchvision{index}. "


def _absent(asked: str, gpus: Sequence[str], framework: str) -> str:
    """Say why there is no such device, and the ways out."""
    if gpus:
        return f"{framework} sees {', '.join(gpus)} and no {asked} here. Use --device {gpus[0]}, auto or cpu."
    if asked == "mps":
        return f"{framework} sees no Apple GPU here. Use --device auto or cpu."
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        return (f"CUDA_VISIBLE_DEVICES='{visible}' hides all NVIDIA GPUs. Remove it (unset CUDA_VISIBLE_DEVICES), or "
                "use --device auto or cpu.")
    unseen = _unseen(framework)
    return f"{unseen} Or use --device auto or cpu." if unseen else (
        f"{framework} sees no GPU here. Use --device auto or cpu.")


def _unseen(framework: str) -> str:
    """Say why the framework sees none of the NVIDIA GPUs; "" where there are none, or they are hidden on purpose."""
    visible, listed = os.environ.get("CUDA_VISIBLE_DEVICES"), listed_nvidia_gpus()
    if not listed or visible in ("", "-1"):
        return ""
    if visible is not None and (wrong := list(_unlisted(visible, listed))):
        return (f"CUDA_VISIBLE_DEVICES={visible} names {wrong[0]}, and nvidia-smi lists "
                f"{'0' if len(listed) == 1 else f'0 to {len(listed) - 1}'}. Remove it (unset CUDA_VISIBLE_DEVICES), or "
                "name cards that are there.")
    install = "pip install 'jax[cuda13]'" if framework == "JAX" else "pip install 'tensorflow[and-cuda]'" if (
        framework == "TensorFlow") else "pip install --upgrade --force-reinstall torch torchvision"
    return (f"nvidia-smi lists {len(listed)} GPU{'s' * (len(listed) > 1)}, and {framework} sees none: its build is one "
            f"without CUDA, or the driver is too old for it. Install another build ({install}), or a newer driver.")


def _unlisted(visible: str, listed: Sequence[str]) -> Iterator[str]:
    """Yield the cards that CUDA_VISIBLE_DEVICES names and that are not there."""
    for name in (part.strip() for part in visible.split(",")):
        known = int(name) < len(listed) if name.isdecimal() else any(name in line for line in listed)
        if not known and not name.startswith("MIG-"):
            yield name
