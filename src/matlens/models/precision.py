"""The arithmetic in which a network is trained: float32, or mixed with a shorter type where the processor has one.

Only training steps are computed in mixed precision (Micikevicius et al. 2018): weights, optimiser, loss, validation,
model file and artifact are float32 in any case.
"""

from __future__ import annotations

from typing import Literal

from matlens.errors import DeviceError

Precision = Literal["float32", "bfloat16", "float16"]
Wish = Literal["auto", "float32", "bfloat16", "float16"]

_BFLOAT16_SINCE = (8, 0)
_FLOAT16_SINCE = (7, 0)
"""CUDA compute capabilities whose tensor cores have the type (NVIDIA, CUDA C++ Programming Guide)."""


def choose_precision(wish: Wish, capability: tuple[int, int] | None) -> Precision:
    """Choose the arithmetic to train in.

    Args:
        wish: what the user asks for; "auto" is the shorter type that the GPU has in hardware, and float32 on a CPU.
        capability: the CUDA GPU's compute capability; None on a CPU.

    Raises:
        DeviceError: the processor lacks the type that the user asks for.
    """
    if capability is None:
        if wish == "float16":
            raise DeviceError("float16 cannot be trained on a CPU, which has no arithmetic for it. Use --precision "
                              "float32 (or auto, or bfloat16), or a machine with a GPU.")
        return "bfloat16" if wish == "bfloat16" else "float32"
    if wish == "bfloat16" and capability < _BFLOAT16_SINCE:
        raise DeviceError(f"This GPU (compute capability {capability[0]}.{capability[1]}) has no bfloat16, which "
                          "begins with 8.0. Use --precision auto, float16 or float32.")
    if wish == "auto":
        return ("bfloat16" if capability >= _BFLOAT16_SINCE else
                "float16" if capability >= _FLOAT16_SINCE else "float32")
    return wish
