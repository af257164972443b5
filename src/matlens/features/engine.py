"""The trunk in OpenVINO: photos to feature maps, on any processor, without the framework that trained it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError
from matlens.models.openvino import import_openvino

Array = npt.NDArray[np.float32]


class TrunkEngine:
    """A compiled trunk.

    Computes in float32: OpenVINO would choose bfloat16 by itself where the processor has it, and features
    then differ in the second digit.
    """

    def __init__(self, model_file: Path) -> None:
        """Read and compile an OpenVINO model (.xml with its .bin). Raises ModelError."""
        openvino = import_openvino()
        try:
            self._compiled: Any = openvino.Core().compile_model(
                str(model_file), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot open {model_file}: {str(error).splitlines()[-1]}") from error

    def features(self, images: Array) -> Array:
        """(B, H, W, 3) float32 in [0, 1] to feature maps (B, h, w, K) float32."""
        return np.array(self._compiled(images)[0], dtype=np.float32)
