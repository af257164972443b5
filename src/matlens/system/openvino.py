"""Import OpenVINO without its telemetry."""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

_CONVERTER = "openvino.tools.ovc"
_IMPORTING = threading.Lock()


def without_telemetry() -> None:
    """Prevent OpenVINO, whoever imports it later in this process, from sending anything.

    OpenVINO's converter reports its use to a server by forking this process. Without a network the forks, each with the
    framework's memory, stay for minutes. If `openvino_telemetry` cannot be imported, OpenVINO uses a stub instead.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes its import fail


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, and its converter only once somebody asks for that.

    The converter is a third of the import, and of all that matlens does conversion alone needs it.
    """
    with _IMPORTING:
        without_telemetry()
        is_first = "openvino" not in sys.modules
        if is_first:
            sys.modules.setdefault(_CONVERTER, None)  # type: ignore[arg-type]  # makes its import fail, which is foreseen
        try:
            module = importlib.import_module("openvino")
        finally:
            if is_first:
                sys.modules.pop(_CONVERTER, None)
        if is_first and not hasattr(module, "convert_model"):
            module.__getattr__ = _of_converter  # type: ignore[method-assign]
        return module


def _of_converter(name: str) -> Any:
    """Return what OpenVINO's own import would have put into its name space."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute '{name}'")
    return importlib.import_module(_CONVERTER).convert_model
