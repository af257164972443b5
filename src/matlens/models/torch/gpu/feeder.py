"""Batches on their way to a GPU: through pinned memory, on a stream of their own, while the batch before is computed.

Nothing here asks for a batch before the one before was used: whoever gives the batches may do something after each step
(the recipe `strong` does). A GPU is given its work long before it does it, so the copy overlaps with that all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch

from matlens.models.torch.device_photos import DevicePhotos
from matlens.types import BytePhotos

_SLOTS = 3
"""Batches that may be on their way or in use at once."""


class Lane(Protocol):
    """The order in which a device copies and computes."""

    def host_memory(self, like: torch.Tensor) -> torch.Tensor:
        """Return memory of the host that the device can copy from by itself."""

    def copying(self) -> AbstractContextManager[Any]:
        """Do what is asked for inside beside the computing."""

    def copied(self) -> Any:
        """Return a mark after all copies asked for."""

    def used(self) -> Any:
        """Return a mark after all computing asked for."""

    def copy_after(self, mark: Any) -> None:
        """Begin later copies after a mark."""

    def compute_after(self, mark: Any) -> None:
        """Begin later computing after a mark."""


class CudaLane:
    """See `Lane`; two streams of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def host_memory(self, like: torch.Tensor) -> torch.Tensor:
        """See `Lane`."""
        return torch.empty_like(like, pin_memory=True)

    def copying(self) -> AbstractContextManager[Any]:
        """See `Lane`."""
        return torch.cuda.stream(self._stream)

    def copied(self) -> torch.cuda.Event:
        """See `Lane`."""
        return self._stream.record_event()

    def used(self) -> torch.cuda.Event:
        """See `Lane`."""
        return torch.cuda.current_stream(self._device).record_event()

    def copy_after(self, mark: torch.cuda.Event) -> None:
        """See `Lane`."""
        self._stream.wait_event(mark)

    def compute_after(self, mark: torch.cuda.Event) -> None:
        """See `Lane`."""
        torch.cuda.current_stream(self._device).wait_event(mark)


class _Done:
    def synchronize(self) -> None:
        """There is nothing to wait for."""


class OrderlyLane:
    """See `Lane`; of a device that does one thing after the other."""

    def host_memory(self, like: torch.Tensor) -> torch.Tensor:
        """See `Lane`."""
        return torch.empty_like(like)

    def copying(self) -> AbstractContextManager[Any]:
        """See `Lane`."""
        return nullcontext()

    def copied(self) -> _Done:
        """See `Lane`."""
        return _Done()

    def used(self) -> _Done:
        """See `Lane`."""
        return _Done()

    def copy_after(self, mark: Any) -> None:
        """See `Lane`."""

    def compute_after(self, mark: Any) -> None:
        """See `Lane`."""


class _Slot:
    """Memory of one batch, on the host and on the device. It is used again for every so many-th batch."""

    def __init__(self) -> None:
        self._host: list[torch.Tensor | None] = []
        self._device: list[torch.Tensor | None] = []
        self.copied: Any = None
        self.used: Any = None

    def take(self, arrays: list[torch.Tensor | None], device: torch.device, lane: Lane) -> list[torch.Tensor | None]:
        """Copy arrays to the device; return them there."""
        if self.copied is not None:
            self.copied.synchronize()  # of three batches ago: the host may write to this memory again
        if self.used is not None:
            lane.copy_after(self.used)
        if not self._holds(arrays):
            self._host = [None if values is None else lane.host_memory(values) for values in arrays]
            self._device = [None if values is None else torch.empty_like(values, device=device) for values in arrays]
            lane.copy_after(lane.used())  # what had this memory before is computed on the other stream
        given: list[torch.Tensor | None] = []
        with lane.copying():
            for values, host, there in zip(arrays, self._host, self._device, strict=True):
                if values is None or host is None or there is None:
                    given.append(None)
                    continue
                host[:len(values)].copy_(values)
                given.append(there[:len(values)].copy_(host[:len(values)], non_blocking=True))
        self.copied = lane.copied()
        lane.compute_after(self.copied)
        return given

    def _holds(self, arrays: list[torch.Tensor | None]) -> bool:
        return len(arrays) == len(self._host) and all(
            (values is None) == (host is None) and (values is None or host is None or (
                values.dtype == host.dtype and values.shape[1:] == host.shape[1:] and len(values) <= len(host)))
            for values, host in zip(arrays, self._host, strict=True))


class Feeder:
    """Copies batches to a device. Memory is kept between epochs."""

    def __init__(self, device: torch.device, lane: Lane | None = None) -> None:
        """lane: by default that of a CUDA device where it is one."""
        self._device = device
        self._lane: Lane = lane or (CudaLane(device) if device.type == "cuda" else OrderlyLane())
        self._slots = [_Slot() for _ in range(_SLOTS)]
        self._turn = 0

    def fed(self, batches: Iterable[tuple[Any, Any]]) -> Iterator[tuple[torch.Tensor | DevicePhotos, torch.Tensor]]:
        """Yield each batch on the device: (photos as they were given, labels (B, C) float32).

        A batch may be changed by later ones when the next is asked for.
        """
        for images, labels in batches:
            slot = self._slots[self._turn % _SLOTS]
            self._turn += 1
            photos = _tensors(images)
            *there, target = slot.take([*photos, _floats(labels)], self._device, self._lane)
            assert target is not None and there[0] is not None
            try:
                yield (DevicePhotos(there[0], *there[1:]) if len(there) == 3 else there[0]), target
            finally:
                slot.used = self._lane.used()

    def free(self) -> None:
        """Give the memory back."""
        self._slots = [_Slot() for _ in range(_SLOTS)]


def photos_on(images: BytePhotos, device: torch.device) -> DevicePhotos:
    """Copy photos to a device at once."""
    pixels, *others = _tensors(images)
    assert pixels is not None
    return DevicePhotos(pixels.to(device), *(None if values is None else values.to(device) for values in others))


def _tensors(images: Any) -> list[torch.Tensor | None]:
    if isinstance(images, BytePhotos):
        return [torch.as_tensor(images.pixels), *(None if values is None else _floats(values)
                                                  for values in (images.warps, images.contrasts))]
    return [_floats(images)]


def _floats(values: Any) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().float()
    return torch.as_tensor(np.asarray(values, dtype=np.float32))
