"""Answer the photos of many requests: threads decode, and one thread computes whatever waits as one batch.

While a batch is computed, what arrives waits and makes up the next one. So a single photo waits for nothing, and many
are computed at the rate of large batches.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from matlens.serving.uploads import Upload
from matlens.types import Pixels

BATCH = 32
"""Photos that are computed at once at most."""


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
    _queues: dict[str, asyncio.Queue[_Waiting]] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._decoding = ThreadPoolExecutor(os.cpu_count(), "matlens-decode")
        self._computing = ThreadPoolExecutor(1, "matlens-compute")

    async def start(self) -> None:
        """Begin to answer, and compile all networks, unless that was done."""
        if self._tasks:
            return
        for model in self.models:
            self._queues[model.name] = asyncio.Queue()
            self._tasks.append(asyncio.create_task(self._answer_batches(model)))
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
        if self.waiting + len(uploads) > self.limits.queue:
            self.metrics.count("overloaded")
            raise Overloaded(f"{self.waiting:,} photos are waiting, and at most {self.limits.queue:,} may.")
        self.waiting += len(uploads)
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await asyncio.gather(*(self._answer(upload, models, question) for upload in uploads))
        except TimeoutError:
            self.metrics.count("overloaded")
            raise Overloaded(f"There was no answer within {self.limits.answer_seconds:g} s.", 10) from None
        finally:
            self.waiting -= len(uploads)

    async def explain(self, upload: Upload, models: Sequence[ServedModel], class_name: str | None,
                      ) -> list[dict[str, Any]]:
        """Explain a photo by models. Raises Refused where it cannot be read, or a model has no such class."""
        if lacking := [model.name for model in models
                       if class_name is not None and class_name not in model.artifact.class_names]:
            raise Refused(400, f"{lacking[0]} has no class '{class_name}'; /v1/models lists them.")
        return await self._of_one(upload, models, lambda model: model.artifact.img_size,
                                  lambda model, pixels: model.heat(pixels, class_name))

    async def map(self, upload: Upload, models: Sequence[ServedModel], options: MapOptions) -> list[dict[str, Any]]:
        """Map the materials in a photo by models. Raises Refused where it cannot be read."""
        return await self._of_one(upload, models, lambda model: None,
                                  lambda model, pixels: map_answer(model.name, model.artifact, pixels, options))

    async def _of_one(self, upload: Upload, models: Sequence[ServedModel],
                      size_of: Callable[[ServedModel], tuple[int, int] | None],
                      compute: Callable[[ServedModel, Pixels], dict[str, Any]]) -> list[dict[str, Any]]:
        """Compute something of a photo by models, in the thread that computes. Raises Refused or Overloaded."""
        if self.waiting + 1 > self.limits.queue:
            raise Overloaded(f"{self.waiting:,} photos are waiting.")
        self.waiting += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                computed = []
                for model in models:
                    pixels = await self._decoded(upload, size_of(model))
                    if isinstance(pixels, Problem):
                        raise Refused(422, f"{upload.name} cannot be read: {pixels}.")
                    computed.append(await loop.run_in_executor(self._computing, compute, model, pixels))
                return computed
        except TimeoutError:
            raise Overloaded(f"There was no answer within {self.limits.answer_seconds:g} s.", 10) from None
        finally:
            self.waiting -= 1

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
        return await asyncio.get_running_loop().run_in_executor(
            self._decoding, partial(reader.attempt_content, upload.content))

    async def _queued(self, model: ServedModel, pixels: Pixels | Problem, question: AnswerOptions) -> dict[str, Any]:
        assert not isinstance(pixels, Problem)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._queues[model.name].put_nowait(_Waiting(pixels, question, answer))
        return await answer

    async def _answer_batches(self, model: ServedModel) -> None:
        """Compute what waits for a model, batch by batch, until cancelled."""
        queue, loop = self._queues[model.name], asyncio.get_running_loop()
        while True:
            batch = [await queue.get()]
            while len(batch) < BATCH and not queue.empty():
                batch.append(queue.get_nowait())
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
