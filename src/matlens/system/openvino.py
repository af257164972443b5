"""OpenVINO without its telemetry."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def without_telemetry() -> None:
    """From now on OpenVINO, whoever imports it, sends nothing.

    Its converter reports its use to a server by forking this process; without a network the forks, each with the
    framework's memory, stay for minutes. Where `openvino_telemetry` cannot be imported, a stub takes its place.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes its import fail


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry."""
    without_telemetry()
    return importlib.import_module("openvino")
