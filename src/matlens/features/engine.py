"""The trunk in OpenVINO: photos to feature maps, on any processor, without the framework that trained it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError
from matlens.models.protocol import Divisible
from matlens.system.openvino import import_openvino
from matlens.types import Array

_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""OpenVINO would choose bfloat16 by itself where the processor has it, and features then differ in the second digit."""


_VAST = 1 << 28
"""Numbers in one tensor: a gigabyte. The largest here is of VGG19, 3 million of a photo of 224 pixels."""

_BATCH = 64
"""Photos that a framework gets at once."""


class TrunkEngine:
    """A compiled trunk for some photos at a time."""

    def __init__(self, model_file: Path) -> None:
        """Read and compile an OpenVINO model (.xml with its .bin). Raises ModelError."""
        try:
            self._compiled = _compiled(str(model_file), model_file.with_suffix(".bin").stat().st_mtime_ns)
        except (OSError, RuntimeError) as error:
            raise _unopened(model_file, error) from error

    def features(self, images: Array) -> Array:
        """(B, H, W, 3) float32 in [0, 1] to feature maps (B, h, w, K) float32."""
        return np.array(self._compiled(images)[0], dtype=np.float32)


class Engine(Protocol):
    """Makes features of many photos. shape: of one photo's, (K,) where places are averaged, else (h, w, K)."""

    shape: tuple[int, ...]

    def run(self, photos: Iterable[npt.NDArray[np.uint8]], n: int, keep: Callable[[int, Array], None],
            on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Hand each of `n` photos (H, W, 3) uint8 to `keep` as (index, features float32), in any order.

        The features are gone after `keep` returns. What it raises is raised here.
        """


class PhotoEngine:
    """A compiled trunk, or the front of one, for many photos: bytes in, several photos at once. An `Engine`."""

    def __init__(self, model_file: Path, img_size: tuple[int, int], *, pooled: bool) -> None:
        """Put the scaling of bytes, and the averaging over places, into a trunk's graph. Raises ModelError."""
        openvino = import_openvino()
        from openvino import opset13
        from openvino.preprocess import PrePostProcessor

        try:
            core = openvino.Core()
            model = core.read_model(str(model_file))
            model.reshape([1, *img_size, 3])
            if pooled:
                maps = model.get_results()[0].input_value(0)
                means = opset13.reduce_mean(maps, opset13.constant(np.array([1, 2])), keep_dims=False)
                model = openvino.Model([opset13.result(means)], model.get_parameters(), "pooled")
            steps = PrePostProcessor(model)
            steps.input().tensor().set_element_type(openvino.Type.u8)
            steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
            compiled = core.compile_model(steps.build(), "CPU", {**_FLOAT32, "PERFORMANCE_HINT": "THROUGHPUT"})
        except RuntimeError as error:
            raise _unopened(model_file, error) from error
        self.shape: tuple[int, ...] = tuple(compiled.output(0).shape[1:])
        self._queue: Any = openvino.AsyncInferQueue(compiled)

    def run(self, photos: Iterable[npt.NDArray[np.uint8]], n: int, keep: Callable[[int, Array], None],
            on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """See `Engine`."""
        failures: list[BaseException] = []

        def take(request: Any, index: int) -> None:
            try:
                keep(index, request.get_output_tensor(0).data[0])
            except BaseException as error:  # noqa: BLE001 -- OpenVINO would end the process; raised below
                failures.append(error)

        self._queue.set_callback(take)
        for index, photo in enumerate(photos):
            if failures:
                break
            self._queue.start_async({0: photo[None]}, index)
            on_progress(index, n)
        self._queue.wait_all()
        if failures:
            raise failures[0]
        on_progress(n, n)


class FrameworkEngine:
    """The same by a model's own framework, on its GPU: float32 in batches."""

    def __init__(self, classifier: Divisible, img_size: tuple[int, int], *, pooled: bool, until: str | None = None,
                 ) -> None:
        self._features = partial(classifier.features, until=until)
        self._pooled = pooled
        blank = self._of(np.zeros((1, *img_size, 3), dtype=np.uint8))
        self.shape: tuple[int, ...] = blank.shape[1:]

    def run(self, photos: Iterable[npt.NDArray[np.uint8]], n: int, keep: Callable[[int, Array], None],
            on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """See `Engine`."""
        done = 0
        remaining = iter(photos)
        while batch := list(islice(remaining, _BATCH)):
            for values in self._of(np.stack(batch)):
                keep(done, values)
                done += 1
            on_progress(done, n)

    def _of(self, photos: npt.NDArray[np.uint8]) -> Array:
        maps = self._features(photos.astype(np.float32) / np.float32(255))
        return np.asarray(maps.mean(axis=(1, 2)) if self._pooled else maps, dtype=np.float32)


def features_of(engine: Engine, photos: Iterable[npt.NDArray[np.uint8]], n: int,
                on_progress: Callable[[int, int], None] = lambda done, total: None) -> Array:
    """`n` photos (H, W, 3) uint8 to (n, *shape) float32, in their order."""
    found = np.empty((n, *engine.shape), dtype=np.float32)
    engine.run(photos, n, found.__setitem__, on_progress)
    return found


@lru_cache(maxsize=2)
def _compiled(model_file: str, changed: int) -> Any:
    """A trunk is compiled once for judging and explaining, and anew when its file has changed."""
    core = import_openvino().Core()
    model = core.read_model(model_file)
    for operation in model.get_ops():
        for output in operation.outputs():
            shape = output.get_partial_shape()
            known = [] if shape.rank.is_dynamic else [max(1, size.get_min_length()) for size in shape]
            if math.prod(known) > _VAST:  # before compiling, which may compute what is constant
                raise RuntimeError(f"{operation.get_friendly_name()} would make {math.prod(known)} numbers of a photo")
    return core.compile_model(model, "CPU", {**_FLOAT32, "PERFORMANCE_HINT": "LATENCY"})


def _unopened(model_file: Path, error: Exception) -> ModelError:
    return ModelError(f"OpenVINO cannot open {model_file}: {str(error).splitlines()[-1]}")
