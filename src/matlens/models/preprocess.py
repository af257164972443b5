"""What a network's input looks like, said in numbers; the code of each framework turns it into layers or operations.

Photos are RGB in [0, 1] everywhere in matlens.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """From [0, 1] to [low, high], channels in the same order."""

    low: float
    high: float


@dataclass(frozen=True)
class Standardise:
    """(x - mean) / deviation for each channel of a photo in [0, 1]; the defaults are ImageNet's."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class CaffeMeans:
    """From RGB in [0, 1] to BGR in [0, 255] less the means (B, G, R); the defaults are ImageNet's.

    As mode "caffe" of keras.applications.imagenet_utils.
    """

    means: tuple[float, float, float] = (103.939, 116.779, 123.68)


Preprocess = Scale | Standardise | CaffeMeans
