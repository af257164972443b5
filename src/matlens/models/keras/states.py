"""What a Keras training continues from: the optimiser's variables; and seeds from which dropout needs no state."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError

SeedStep = Callable[[int, int], None]
"""Called with the number of the step, and of the part of its batch, that is computed next."""

_OF_A_STEP, _OF_A_PART = 4096, 16
"""How many of a generator's numbers belong to one step, and to one part of its batch: none is drawn twice."""


def optimizer_state(model: keras.Model) -> dict[str, npt.NDArray[Any]]:
    """Return steps, learning rate, moments and loss scale, named by place and kind in the optimiser."""
    return {name: keras.ops.convert_to_numpy(variable) for name, variable in _variables(model).items()}


def restore_optimizer(model: keras.Model, state: dict[str, npt.NDArray[Any]]) -> None:
    """Restore what `optimizer_state` returned; other keys are ignored. Raises ModelError where it does not fit."""
    variables = _variables(model)
    for name, variable in variables.items():
        if name not in state or state[name].shape != tuple(variable.shape):
            raise ModelError(f"The saved state of {model.name} is another optimiser's ({name}). Name a new folder with "
                             "--out, or delete states/ in the run's folder to train it from the start.")
    for name, variable in variables.items():
        variable.assign(state[name])


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    # A path's last word alone (iteration, momentum, ...): those before hold numbers that Keras counts in a process.
    return {f"optimizer/{number}/{variable.path.rpartition('/')[2].rpartition('_')[2]}": variable
            for number, variable in enumerate(model.optimizer.variables)}


class StepSeeds:
    """Makes what a model's layers (dropout) draw follow from their seeds, the step and the part of its batch."""

    def __init__(self, model: keras.Model, draws_elsewhere: Callable[[keras.layers.Layer], bool] = lambda layer: False,
                 ) -> None:
        """Leave out the layers that draw from a generator of the back end's own."""
        states = [generator.state for layer in model._flatten_layers() if not draws_elsewhere(layer)
                  for generator in layer._seed_generators]
        # A state is (seed, numbers drawn); the seed stays.
        self._states = [(state, int(keras.ops.convert_to_numpy(state)[0])) for state in states]

    def set(self, step: int, part: int = 0) -> None:
        """Set the generators for what is drawn next."""
        for state, seed in self._states:
            state.assign(np.array([seed, (step * _OF_A_STEP + part * _OF_A_PART) % 2**31]))
