"""The job `count`: parameters and operations of models, counted by their framework without making their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from matlens.errors import ModelError
from matlens.models.library import LIBRARIES
from matlens.models.registry import spec_of
from matlens.workers.frameworks import NOT_NEEDED, spare_imports
from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class CountTask:
    """Models of one framework, and the side in pixels of the photos for which each is counted."""

    library: str
    sides: dict[str, int]


@job("count")
def count(task: CountTask, tell: Tell) -> None:
    """Tell of each model: `counted` with its parameters and flops, or `refused` with the reason."""
    spare_imports(*NOT_NEEDED)
    facts = LIBRARIES[task.library].facts
    if facts is None:
        raise ModelError(f"Nothing counts the models of {task.library}.")
    for name, side in task.sides.items():
        try:
            counted = facts(spec_of(name), (side, side))
        except ModelError as error:
            tell("refused", model=name, reason=str(error))
        else:
            tell("counted", model=name, parameters=counted.parameters, flops=counted.flops)
