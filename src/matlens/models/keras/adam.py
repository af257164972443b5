"""Keras' Adam with TensorFlow's own kernel for its update: one pass over the weights instead of ten."""

from functools import partial
from typing import Any

import keras


def fast_adam(learning_rate: float) -> keras.optimizers.Adam:
    """keras.optimizers.Adam(learning_rate), whose step is `ResourceApplyAdam` where TensorFlow is the backend.

    The update rule is the same (Kingma and Ba 2015, the formulation before section 2.1, with epsilon outside the
    correction), and so are its variables. It is no class of its own, because Keras would write that class' name into
    the files of a model, which then opened with matlens alone.
    """
    adam = keras.optimizers.Adam(learning_rate)
    if keras.backend.backend() == "tensorflow":
        adam.update_step = partial(_update, adam)
    return adam


def _update(adam: keras.optimizers.Adam, gradient: Any, variable: Any, learning_rate: Any) -> None:
    import tensorflow

    index = adam._get_variable_index(variable)
    momentum, velocity = (slots[index].value for slots in (adam._momentums, adam._velocities))
    step = tensorflow.cast(adam.iterations.value + 1, variable.dtype)
    tensorflow.raw_ops.ResourceApplyAdam(
        var=variable.handle, m=momentum.handle, v=velocity.handle, grad=tensorflow.cast(gradient, variable.dtype),
        beta1_power=adam.beta_1 ** step, beta2_power=adam.beta_2 ** step, beta1=adam.beta_1, beta2=adam.beta_2,
        lr=tensorflow.cast(learning_rate, variable.dtype), epsilon=adam.epsilon)
