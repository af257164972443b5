"""The trunk in OpenVINO: photos to feature maps, on any processor, without the framework that trained it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError
from matlens.models.openvino import import_openvino

Array = npt.NDArray[np.float32]

_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""OpenVINO would choose bfloat16 by itself where the processor has it, and features then differ in the second digit."""


class TrunkEngine:
    """A compiled trunk for some photos at a time."""

    def __init__(self, model_file: Path) -> None:
        """Read and compile an OpenVINO model (.xml with its .bin). Raises ModelError."""
        openvino = import_openvino()
        try:
            self._compiled: Any = openvino.Core().compile_model(
                str(model_file), "CPU", {**_FLOAT32, "PERFORMANCE_HINT": "LATENCY"})
        except RuntimeError as error:
            raise _unopened(model_file, error) from error

    def features(self, images: Array) -> Array:
        """(B, H, W, 3) float32 in [0, 1] to feature maps (B, h, w, K) float32."""
        return np.array(self._compiled(images)[0], dtype=np.float32)


class PooledEngine:
    """A compiled trunk for many photos: uint8 in, averages over places out, several photos at once."""

    def __init__(self, model_file: Path, img_size: tuple[int, int]) -> None:
        """Read a trunk, put the scaling of bytes into its graph, and compile it. Raises ModelError."""
        openvino = import_openvino()
        from openvino.preprocess import PrePostProcessor

        try:
            core = openvino.Core()
            model = core.read_model(str(model_file))
            model.reshape([1, *img_size, 3])
            steps = PrePostProcessor(model)
            steps.input().tensor().set_element_type(openvino.Type.u8)
            steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
            compiled = core.compile_model(steps.build(), "CPU", {**_FLOAT32, "PERFORMANCE_HINT": "THROUGHPUT"})
        except RuntimeError as error:
            raise _unopened(model_file, error) from error
        self.depth = int(compiled.output(0).shape[-1])
        self._queue: Any = openvino.AsyncInferQueue(compiled)

    def pooled(self, photos: Iterable[npt.NDArray[np.uint8]], n: int,
               on_progress: Callable[[int, int], None] = lambda done, total: None) -> Array:
        """`n` photos (H, W, 3) uint8 to averaged features (n, K) float32, in their order."""
        found = np.empty((n, self.depth), dtype=np.float32)

        def keep(request: Any, index: int) -> None:
            found[index] = request.get_output_tensor(0).data.mean(axis=(0, 1, 2))

        self._queue.set_callback(keep)
        for index, photo in enumerate(photos):
            self._queue.start_async({0: photo[None]}, index)
            on_progress(index, n)
        self._queue.wait_all()
        on_progress(n, n)
        return found


def _unopened(model_file: Path, error: RuntimeError) -> ModelError:
    return ModelError(f"OpenVINO cannot open {model_file}: {str(error).splitlines()[-1]}")
