"""Prepare what is worked on next in a thread, in memory that is used again."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")
Source = TypeVar("Source")

_AHEAD = 2
"""How many batches are prepared in advance."""


class _Lent:
    """An owner of memory that NumPy keeps alive as long as any array, or view of an array, lies on that memory."""

    def __init__(self, memory: npt.NDArray[Any]) -> None:
        self.__array_interface__ = memory.__array_interface__


class Recycled:
    """Arrays of one dtype whose memory is used again when nobody holds them: to ask the system for new pages takes
    longer than to fill them with photos."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._free: list[npt.NDArray[Any]] = []

    def take(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return an array of this shape and any content."""
        size = math.prod(shape)
        memory = self._free.pop() if self._free else np.empty(size, dtype=self._dtype)
        if memory.size < size:
            memory = np.empty(size, dtype=self._dtype)
        lent = _Lent(memory)
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return np.asarray(lent)[:size].reshape(shape)


def prepared_ahead(batches: Iterable[Item]) -> Generator[Item, None, None]:
    """Draw from `batches` in a thread, a few ahead. An error there is raised here, and stopping early is safe."""
    ready: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: tuple[Item] | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for batch in batches:
                put((batch,))
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 -- handed over to the reader, which raises it
            put(error)

    threading.Thread(target=work, daemon=True, name="matlens-batches").start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stop.set()


def made_in_threads(make: Callable[[Source], Item], sources: Iterable[Source]) -> Iterator[Item]:
    """Give what `make` makes of each source, in their order; threads are as many sources ahead as there are cores.

    An error of `make` is raised where its result is asked for.
    """
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[Future[Item]] = deque()
        for source in sources:
            under_way.append(pool.submit(make, source))
            if len(under_way) > threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
