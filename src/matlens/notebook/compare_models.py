"""The guide's comparison of models that a notebook judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matlens.comparison.row import Row
from matlens.comparison.table import Comparison, compare
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.results import Results
from matlens.settings.knobs import notebook_settings


def compare_models(results_list: Iterable[Results | Mapping[str, Any]],
                   save_dir: Path | str | None = None) -> Comparison:
    """Put judged models side by side, and write the table into `save_dir` (by default REPORTS_DIR).

    It is written as CSV, Markdown and JSON. Models whose predictions lie there as `<name>_predictions.npz` are compared
    photo by photo.

    Raises ResultsError where there is nothing to compare or a model has no accuracy.
    """
    folder = Path(save_dir) if save_dir is not None else notebook_settings().reports_dir
    judged = list(results_list)
    names = [Row.from_results(results).model for results in judged]
    comparison = compare(judged, predictions={
        name: SavedPredictions(folder / f"{name}_predictions.npz") for name in names})
    comparison.write(folder)
    return comparison
