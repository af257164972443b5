"""Say of runs without and with corrections of labels what the corrections changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from matlens.errors import MatlensError
from matlens.evaluation.corrected import BeforeAndAfter, before_and_after
from matlens.evaluation.predictions import Predictions
from matlens.runs.names import distinct_names
from matlens.runs.run import Run
from matlens.runs.series import is_series_folder


def effects_of_corrections(folders: Sequence[Path]) -> Iterator[str]:
    """Yield a sentence for each model that a run without corrections and one with them trained, on one split's photos.

    Series, and runs whose predictions cannot be read, are passed over: other parts of a comparison name these.
    """
    names = distinct_names(folder for folder in folders if not is_series_folder(folder))
    runs: dict[str, Run] = {}
    for folder, name in names.items():
        try:
            runs[name] = Run.open(folder)
        except MatlensError:
            continue
    before = {name: run for name, run in runs.items() if not run.split.corrected}
    after = {name: run for name, run in runs.items() if run.split.corrected}
    for (old, first), (new, second) in product(before.items(), after.items()):
        for model in (model for model in first.model_names if model in second.model_names):
            if (effect := _effect(first, second, model)) is not None:
                yield _in_words(model, old, new, effect)


def _effect(first: Run, second: Run, model: str) -> BeforeAndAfter | None:
    try:
        old, new = ((run.split, Predictions.read(run.paths.predictions_file(model))) for run in (first, second))
    except MatlensError:
        return None
    return before_and_after(old, new)


def _in_words(model: str, old: str, new: str, effect: BeforeAndAfter) -> str:
    ends = effect.interval
    reach = f", 95 % interval {100 * ends.low:+.1f} to {100 * ends.high:+.1f}" if ends else ""
    return (f"{model} on the {effect.n} test photos that both runs have, by the corrected labels: "
            f"{effect.before.in_words} before ({old}), {effect.after.in_words} after ({new}); the difference is "
            f"{100 * effect.difference:+.1f} points{reach}")
