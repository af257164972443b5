"""Which outputs inside a trunk say the most beside its last one: the ends of its stages.

With `--features multi` a trunk gives, in this order of channels:

- its last map, whose mean over places is the feature of each channel;
- of each of the last three stages the mean and the standard deviation of each channel over places; of the last map,
  where a stage ends with it, the deviation alone.

All but the first are the same at every place, so the mean over places of the whole is the vector of features
(`head.Pooling`, `statistics`), and what takes a map takes these features too. A stage's mean and deviation describe a
texture (Heeger and Bergen 1995; Huang and Belongie 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

ProbedFeatures = Literal["last", "multi"]

STAGES = 3
"""Stages whose statistics are taken."""

SMALLEST = 1e-12
"""Near which a variance counts as this: of a channel that is constant, the root has no gradient."""


@dataclass(frozen=True)
class Depth:
    """An output inside a trunk that is all that what follows takes. places: h x w of it. channels: K of it."""

    name: str
    places: int
    channels: int


def ends_of_stages(outputs: Sequence[Depth]) -> tuple[str, ...]:
    """Return the names of the outputs at which the last three stages end; the last may be that of the trunk.

    A stage is a row of outputs of as many places. It ends with the last of them; the last stage with the last output
    that has not yet as many channels as the trunk's, if there is one: a layer that only widens the features for the
    classifier, as EfficientNet's, is no stage. Where there are fewer than three stages, as in a vision transformer, the
    trunk is divided into three equal parts.

    outputs: all of the trunk's, in order. One that has more places than the one before only pads it, and is no end.
    """
    outputs = [output for before, output in zip([outputs[0], *outputs], outputs, strict=False)
               if output.places <= before.places]
    rows = [list(row) for _, row in groupby(outputs, lambda depth: depth.places)]
    if len(rows) >= STAGES:
        *before, last = rows[-STAGES:]
        narrower = [depth for depth in last if depth.channels != last[-1].channels]
        return (*(row[-1].name for row in before), (narrower or last)[-1].name)
    ends = {-(-len(outputs) * part // STAGES) - 1 for part in range(1, STAGES + 1)}
    return tuple(outputs[index].name for index in sorted(ends) if index >= 0)
