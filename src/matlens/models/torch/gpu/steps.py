"""A step that a GPU does again and again: recorded once as a CUDA graph, so that it is started by one call.

A network such as GoogLeNet starts some thousand short operations in a training step, and to start them takes longer
than to compute them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

import torch

Tensors = tuple[torch.Tensor | None, ...]
Outputs = tuple[torch.Tensor, ...]
Compute = Callable[[Tensors], Outputs]

WARM_UP = 3
"""Steps of one kind before it is recorded: what is made when first needed (moments, plans of cuDNN) must be there."""

_LOG = logging.getLogger(__name__)


class Recorder(Protocol):
    """Records what a device does, to have it done again."""

    def warming(self) -> AbstractContextManager[None]:
        """Compute inside as it will be recorded, but at once."""

    def record(self, compute: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Record `compute` without doing it; return how to do it, and where its outputs are afterwards.

        Raises whatever stands against recording it.
        """


class CudaRecorder:
    """See `Recorder`; CUDA graphs, with what PyTorch's notes on them demand."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)

    @contextmanager
    def warming(self) -> Iterator[None]:
        """Compute on the stream that is recorded later."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            yield
        here.wait_stream(self._stream)

    def record(self, compute: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Record a CUDA graph. Dropout follows the device's generator, whose seed each replay reads."""
        here = torch.cuda.current_stream(self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            with (torch.cuda.device(self._device),
                  torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")):
                outputs = compute()
        except BaseException:
            torch.cuda.set_stream(here)  # torch.cuda.graph leaves its own behind where it cannot end
            # A recording that broke off leaves its mark on the generator's state, and dropout would fail from then on.
            generator = torch.cuda.default_generators[self._device.index or 0]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        return graph.replay, outputs


class RecordedStep:
    """A function of tensors that is recorded after a few calls with tensors of one shape, and replayed from then on.

    Calls with tensors of other shapes, such as a last smaller batch, are computed as they come. A second one in a row
    of another shape begins anew with that. What the function reads and changes besides must stay where it is in memory.
    """

    def __init__(self, compute: Compute, recorder: Recorder, on_failure: Callable[[], object] = lambda: None) -> None:
        """on_failure: called where recording failed, to tidy up what `compute` left half done."""
        self._compute, self._recorder, self._on_failure = compute, recorder, on_failure
        self._may_record = True
        self._forget()

    def _forget(self) -> None:
        self._kind: tuple[object, ...] | None = None
        self._last: tuple[object, ...] | None = None
        self._warmed = 0
        self._replay: Callable[[], None] | None = None
        self._inputs: Tensors = ()
        self._outputs: Outputs = ()

    @property
    def is_recorded(self) -> bool:
        """Whether there is a recording, which holds memory."""
        return self._replay is not None

    def drop(self) -> None:
        """Throw the recording away: what it reads has moved, or its memory is needed. A new one follows."""
        self._forget()

    def give_up(self, reason: str) -> None:
        """Throw the recording away, and compute each step as it comes from now on."""
        self._forget()
        if self._may_record:
            _LOG.warning("Training steps are started one operation at a time, which is slower and gives the same "
                         "numbers: %s", reason)
        self._may_record = False

    def __call__(self, tensors: Tensors) -> Outputs:
        """Compute. The outputs hold until the next call."""
        kind = tuple(None if values is None else (tuple(values.shape), values.dtype) for values in tensors)
        if self._kind is None or kind == self._last != self._kind:
            self._forget()
            self._kind = kind
        self._last = kind
        if kind != self._kind:
            return self._compute(tensors)
        if self._replay is None and (self._warmed < WARM_UP or not self._may_record or not self._record(tensors)):
            with self._recorder.warming():
                outputs = self._compute(tensors)
            self._warmed += 1
            return outputs
        assert self._replay is not None
        for ours, values in zip(self._inputs, tensors, strict=True):
            if ours is not None and values is not None:
                ours.copy_(values)
        self._replay()
        return self._outputs

    def _record(self, tensors: Tensors) -> bool:
        """Record; return False where it cannot be."""
        inputs = tuple(None if values is None else values.clone() for values in tensors)
        try:
            replay, outputs = self._recorder.record(partial(self._compute, inputs))
        except Exception as error:  # noqa: BLE001 -- whatever stands against recording: it can be computed, and is said
            self.give_up(f"they could not be recorded as a CUDA graph ({type(error).__name__}: "
                         f"{(str(error).splitlines() or [''])[0]})")
            self._on_failure()
            return False
        self._inputs, self._replay, self._outputs = inputs, replay, outputs
        return True


def recorder_for(device: torch.device) -> Recorder | None:
    """Return what records steps on a device; None where nothing can."""
    return CudaRecorder(device) if device.type == "cuda" else None
