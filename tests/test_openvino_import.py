"""Importing OpenVINO: quick, silent, and complete for whoever converts."""

from __future__ import annotations

import json
import subprocess
import sys

FIRST = "from matlens.system.openvino import import_openvino; openvino = import_openvino(); import sys, json; "
LOADED = "print(json.dumps([n for n in sys.modules if n.startswith(('openvino.tools', 'openvino_telemetry', 'absl'))" \
         " and sys.modules[n]]))"


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True).stdout


def test_the_converter_is_imported_only_by_who_converts_and_then_as_ever():
    """It is a third of what a prediction of one photo waits for."""
    assert json.loads(printed(FIRST + LOADED)) == []
    for use in ("openvino.convert_model", "__import__('openvino', fromlist=['convert_model']).convert_model",
                "__import__('openvino.tools.ovc', fromlist=['convert_model']).convert_model"):
        assert printed(FIRST + f"print({use}.__module__, 'openvino_telemetry' in sys.modules)").split() == [
            "openvino.tools.ovc.convert", "True"]


def test_a_name_that_openvino_does_not_have_is_an_ordinary_error():
    """Libraries try names, and go on where there is none."""
    assert printed(FIRST + "print(hasattr(openvino, 'no_such_name'), import_openvino() is openvino)") == "False True\n"
