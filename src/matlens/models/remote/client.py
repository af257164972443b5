"""A classifier in a process of its own, behind the same protocol: for a process that has loaded another framework.

The child (`models/remote/server.py`) is asked by messages on its standard input and answers on its standard output.
A message is a line of JSON, followed by the arrays that its `arrays` describe. The child ends when its input closes,
so it does not outlive this process.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from matlens.errors import WorkerError, named_error
from matlens.models.head import Head
from matlens.models.precision import Precision
from matlens.models.protocol import BuildOrder
from matlens.system.transport import encode
from matlens.types import Array, Batch, Labels, OnStep, Scores

_AT_ONCE = 32
"""Photos in one message of `predict` and `features`."""


def send(stream: IO[bytes], message: dict[str, Any], arrays: Sequence[npt.NDArray[Any]] = ()) -> None:
    """Write a message and its arrays."""
    whole = [np.ascontiguousarray(array) for array in arrays]
    about = [{"dtype": array.dtype.str, "shape": array.shape} for array in whole]
    stream.write(json.dumps({**message, "arrays": about}).encode() + b"\n")
    for array in whole:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
    """Read a message and its arrays. Raises EOFError at the end of the stream."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message: dict[str, Any] = json.loads(line)
    arrays = []
    for about in message.pop("arrays"):
        kind, shape = np.dtype(about["dtype"]), tuple(about["shape"])
        content = stream.read(kind.itemsize * math.prod(shape))
        if len(content) < kind.itemsize * math.prod(shape):
            raise EOFError
        arrays.append(np.frombuffer(bytearray(content), kind).reshape(shape))
    return message, arrays


class RemoteClassifier:
    """See `models.protocol.Classifier`; each method asks the child."""

    def __init__(self, order: BuildOrder, seed: int, model_file: Path | None = None) -> None:
        """Start the child and build the model there, or load it from its file. Raises what that raises, or WorkerError.
        """
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the child
        self._child = subprocess.Popen([sys.executable, "-m", "matlens.models.remote.server"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=self._log, start_new_session=True)
        self._end = weakref.finalize(self, _stop, self._child, self._log)
        self._about = self._call("build", order=encode(order), seed=seed,
                                 model_file=str(model_file.absolute()) if model_file else None)[0]

    @property
    def device(self) -> str:
        """Where the child runs it, such as "cpu" or "cuda"."""
        return str(self._about["device"])

    @property
    def num_classes(self) -> int:
        """C, the number of outputs."""
        return int(self._about["num_classes"])

    @property
    def takes_bytes(self) -> bool:
        """False: photos go to the child as floats."""
        return False

    @property
    def precision(self) -> Precision:
        """The arithmetic that it is trained in."""
        precision: Precision = self._call("get", name="precision")[0]["value"]
        return precision

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the photos that it takes; None where it takes any."""
        size = self._about["input_size"]
        return None if size is None else (size[0], size[1])

    @property
    def last_conv_layer_name(self) -> str:
        """The layer that Grad-CAM looks at."""
        return str(self._call("get", name="last_conv_layer_name")[0]["value"])

    @property
    def parameters(self) -> tuple[int, int]:
        """(all, trainable) numbers."""
        every, trainable = self._call("get", name="parameters")[0]["value"]
        return every, trainable

    @property
    def trains_statistics(self) -> bool:
        """Whether batch normalisation is trained."""
        return bool(self._call("get", name="trains_statistics")[0]["value"])

    @property
    def learning_rate(self) -> float:
        """The optimiser's present learning rate."""
        return float(self._call("get", name="learning_rate")[0]["value"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._call("set_learning_rate", value=value)

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """Train once on each batch."""
        return Scores(**self._call("train_epoch", batches=batches, on_step=on_step)[0]["scores"])

    def validate(self, batches: Iterable[Batch], *, macro_f1: bool = False) -> Scores:
        """Return loss and accuracy without training. macro_f1: that, too."""
        return Scores(**self._call("validate", batches=batches, macro_f1=macro_f1)[0]["scores"])

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Set batch normalisation's statistics to their averages over these photos."""
        self._call("recompute_statistics", batches=batches)

    def predict(self, images: Array) -> Array:
        """Return probabilities (B, C) float32."""
        return self._by_parts("predict", images)

    def features(self, images: Array) -> Array:
        """Return feature maps (B, h, w, K) float32."""
        return self._by_parts("features", images)

    def features_and_gradients(self, images: Array, classes: Labels, layer: str) -> tuple[Array, Array]:
        """Return any layer's output and the class logit's gradient there."""
        features, gradients = self._call("features_and_gradients", arrays=[images, classes], layer=layer)[1]
        return features, gradients

    def head(self) -> Head:
        """Return a copy of the head."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "head.npz"
            self._call("save_head", path=str(path))
            return Head.load(path)

    def snapshot(self) -> Any:
        """Return the number of a copy of the weights; it stays in the child, which holds the latest only."""
        return self._call("snapshot")[0]["number"]

    def restore(self, snapshot: Any) -> None:
        """Set the weights to those of the latest snapshot."""
        self._call("restore", number=snapshot)

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the model file, with `about`."""
        self._call("save", path=str(path.absolute()), about=about)

    def save_weights(self, path: Path) -> None:
        """Write the model file alone."""
        self._call("save_weights", path=str(path.absolute()))

    def load_weights(self, path: Path) -> None:
        """Read a model file."""
        self._call("load_weights", path=str(path.absolute()))

    def export_trunk(self, folder: Path) -> Head:
        """Write the trunk; return the head."""
        self._call("export_trunk", path=str(folder.absolute()))
        return self.head()

    def _by_parts(self, method: str, images: Array) -> Array:
        photos = np.asarray(images, dtype=np.float32)
        starts = range(0, max(len(photos), 1), _AT_ONCE)
        return np.concatenate([self._call(method, arrays=[photos[start:start + _AT_ONCE]])[1][0] for start in starts])

    def _call(self, method: str, *, arrays: Sequence[npt.NDArray[Any]] = (), batches: Iterable[Batch] = (),
              on_step: OnStep = lambda step, read: None, **content: Any,
              ) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
        """Send a message, hand out batches as the child asks for them, and return its answer."""
        if not self._end.alive:
            raise WorkerError("The process of the model has ended; build the model again.")
        assert self._child.stdin is not None and self._child.stdout is not None
        source = _Source(batches)
        try:
            with _interrupts_held() as interrupted:
                send(self._child.stdin, {"method": method, **content}, arrays)
                while True:
                    message, received = receive(self._child.stdout)
                    if message["kind"] == "want":
                        batch = None if interrupted else source.next()
                        send(self._child.stdin, {"end": batch is None}, batch or ())
                    elif message["kind"] == "step":
                        on_step(message["step"], partial(Scores, **message["scores"]))
                    else:
                        break
        except (EOFError, BrokenPipeError) as error:
            code, said = self._child.wait(), self._last_words()
            self._end()
            raise WorkerError(f"The process of the model ended (code {code}): {said}") from error
        if source.error is not None:
            raise source.error
        if message["kind"] == "failed":
            raise named_error(message["error"], message["message"])
        return message, received

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-400:] or "it said nothing"


class _Source:
    """Hands out batches. An error in making a batch ends them, and is raised once the child has answered."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)
        self.error: Exception | None = None

    def next(self) -> list[Array] | None:
        try:
            batch = next(self._batches, None)
            return None if batch is None else [np.asarray(values, dtype=np.float32) for values in batch]
        except Exception as error:  # noqa: BLE001 -- raised as soon as the child has answered
            self.error = error
            return None


@contextlib.contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Hold Ctrl-C back inside, and raise KeyboardInterrupt at the end: half a message would cost the model."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
    if seen:
        raise KeyboardInterrupt


def _stop(child: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    child.kill()
    child.wait()
    log.close()
