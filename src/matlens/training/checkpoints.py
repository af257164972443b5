"""States of a training, one after each epoch: an interrupted training goes on from the last one that is whole.

    <run>/states/<model>/<stage>-<epoch>.npz

A state is one file of plain arrays, never pickles: the weights, what the network needs besides (`training_state`: the
optimiser's variables and steps), and as JSON the history, the learning rate and the counters of early stopping and
plateau. It holds no generator: the order of photos, their variations and dropout follow from seed and step. The
CRC-32 of each array, which the format has, is its checksum.

The last two states are kept, and those that hold the best weights so far of either. A state holds the best weights
itself where their epoch left none (`Checkpoints.apart`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from matlens.errors import ModelError
from matlens.models.protocol import Resumable
from matlens.runs.paths import RunPaths
from matlens.runs.run import NOT_COMPARED, Run
from matlens.system.files import whole_file
from matlens.system.untrusted import parse_json
from matlens.system.untrusted_arrays import read_arrays
from matlens.training.callbacks import EarlyStopping, ReduceOnPlateau
from matlens.training.history import Epoch

_FORMAT = 1
_WEIGHTS, _BEST, _TRAINING, _ABOUT = "weights", "best", "training", "about"
_ARRAYS = {_ABOUT: ("u", 1), rf"({_WEIGHTS}|{_BEST}|{_TRAINING})/.+": ("fiub", None)}
"""What a file holds: NumPy's letters of kinds, dimensions."""


Weights = list[npt.NDArray[Any]]
"""As `snapshot` gives them."""


class Listener(Protocol):
    """Told what became of earlier states."""

    def on_resume(self, epoch: int) -> None:
        """Training goes on with this epoch (counted from 1)."""

    def on_warning(self, text: str) -> None:
        """A state could not be used."""


@dataclass(frozen=True)
class Point:
    """Where the loop stands after an epoch.

    best: the number of the epoch whose weights are the best so far; it may be an earlier stage's.
    finished: no epoch follows.
    """

    epochs: tuple[Epoch, ...]
    best: int
    learning_rate: float
    stopping: EarlyStopping
    plateau: ReduceOnPlateau
    finished: bool = False

    @property
    def number(self) -> int:
        """The last epoch's."""
        return self.epochs[-1].number

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Point:
        """From what `to_json` gave. Raises ValueError."""
        found = _POINT.validate_python(dict(content))
        if found.best not in [epoch.number for epoch in found.epochs]:
            raise ValueError(f"its best epoch {found.best} is none of its epochs")
        return found


_POINT = TypeAdapter(Point)


@dataclass(frozen=True)
class State:
    """A point, with the weights and the network's `training_state`.

    best: the best weights so far, where no state of their own holds them.
    """

    point: Point
    weights: Weights
    training: dict[str, npt.NDArray[Any]]
    best: Weights


@dataclass(frozen=True)
class Checkpoints:
    """The states of one model's training.

    folder: of this model alone.
    key: of all that decides what is trained; states of another key are passed over.
    apart: seconds that must have gone by since the last state; one for each epoch by default.
    """

    folder: Path
    key: str
    listener: Listener
    apart: float = 0.0

    def of(self, stage: str, network: Resumable) -> StageStates:
        """Those of one stage of the training; an earlier stage's last one stays, so that both are gone through anew."""
        return StageStates(self, stage, network)


def checkpoints_of(folder: Run, name: str, listener: Listener, about: Any, apart: float = 0.0) -> Checkpoints:
    """The states of a model's training. about: plain values that decide it, besides settings and split."""
    settings = {key: value for key, value in folder.settings.model_dump(mode="json").items()
                if key not in NOT_COMPARED}
    key = hashlib.sha256(json.dumps([name, folder.split.hash, settings, about], sort_keys=True).encode()).hexdigest()
    return Checkpoints(folder.paths.states(name), key, listener, apart)


def forget_states(paths: RunPaths, name: str) -> None:
    """Remove a model's states: its training is done."""
    shutil.rmtree(paths.states(name), ignore_errors=True)
    with contextlib.suppress(OSError):  # another model's are there, or none ever were
        paths.states(name).parent.rmdir()


class StageStates:
    """What the loop sees of them: save one, or go on from the last."""

    def __init__(self, checkpoints: Checkpoints, stage: str, network: Resumable) -> None:
        self._all, self._stage, self._network = checkpoints, stage, network
        self._last = time.monotonic()
        self._first = 1
        self._previous: Point | None = None

    def save(self, point: Point, best: Weights | None) -> None:
        """Write the state after an epoch, whole or not at all, and remove those that are not needed any more.

        best: the weights of the best epoch so far.
        """
        if time.monotonic() - self._last < self._all.apart:
            return
        about = {"format": _FORMAT, "key": self._all.key, **point.to_json()}
        arrays: dict[str, npt.NDArray[Any]] = {_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
        arrays |= {f"{_WEIGHTS}/{number}": values for number, values in enumerate(self._network.snapshot())}
        arrays |= {f"{_TRAINING}/{name}": values for name, values in self._network.training_state().items()}
        if self._first <= point.best < point.number and not self._file(point.best).exists():
            arrays |= {f"{_BEST}/{number}": values for number, values in enumerate(best or [])}
        with whole_file(self._file(point.number)) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the names are not those of its options
        self._last = time.monotonic()
        self._thin_out(point)

    def resume(self, first: int, save_best: Callable[[], None]) -> tuple[Point, Weights | None] | None:
        """Bring the network to the last state that is whole, and give its point and the stage's best weights so far.

        The model file may be of a later epoch than that state, so `save_best` is called while the network has the best
        weights. They are None where no epoch of this stage, which counts from `first`, was the best. None for all where
        there is no state to go on from.

        Raises:
            ModelError: a state was not what the network takes, and there is no earlier one.
        """
        self._first, misfit = first, None
        for number in self._numbers():
            state = self._read(number)
            best = self._with_best(state) if state is not None else None
            if state is None or best is None:
                continue
            is_of_this_stage = state.point.best >= first
            try:
                if is_of_this_stage:
                    if best.training:
                        self._network.resume(best.weights, best.training)
                    else:
                        self._network.restore(best.weights)
                    save_best()
                self._network.resume(state.weights, state.training)
                self._network.learning_rate = state.point.learning_rate
            except (ValueError, KeyError, TypeError, IndexError, RuntimeError, ModelError) as error:
                misfit = self._file(number)
                self._warn(misfit, error)
                continue
            self._previous = state.point
            if not state.point.finished:
                self._all.listener.on_resume(number + 1)
            return state.point, best.weights if is_of_this_stage else None
        if misfit is not None:  # the network has some of it by now
            raise ModelError(f"{misfit} does not fit the network, and there is no earlier state to go on from. Delete "
                             f"{self._all.folder}; the same command then trains {self._all.folder.name} anew.")
        return None

    def _with_best(self, state: State) -> State | None:
        """The state with the best weights so far, from wherever they are kept; None where they are not.

        Its `training` is empty where they are kept in `state`, whose own may be of other weights.
        """
        if not self._first <= state.point.best < state.point.number:
            return state
        if state.best:
            return dataclasses.replace(state, weights=state.best, training={})
        return self._read(state.point.best)

    def _file(self, number: int) -> Path:
        return self._all.folder / f"{self._stage}-{number:04d}.npz"

    def _numbers(self) -> list[int]:
        """Of the epochs that have a state, the last first."""
        found = (file.stem.rpartition("-")[2] for file in self._all.folder.glob(f"{self._stage}-*.npz"))
        return sorted((int(number) for number in found if number.isdecimal()), reverse=True)

    def _read(self, number: int) -> State | None:
        """None, and a warning, where a state is damaged or of another training."""
        path = self._file(number)
        try:
            arrays = read_arrays(path, _ARRAYS)
            about = parse_json(arrays.pop(_ABOUT).tobytes())
            if about["format"] != _FORMAT or about["key"] != self._all.key:
                self._all.listener.on_warning(f"{path} is of a training with other settings, and is passed over.")
                return None
            point = Point.from_json(about)
            if point.number != number:
                raise ValueError(f"it is of epoch {point.number}")
            training = {name.removeprefix(f"{_TRAINING}/"): values for name, values in arrays.items()
                        if name.startswith(f"{_TRAINING}/")}
            return State(point, _in_order(arrays, _WEIGHTS), training, _in_order(arrays, _BEST))
        except (OSError, ValueError, KeyError, TypeError, MemoryError) as error:
            self._warn(path, error)
            return None

    def _warn(self, path: Path, error: Exception) -> None:
        self._all.listener.on_warning(f"{path} is missing or damaged ({type(error).__name__}: {error}); training goes "
                                      "on from an earlier epoch.")

    def _thin_out(self, point: Point) -> None:
        kept = {known for each in (point, self._previous or point) for known in (each.number, each.best)}
        for number in self._numbers():
            if number not in kept:
                self._file(number).unlink(missing_ok=True)
        self._previous = point


def _in_order(arrays: Mapping[str, npt.NDArray[Any]], kind: str) -> Weights:
    """The arrays of a kind, by their numbers from 0. Raises KeyError where one is missing."""
    return [arrays[f"{kind}/{number}"] for number in range(sum(name.startswith(f"{kind}/") for name in arrays))]
