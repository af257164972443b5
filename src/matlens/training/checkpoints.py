"""States of a training, one after each epoch: an interrupted training goes on from the last one that is whole.

    <run>/states/<model>/<stage>-<epoch>.npz

A state is one file of plain arrays, never pickles: the weights, the other variables of the network
(`training_state`: those of the optimiser, and the steps), and as JSON the history, the learning rate and the counters
of early stopping and plateau. It holds no random generator: the order of photos, their variations and dropout follow
from seed and step. The CRC-32 of each array, which the format has, is its checksum.

The last two states stay, and those that hold the best weights so far of either. A state holds the best weights itself
where their epoch left none (`Checkpoints.apart`).
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
from matlens.runs.run import Run
from matlens.settings.schema import MAY_DIFFER, Settings
from matlens.system.files import whole_file
from matlens.system.untrusted import UNREADABLE, parse_json
from matlens.system.untrusted_arrays import read_arrays
from matlens.training.callbacks import EarlyStopping, ReduceOnPlateau
from matlens.training.history import Epoch

_FORMAT = 1
_WEIGHTS, _BEST, _TRAINING, _ABOUT = "weights", "best", "training", "about"
_ARRAYS = {_ABOUT: ("u", 1), rf"({_WEIGHTS}|{_BEST}|{_TRAINING})/.+": ("fiub", None)}
"""The arrays of a file: NumPy's letters of kinds, dimensions."""

Snapshot = list[npt.NDArray[Any]]
"""What `Resumable.snapshot` returns."""


class ResumptionListener(Protocol):
    """Told how a training goes on from its states."""

    def on_resume(self, epoch: int) -> None:
        """Hear that training goes on with this epoch (counted from 1)."""

    def on_warning(self, text: str) -> None:
        """Hear that a state could not be used."""


@dataclass(frozen=True)
class TrainingPoint:
    """The position of the training loop after an epoch.

    best: the number of the epoch with the best weights so far; it may belong to an earlier stage.
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
        """The number of the last epoch."""
        return self.epochs[-1].number

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainingPoint:
        """Make a point from the values that `to_json` returned. Raises ValueError."""
        point = _POINT.validate_python(dict(content))
        if point.best not in [epoch.number for epoch in point.epochs]:
            raise ValueError(f"its best epoch {point.best} is none of its epochs")
        return point


_POINT = TypeAdapter(TrainingPoint)


@dataclass(frozen=True)
class SavedState:
    """A point of the training, with the weights and the network's `training_state`.

    best: the best weights so far, where no state of their own holds them.
    """

    point: TrainingPoint
    weights: Snapshot
    training: dict[str, npt.NDArray[Any]]
    best: Snapshot


@dataclass(frozen=True)
class Checkpoints:
    """The states of one model's training.

    folder: holds the states of this model alone.
    key: a hash of all that decides what is trained (`resumption_key`); states of another key are passed over.
    apart: seconds that must have passed since the last state; by default every epoch leaves one.
    """

    folder: Path
    key: str
    listener: ResumptionListener
    apart: float = 0.0

    def of(self, stage: str, network: Resumable) -> StageStates:
        """Return the states of one stage. The last state of an earlier stage stays: resumption goes through both."""
        return StageStates(self, stage, network)


def checkpoints_of(run: Run, model: str, listener: ResumptionListener, about: Any, apart: float = 0.0) -> Checkpoints:
    """Return the states of a model's training. about: see `resumption_key`."""
    return Checkpoints(run.paths.states(model), resumption_key(run.settings, model, run.split.hash, about), listener,
                       apart)


def resumption_key(settings: Settings, model: str, split_hash: str, about: Any) -> str:
    """Hash what decides a training, so that no training goes on from the state of another one.

    Settings are hashed as the first version of matlens recorded them, so that its states are taken up.

    Args:
        about: plain values that decide the training besides settings and split.
    """
    compared = {key: value for key, value in settings.recorded_by_first_version().items() if key not in MAY_DIFFER}
    return hashlib.sha256(json.dumps([model, split_hash, compared, about], sort_keys=True).encode()).hexdigest()


def forget_states(paths: RunPaths, model: str) -> None:
    """Remove the states of a model whose training is done."""
    shutil.rmtree(paths.states(model), ignore_errors=True)
    with contextlib.suppress(OSError):  # it holds states of another model, or was never made
        paths.states(model).parent.rmdir()


class StageStates:
    """The states of one stage, as the training loop uses them: it saves one, or goes on from the last."""

    def __init__(self, checkpoints: Checkpoints, stage: str, network: Resumable) -> None:
        self._all, self._stage, self._network = checkpoints, stage, network
        self._last = time.monotonic()
        self._first = 1
        self._previous: TrainingPoint | None = None

    def save(self, point: TrainingPoint, best: Snapshot | None) -> None:
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

    def resume(self, first: int, save_best: Callable[[], None]) -> tuple[TrainingPoint, Snapshot | None] | None:
        """Restore the network to the last state that is whole.

        The model file may be of a later epoch than that state, so `save_best` is called while the network has the best
        weights.

        Args:
            first: the number of this stage's first epoch.

        Returns:
            The point of the state, and the best weights so far of this stage, None if none of its epochs was the best.
            None instead of both if there is no state to go on from.

        Raises:
            ModelError: a state does not fit the network, and there is no earlier one.
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
        if misfit is not None:  # the network holds a part of it by now
            raise ModelError(f"{misfit} does not fit the network, and there is no earlier state to go on from. Delete "
                             f"{self._all.folder}; the same command then trains {self._all.folder.name} again.")
        return None

    def _with_best(self, state: SavedState) -> SavedState | None:
        """Return the state with the best weights so far; None where they cannot be read.

        Its `training` is empty where `state` itself holds the best weights, since its own may be of other weights.
        """
        if not self._first <= state.point.best < state.point.number:
            return state
        if state.best:
            return dataclasses.replace(state, weights=state.best, training={})
        return self._read(state.point.best)

    def _file(self, number: int) -> Path:
        return self._all.folder / f"{self._stage}-{number:04d}.npz"

    def _numbers(self) -> list[int]:
        """List the epochs that have a state, the last one first."""
        numbers = (file.stem.rpartition("-")[2] for file in self._all.folder.glob(f"{self._stage}-*.npz"))
        return sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)

    def _read(self, number: int) -> SavedState | None:
        """Read the state of an epoch. Returns None, after a warning, where it is damaged or of another training."""
        path = self._file(number)
        try:
            arrays = read_arrays(path, _ARRAYS)
            about = parse_json(arrays.pop(_ABOUT).tobytes())
            if about["format"] != _FORMAT or about["key"] != self._all.key:
                self._all.listener.on_warning(f"{path} is of a training with other settings, and is passed over.")
                return None
            point = TrainingPoint.from_json(about)
            if point.number != number:
                raise ValueError(f"it is of epoch {point.number}")
            training = {name.removeprefix(f"{_TRAINING}/"): values for name, values in arrays.items()
                        if name.startswith(f"{_TRAINING}/")}
            return SavedState(point, _in_order(arrays, _WEIGHTS), training, _in_order(arrays, _BEST))
        except UNREADABLE as error:
            self._warn(path, error)
            return None

    def _warn(self, path: Path, error: Exception) -> None:
        self._all.listener.on_warning(f"{path} is missing or damaged ({type(error).__name__}: {error}); training goes "
                                      "on from an earlier epoch.")

    def _thin_out(self, point: TrainingPoint) -> None:
        needed = {number for last in (point, self._previous or point) for number in (last.number, last.best)}
        for number in self._numbers():
            if number not in needed:
                self._file(number).unlink(missing_ok=True)
        self._previous = point


def _in_order(arrays: Mapping[str, npt.NDArray[Any]], kind: str) -> Snapshot:
    """Return the arrays of a kind, by their numbers from 0. Raises KeyError where one is missing."""
    return [arrays[f"{kind}/{number}"] for number in range(sum(name.startswith(f"{kind}/") for name in arrays))]
