"""A recorder without a GPU: what it "replays" is computed anew over the recording's own inputs and outputs."""

from __future__ import annotations

from contextlib import contextmanager


class FakeRecorder:
    """Behaves as a CUDA graph does to its caller: recording computes nothing, outputs stay where they are.

    refuses: an error that recording raises.
    """

    def __init__(self, refuses: Exception | None = None) -> None:
        self.refuses = refuses
        self.warmed = self.recorded = self.replayed = 0

    @contextmanager
    def warming(self):
        self.warmed += 1
        yield

    def record(self, compute):
        import torch

        self.recorded += 1
        if self.refuses is not None:
            raise self.refuses
        outputs = (torch.zeros(()), torch.zeros((), dtype=torch.int64))

        def replay():
            self.replayed += 1
            for place, values in zip(outputs, compute(), strict=True):
                place.copy_(values)

        return replay, outputs
