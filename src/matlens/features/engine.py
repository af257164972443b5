"""The trunk in OpenVINO: photos to feature maps, on any processor, without the framework that trained it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from matlens.data.ahead import Recycled, prepared_ahead
from matlens.errors import DeviceError, ModelError
from matlens.features.precision.instructions import INFERENCE_HINTS
from matlens.models.micro_batches import Parts
from matlens.models.protocol import Divisible
from matlens.settings.themes.feature_precision import FeatureArithmetic
from matlens.system.openvino import import_openvino
from matlens.types import Array, Pixels, Progress, unheard

_HINT = "INFERENCE_PRECISION_HINT"
_FLOAT32 = {_HINT: INFERENCE_HINTS["float32"]}
"""OpenVINO chooses bfloat16 by itself where the processor has it, and features then differ in the second digit."""

_VAST = 1 << 28
"""Numbers in one tensor: a gigabyte. VGG19's largest tensor holds 3 million numbers of a photo of 224 pixels."""

_AGAIN = "Make the artifact again with: matlens export RUN"

_BATCH, _BATCH_ON_A_GPU = 64, 256
"""Photos that a framework computes at once."""


class TrunkEngine:
    """A compiled trunk that computes a few photos at a time."""

    def __init__(self, model_file: Path) -> None:
        """Read and compile an OpenVINO model (.xml with its .bin). Raises ModelError."""
        self._model_file = model_file
        try:
            self._compiled = _compiled(str(model_file), model_file.with_suffix(".bin").stat().st_mtime_ns)
        except (OSError, RuntimeError) as error:
            raise _unopened(model_file, error) from error

    def features(self, images: Array) -> Array:
        """Compute the feature maps (B, h, w, K) float32 of photos (B, H, W, 3) float32 in [0, 1].

        Raises ModelError where the network takes no photos of this size, or gives no feature maps.
        """
        try:
            maps = np.array(self._compiled(images)[0], dtype=np.float32)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise ModelError(f"{self._model_file} cannot compute photos of {images.shape[1]} x {images.shape[2]} "
                             f"pixels ({reason}). {_AGAIN}") from error
        if maps.ndim != 4 or len(maps) != len(images):
            raise ModelError(f"{self._model_file} gives no feature maps of photos, but arrays of {maps.shape}. "
                             f"{_AGAIN}")
        return maps


def channels_of(model_file: Path) -> int:
    """Return K of the feature maps (B, h, w, K) of an OpenVINO model (.xml with its .bin). Raises ModelError."""
    try:
        model = import_openvino().Core().read_model(str(model_file))
        return int(model.output(0).get_partial_shape()[3].get_length())
    except (RuntimeError, IndexError) as error:
        raise _unopened(model_file, error) from error


class Engine(Protocol):
    """Computes features of many photos.

    shape: of one photo's features, (K,) where places are averaged, else (h, w, K).
    """

    shape: tuple[int, ...]

    def run(self, photos: Iterable[Pixels], n: int, keep: Callable[[int, Array], None],
            on_progress: Progress = unheard) -> None:
        """Compute the features of `n` photos (H, W, 3) uint8 and call `keep` with (index, features float32) of each.

        The order is any. The memory of the features is used again after `keep` returns. What `keep` raises is raised
        here.
        """


class PhotoEngine:
    """An `Engine` of OpenVINO: a compiled trunk, or its front, takes bytes and computes several photos at once."""

    def __init__(self, model_file: Path, img_size: tuple[int, int], *, pooled: bool,
                 precision: FeatureArithmetic = "float32") -> None:
        """Read a trunk, and put scaling of bytes and averaging over places into its graph.

        Raises ModelError where it cannot be opened, and DeviceError where OpenVINO does not compute in `precision`.
        """
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
            compiled = core.compile_model(steps.build(), "CPU", {_HINT: INFERENCE_HINTS[precision],
                                                                 "PERFORMANCE_HINT": "THROUGHPUT"})
        except RuntimeError as error:
            raise _unopened(model_file, error) from error
        if compiled.get_property(_HINT).to_string() != INFERENCE_HINTS[precision]:  # it falls back without a word
            raise DeviceError(f"OpenVINO does not compute in {precision} on this processor. Leave --feature-precision "
                              "out.")
        self.shape: tuple[int, ...] = tuple(compiled.output(0).shape[1:])
        self._queue: Any = openvino.AsyncInferQueue(compiled)

    def run(self, photos: Iterable[Pixels], n: int, keep: Callable[[int, Array], None],
            on_progress: Progress = unheard) -> None:
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
    """An `Engine` of a model's own framework, on its device. It takes bytes, and averages over places there."""

    def __init__(self, classifier: Divisible, img_size: tuple[int, int], *, pooled: bool, until: str | None = None,
                 ) -> None:
        self._classifier, self._until, self._pooled = classifier, until, pooled
        self._at_once = _BATCH if str(classifier.device) == "cpu" else _BATCH_ON_A_GPU
        maps = classifier.features(np.zeros((1, *img_size, 3), dtype=np.float32), until)
        self.shape: tuple[int, ...] = maps.shape[3:] if pooled else maps.shape[1:]

    def run(self, photos: Iterable[Pixels], n: int, keep: Callable[[int, Array], None],
            on_progress: Progress = unheard) -> None:
        """See `Engine`. Meanwhile threads stack the next batch, and keep the features of the one before."""
        def keep_part(first: int, features: Array) -> None:
            for index, values in enumerate(features, first):
                keep(index, values)

        done, threads = 0, os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool, closing(prepared_ahead(self._sent(photos))) as batches:
            keeping: Iterator[None] = iter(())
            for batch in batches:
                features = self._of(batch)
                list(keeping)  # what `keep` raised is raised here
                on_progress(done, n)
                starts = range(0, len(features), math.ceil(len(features) / threads))
                keeping = pool.map(keep_part, [done + start for start in starts],
                                   [features[start:start + starts.step] for start in starts])
                done += len(features)
            list(keeping)
        on_progress(done, n)

    def _sent(self, photos: Iterable[Pixels]) -> Iterator[Any]:
        """Yield batches that are on their way to the device."""
        return map(self._classifier.sent, _stacked(photos, self._at_once))

    def _of(self, photos: Any) -> Array:
        """Compute the features of a batch, in parts where it does not fit into memory."""
        def compute(parts: Parts) -> list[Array]:
            return [self._classifier.features_of(photos[start:end], self._until, self._pooled)
                    for start, end in parts]

        parts = self._classifier.micro_batches.run(len(photos), compute)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _stacked(photos: Iterable[Pixels], at_once: int) -> Iterator[Pixels]:
    """Yield batches (B, H, W, 3), whose memory is used again when nobody holds them."""
    memory, remaining = Recycled(np.uint8), iter(photos)
    while batch := list(islice(remaining, at_once)):
        yield np.stack(batch, out=memory.take((len(batch), *batch[0].shape)))


def features_of(engine: Engine, photos: Iterable[Pixels], n: int, on_progress: Progress = unheard) -> Array:
    """Compute the features (n, *shape) float32 of `n` photos (H, W, 3) uint8, in their order."""
    features = np.empty((n, *engine.shape), dtype=np.float32)
    engine.run(photos, n, features.__setitem__, on_progress)
    return features


@lru_cache(maxsize=2)
def _compiled(model_file: str, changed: int) -> Any:
    """Compile a trunk: once for evaluation and explanation, and again when its file has changed."""
    core = import_openvino().Core()
    model = core.read_model(model_file)
    for operation in model.get_ops():
        for output in operation.outputs():
            shape = output.get_partial_shape()
            sizes = [] if shape.rank.is_dynamic else [max(1, size.get_min_length()) for size in shape]
            if math.prod(sizes) > _VAST:  # before compiling, which may compute constants
                raise RuntimeError(f"{operation.get_friendly_name()} would make {math.prod(sizes)} numbers of a photo")
    return core.compile_model(model, "CPU", {**_FLOAT32, "PERFORMANCE_HINT": "LATENCY"})


def _unopened(model_file: Path, error: Exception) -> ModelError:
    return ModelError(f"OpenVINO cannot open {model_file}: {str(error).splitlines()[-1]}")
