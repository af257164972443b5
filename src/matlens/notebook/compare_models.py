"""The guide's comparison of models that a notebook judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matlens.comparison.row import Row
from matlens.comparison.table import Comparison, compare
from matlens.errors import ResultsError
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.results import Results
from matlens.settings.arguments import folder_of


def compare_models(results_list: Iterable[Results | Mapping[str, Any]],
                   save_dir: Path | str | None = None) -> Comparison:
    """Put judged models side by side, and write the table into `save_dir` (by default REPORTS_DIR).

    It is written as CSV, Markdown and JSON. Models whose predictions lie there as `<name>_predictions.npz` are compared
    photo by photo.

    Raises ResultsError where there is nothing to compare or a model has no accuracy.
    """
    folder = folder_of(save_dir, "save_dir", "reports_dir")
    if isinstance(results_list, Mapping | Results) or not isinstance(results_list, Iterable):
        raise ResultsError(f"results_list is a {type(results_list).__name__}, not a list of results. Give what "
                           "evaluate_model returned for each model: compare_models([first, second])")
    judged = list(results_list)
    for place, results in enumerate(judged):
        if not isinstance(results, Mapping | Results):
            raise ResultsError(f"results_list[{place}] is a {type(results).__name__}, and holds no results. Give what "
                               "evaluate_model returned.")
    names = [Row.from_results(results).model for results in judged]
    comparison = compare(judged, predictions={
        name: SavedPredictions(folder / f"{name}_predictions.npz") for name in names})
    comparison.write(folder)
    return comparison
