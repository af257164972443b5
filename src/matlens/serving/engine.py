"""Answer the photos of many requests: threads decode, and one thread computes whatever waits as one batch.

While a batch is computed, what arrives waits and makes up the next one. A batch waits a moment for photos that are
being decoded, too: a small batch takes nearly as long as a large one. So a single photo waits for nothing, and many are
computed at the rate of large batches.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader
from matlens.jobs.answers import AnswerOptions
from matlens.mapping.answer import map_answer
from matlens.mapping.material_map import MapOptions
from matlens.serving.limits import Overloaded, Refused, ServerLimits
from matlens.serving.metrics import Metrics
from matlens.serving.models import ServedModel
from matlens.serving.nearest import with_pictures
from matlens.serving.uploads import Upload
from matlens.types import Pixels

BATCH = 32
"""Photos that are computed at once at most."""

_MOMENT = 0.03
"""Seconds that a batch waits at most for photos that are being decoded."""

_IN_OWN_SIZE = 2
"""Photos that are in memory in their own size: one is mapped, and the next one decoded. One of 50 megapixels is 150 MB,
whose upload may be of 150 kB; and photos to predict wait for two maps at most."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    pixels: Pixels
    question: AnswerOptions
    answer: asyncio.Future[dict[str, Any]]


@dataclass(eq=False)
class AnsweringEngine:
    """Answers photos by models, within limits."""

    models: Sequence[ServedModel]
    limits: ServerLimits
    metrics: Metrics
    waiting: int = 0
    ready: bool = False
    _being_decoded: int = 0
    _queues: dict[str, asyncio.Queue[_Waiting]] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _compiling: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._decoding = ThreadPoolExecutor(os.cpu_count(), "matlens-decode")
        self._computing = ThreadPoolExecutor(1, "matlens-compute")
        self._in_own_size = asyncio.Semaphore(_IN_OWN_SIZE)

    def begin(self) -> None:
        """Begin to take photos, and compile all networks meanwhile, unless that was done. Called in the event loop."""
        if self._tasks:
            return
        for model in self.models:
            self._queues[model.name] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._answer_batches(model)))
        self._compiling = asyncio.create_task(self._compile())
        self._tasks.append(self._compiling)

    async def start(self) -> None:
        """Begin, and wait until all networks are compiled. Raises what `is_ready` does."""
        self.begin()
        assert self._compiling is not None
        await self._compiling

    def is_ready(self) -> bool:
        """Return whether all networks are compiled. Raises ModelError or SettingsError where one cannot be."""
        if self._compiling is not None and self._compiling.done() and not self._compiling.cancelled():
            self._compiling.result()
        return self.ready

    async def _compile(self) -> None:
        loop = asyncio.get_running_loop()
        for model in self.models:
            await loop.run_in_executor(self._computing, model.warm_up)
        self.ready = True

    async def stop(self) -> None:
        """End the threads. Nothing may be waiting any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._decoding.shutdown(wait=False, cancel_futures=True)
        self._computing.shutdown(wait=False, cancel_futures=True)

    async def answer_all(self, uploads: Sequence[Upload], models: Sequence[ServedModel], question: AnswerOptions,
                         ) -> list[dict[str, Any]]:
        """Answer photos by models, in their order: `name` with `answers`, or with `error` where it cannot be read.

        Raises Overloaded where too many photos wait, or the answers take too long.
        """
        async with self._under_way(len(uploads)):
            return await asyncio.gather(*(self._answer(upload, models, question) for upload in uploads))

    async def explain(self, upload: Upload, models: Sequence[ServedModel], class_name: str | None,
                      ) -> list[dict[str, Any]]:
        """Explain a photo by models. Raises Refused where it cannot be read, or a model has no such class."""
        if lacking := [model.name for model in models
                       if class_name is not None and class_name not in model.artifact.class_names]:
            raise Refused(400, f"{lacking[0]} has no class '{class_name}'; /v1/models lists them.")
        return await self.ask_each(upload, models, lambda model, pixels: model.heat(pixels, class_name))

    async def nearest(self, upload: Upload, models: Sequence[ServedModel]) -> list[dict[str, Any]]:
        """Find the training photos that models take for most like a photo. Raises Refused where it cannot be read."""
        found = await self.ask_each(upload, models, ServedModel.nearest)
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(self._decoding, with_pictures, nearest, model.photos)
                for nearest, model in zip(found, models, strict=True)]

    async def map(self, upload: Upload, models: Sequence[ServedModel], options: MapOptions) -> list[dict[str, Any]]:
        """Map the materials in a photo by models. Raises Refused where it cannot be read."""
        return await self.ask_each(upload, models, lambda model, pixels: map_answer(model.name, model.artifact, pixels,
                                                                                    options), self._in_own_size)

    async def ask_each(self, upload: Upload, models: Sequence[ServedModel],
                       ask: Callable[[ServedModel, Pixels], dict[str, Any]],
                       in_own_size: asyncio.Semaphore | None = None) -> list[dict[str, Any]]:
        """Ask models something of one photo, in the thread that computes. Raises Refused where it cannot be read.

        Args:
            ask: is called with a model, and the photo (H, W, 3) uint8 of the model's size, or of its own.
            in_own_size: bounds how many photos are in memory in their own size; None gives `ask` the model's size.
        """
        loop = asyncio.get_running_loop()
        answers = []
        async with self._under_way(1):
            for model in models:
                async with in_own_size or nullcontext():
                    pixels = await self._decoded(upload, None if in_own_size else model.artifact.img_size)
                    if isinstance(pixels, Problem):
                        raise Refused(422, f"{upload.name} cannot be read: {pixels}.")
                    answers.append(await loop.run_in_executor(self._computing, ask, model, pixels))
                    del pixels
        return answers

    @asynccontextmanager
    async def _under_way(self, n: int) -> AsyncIterator[None]:
        """Count n photos as waiting meanwhile. Raises Overloaded where too many do, or their answers take too long."""
        if self.waiting + n > self.limits.queue:
            raise Overloaded(f"{self.waiting:,} photos are waiting, and at most {self.limits.queue:,} may.")
        self.waiting += n
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                yield
        except TimeoutError:
            raise Overloaded(f"There was no answer within {self.limits.answer_seconds:g} s.", 10) from None
        finally:
            self.waiting -= n

    async def _answer(self, upload: Upload, models: Sequence[ServedModel], question: AnswerOptions) -> dict[str, Any]:
        sizes = {model.artifact.img_size for model in models}
        decoded = {size: await self._decoded(upload, size) for size in sorted(sizes)}
        for pixels in decoded.values():
            if isinstance(pixels, Problem):
                self.metrics.count("photos_refused")
                return {"name": upload.name, "error": str(pixels)}
        answers = await asyncio.gather(*(self._queued(model, decoded[model.artifact.img_size], question)
                                         for model in models))
        self.metrics.count("photos_answered")
        return {"name": upload.name, "answers": [{**answer, "model": model.name}
                                                 for model, answer in zip(models, answers, strict=True)]}

    async def _decoded(self, upload: Upload, size: tuple[int, int] | None) -> Pixels | Problem:
        if upload.refused:
            return Problem(upload.refused, "unsupported")
        reader = PhotoReader(size, most_pixels=self.limits.photo_pixels)
        self._being_decoded += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._decoding, partial(reader.attempt_content, upload.content))
        finally:
            self._being_decoded -= 1

    async def _queued(self, model: ServedModel, pixels: Pixels | Problem, question: AnswerOptions) -> dict[str, Any]:
        assert not isinstance(pixels, Problem)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._queues[model.name].put_nowait(_Waiting(pixels, question, answer))
        return await answer

    async def _answer_batches(self, model: ServedModel) -> None:
        """Compute what waits for a model, batch by batch, until cancelled."""
        queue, loop = self._queues[model.name], asyncio.get_running_loop()
        while True:
            batch, until = [await queue.get()], loop.time() + _MOMENT
            while len(batch) < BATCH:
                if not queue.empty():
                    batch.append(queue.get_nowait())
                elif self._being_decoded and loop.time() < until:
                    await asyncio.sleep(_MOMENT / 30)
                else:
                    break
            batch = [each for each in batch if not each.answer.done()]  # who has gone away is not waited for
            if not batch:
                continue
            self.metrics.count("batches")
            try:
                answers = await loop.run_in_executor(
                    self._computing, model.answers, [each.pixels for each in batch], [each.question for each in batch])
            except Exception as error:  # noqa: BLE001 -- each request of the batch answers for it
                for each in batch:
                    if not each.answer.done():
                        each.answer.set_exception(error)
                continue
            for each, answer in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)
