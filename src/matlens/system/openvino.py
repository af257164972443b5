"""Import OpenVINO without its telemetry."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def without_telemetry() -> None:
    """Prevent OpenVINO, whoever imports it later in this process, from sending anything.

    OpenVINO's converter reports its use to a server by forking this process. Without a network the forks, each with the
    framework's memory, stay for minutes. If `openvino_telemetry` cannot be imported, OpenVINO uses a stub instead.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes its import fail


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry."""
    without_telemetry()
    return importlib.import_module("openvino")
