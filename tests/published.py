"""Files that stand for the published weights of backbones: the network is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def publish(keras: ModuleType, application: Callable[..., Any], file: Path, reach: float = 1, **options: object,
            ) -> Path:
    """Random weights of a backbone, with the statistics of noise: else what goes through it vanishes or explodes.

    reach: how far from 0 its input goes.
    """
    keras.utils.set_random_seed(1)
    backbone = application(include_top=False, weights=None, input_shape=(64, 64, 3), **options)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone(keras.random.uniform((8, 64, 64, 3), -reach, reach), training=True)
    backbone.save(file, include_optimizer=False)
    return file
