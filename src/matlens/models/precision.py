"""The arithmetic in which a network is trained: float32, or mixed with a shorter type where the processor has one.

Only training steps are computed in mixed precision (Micikevicius et al. 2018): weights, optimiser, loss, validation,
model file and artifact are float32 in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from matlens.errors import DeviceError

Precision = Literal["float32", "bfloat16", "float16"]
Wish = Literal["auto", "float32", "bfloat16", "float16"]

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")
"""All of them; a state of a training records one by its place here."""

WORTH_IT = 0.95
"""A shorter type is taken where it needs less than this share of float32's time."""

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


@dataclass
class ChosenPrecision:
    """The arithmetic of a network's training steps; what follows a cut shares it.

    candidates: those among which a measurement decides before the first step; empty where it is decided.
    measured: whether a measurement decided, so that a resumed training must take it from the state.
    """

    precision: Precision
    candidates: tuple[Precision, ...] = ()
    measured: bool = False

    def decide(self, precision: Precision) -> None:
        """Take what was measured, here or before an interruption."""
        self.precision, self.candidates, self.measured = precision, (), True


def precisions_to_measure(wish: Wish, capability: tuple[int, int] | None, *, deterministic: bool,
                          ) -> tuple[Precision, ...]:
    """Return the types among which a measurement shall decide: float32 and the shorter type that a GPU has in hardware.

    A GPU that has bfloat16 computes float16 no faster, and float16 needs loss scaling: it is not tried there.
    Empty where nothing is to be measured: on a CPU, where the user named one, where two trainings must be the same.

    Args:
        capability: the CUDA GPU's compute capability; None on a CPU.
    """
    if wish != "auto" or capability is None or deterministic:
        return ()
    shorter = choose_precision("auto", capability)
    return ("float32", shorter) if shorter != "float32" else ()


def fastest(seconds: Mapping[Precision, float]) -> Precision:
    """Return the precision that needs the least time; float32 unless another one needs less than WORTH_IT of its."""
    best = min(seconds, key=lambda precision: seconds[precision])
    if "float32" in seconds and seconds[best] > WORTH_IT * seconds["float32"]:
        return "float32"
    return best
