"""Whether this processor multiplies in bfloat16, so that features are computed sooner in it."""

from __future__ import annotations

import re
from pathlib import Path

from matlens.errors import DeviceError
from matlens.system.openvino import import_openvino

INFERENCE_HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""OpenVINO's names, for its property INFERENCE_PRECISION_HINT."""

_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16"})
"""Dot products of bfloat16, as Linux names them. OpenVINO imitates the type on any processor with AVX-512, slowly."""

_CPUINFO = Path("/proc/cpuinfo")


def refuse_without_bfloat16(cpuinfo: Path = _CPUINFO) -> None:
    """Raise DeviceError where this processor has no instructions for bfloat16.

    Where the system does not list a processor's instructions, what OpenVINO says of it is believed.
    """
    reason = ""
    flags = instructions_in(cpuinfo)
    if flags is not None and not flags & _INSTRUCTIONS:
        reason = f"this processor has none of its instructions ({', '.join(sorted(_INSTRUCTIONS))})"
    elif "BF16" not in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        reason = "OpenVINO does not have it on this processor"
    if reason:
        raise DeviceError(f"Features cannot be computed in bfloat16 here: {reason}, so it would take longer than "
                          "float32. Leave --feature-precision out, or give --feature-precision float32.")


def instructions_in(cpuinfo: Path) -> frozenset[str] | None:
    """Return the instructions of the first processor in a file like Linux' /proc/cpuinfo; None where it lists none."""
    try:
        listed = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    except OSError:  # another system than Linux
        return None
    return None if listed is None else frozenset(listed[1].split())
