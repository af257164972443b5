"""The process behind `models.remote.client.RemoteClassifier`: it builds one classifier and answers its messages."""

from __future__ import annotations

import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from matlens.models.protocol import BuildOrder, on_working_device, room_of
from matlens.models.remote.client import receive, send
from matlens.models.seeding import seed_everything
from matlens.system.transport import decode
from matlens.types import Batch, Pace, Scores

Answer = tuple[dict[str, Any], list[npt.NDArray[Any]]]


class _Served:
    """Answers messages about one classifier. Each public method answers the message of its name."""

    def __init__(self, asked: IO[bytes], answers: IO[bytes]) -> None:
        self._asked, self._answers = asked, answers
        self._classifier: Any = None
        self._snapshot: tuple[int, Any] = (0, None)
        self._pace = Pace()

    def build(self, order: dict[str, Any], seed: int, model_file: str | None) -> Answer:
        wanted = decode(order, BuildOrder)
        room = room_of(wanted.model)
        wanted, _ = on_working_device(room, wanted)
        seed_everything(seed, room=room)
        self._classifier = room.load(Path(model_file), wanted) if model_file else room.build(wanted)
        return {"device": str(self._classifier.device), "num_classes": self._classifier.num_classes,
                "input_size": self._classifier.input_size}, []

    def get(self, name: str) -> Answer:
        return {"value": getattr(self._classifier, name)}, []

    def set_learning_rate(self, value: float) -> Answer:
        self._classifier.learning_rate = value
        return {}, []

    def train_epoch(self) -> Answer:
        return _as_answer(self._classifier.train_epoch(self._batches(), self._on_step))

    def validate(self, macro_f1: bool) -> Answer:
        return _as_answer(self._classifier.validate(self._batches(), macro_f1=macro_f1))

    def recompute_statistics(self) -> Answer:
        self._classifier.recompute_statistics(self._batches())
        return {}, []

    def snapshot(self) -> Answer:
        self._snapshot = (self._snapshot[0] + 1, self._classifier.snapshot())
        return {"number": self._snapshot[0]}, []

    def restore(self, number: int) -> Answer:
        if number != self._snapshot[0]:
            raise ValueError(f"snapshot {number} is not the latest")
        self._classifier.restore(self._snapshot[1])
        return {}, []

    def save(self, path: str, about: dict[str, Any]) -> Answer:
        self._classifier.save(Path(path), about)
        return {}, []

    def save_weights(self, path: str) -> Answer:
        self._classifier.save_weights(Path(path))
        return {}, []

    def load_weights(self, path: str) -> Answer:
        self._classifier.load_weights(Path(path))
        return {}, []

    def save_head(self, path: str) -> Answer:
        self._classifier.head().save(Path(path))
        return {}, []

    def export_trunk(self, path: str) -> Answer:
        self._classifier.export_trunk(Path(path))
        return {}, []

    def with_arrays(self, method: str, *arrays: npt.NDArray[Any], **content: Any) -> Answer:
        results = getattr(self._classifier, method)(*arrays, **content)
        return {}, list(results) if isinstance(results, tuple) else [results]

    def _batches(self) -> Iterator[Batch]:
        """Ask the parent for one batch after the other."""
        while True:
            send(self._answers, {"kind": "want"})
            message, arrays = receive(self._asked)
            if message["end"]:
                return
            images, labels = arrays
            yield images, labels

    def _on_step(self, step: int, read: Callable[[], Scores]) -> None:
        if self._pace.due():
            send(self._answers, {"kind": "step", "step": step, "scores": dataclasses.asdict(read())})


def _as_answer(scores: Scores) -> Answer:
    return {"scores": dataclasses.asdict(scores)}, []


def main() -> None:
    """Answer until the input closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints must not get between the messages
    asked = sys.stdin.buffer
    served = _Served(asked, answers)
    while True:
        try:
            message, arrays = receive(asked)
        except EOFError:
            return
        method = message.pop("method")
        try:
            do: Callable[..., Answer] = getattr(served, method) if hasattr(served, method) else partial(
                served.with_arrays, method, *arrays)
            content, results = do(**message)
            send(answers, {"kind": "done", **content}, results)
        except (EOFError, BrokenPipeError):
            return
        except Exception as error:  # noqa: BLE001 -- sent to the parent, which raises it
            traceback.print_exc()
            send(answers, {"kind": "failed", "error": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)
