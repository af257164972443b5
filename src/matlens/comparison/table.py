"""Several judged models in one table, best accuracy first: a value that writes itself as CSV, Markdown and JSON.

A lead counts for little when it is small against what chance gives, and for nothing when two models were judged on
different photos. The table says both: intervals beside the scores, and which differences are real below it.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matlens.comparison.choice import (
    Choice,
    ChosenOn,
    chosen_on_test,
    chosen_on_validation,
    validation_accuracies,
)
from matlens.comparison.compared import ComparedModels
from matlens.comparison.literature import Published
from matlens.comparison.markdown import markdown
from matlens.comparison.pairwise import Pairwise, pairwise
from matlens.comparison.row import Row
from matlens.errors import ResultsError
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.system.files import write_json, write_text

CSV_NAME, MARKDOWN_NAME, JSON_NAME = "model_comparison.csv", "model_comparison.md", "model_comparison.json"


@dataclass(frozen=True)
class Comparison(ComparedModels):
    """Compared models that write themselves. unjudged: models of the run that are not in the table."""

    unjudged: tuple[str, ...] = ()

    def to_csv(self) -> str:
        """Write full precision, plain numbers, and nothing where a value is unknown."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*(self.cells(row) for row in self.rows), *(other.cells for other in self.published)])
        return text.getvalue()

    def to_markdown(self) -> str:
        """Write percentages, the best of each score in bold; below it what one must know before ranking."""
        missing = f"\nNot in this table, since not trained or not judged to the end: {', '.join(self.unjudged)}.\n"
        return markdown(self) + missing * bool(self.unjudged)

    def to_json(self) -> dict[str, Any]:
        """Return {format, same_photos, models: rows, pairwise, not_compared, choice}; `choice` if there was one."""
        return {"format": 1, "same_photos": self.same_photos, "models": [self.cells(row) for row in self.rows],
                **(self.pairs or Pairwise(())).to_json(), **({"choice": self.choice.to_json()} if self.choice else {})}

    def __repr__(self) -> str:
        return f"Comparison({', '.join(f'{row.model} {row.accuracy:.1%}' for row in self.rows)})"

    def _repr_markdown_(self) -> str:  # what a notebook shows
        return self.to_markdown()

    def write(self, folder: Path | str) -> tuple[Path, Path, Path]:
        """Write model_comparison.csv, .md and .json, each whole or not at all."""
        json = write_json(Path(folder) / JSON_NAME, self.to_json())  # first: it says whose the others are
        return (write_text(Path(folder) / CSV_NAME, self.to_csv()),
                write_text(Path(folder) / MARKDOWN_NAME, self.to_markdown()), json)


def compare(results_list: Iterable[Results | Mapping[str, Any]], published: tuple[Published, ...] = (),
            predictions: Mapping[str, Predictions | SavedPredictions] | None = None, unjudged: Sequence[str] = (), *,
            margin: float | None = None, choose_on: ChosenOn = "test",
            validation: Mapping[str, Predictions | SavedPredictions] | None = None) -> Comparison:
    """Put judged models side by side, best accuracy first, and `published` results below them.

    Args:
        results_list: Results, or what `<name>_results.json` holds.
        predictions: the models' predictions, or the files that hold them, by name. With them models are compared photo
            by photo, too.
        unjudged: models that were asked for, and have no results.
        margin: a difference of accuracy (a share) that does not matter: pairs are then called equivalent within it, or
            undecided.
        choose_on: the part that says which model is the best, and so the order; val needs `validation`, the models'
            predictions of the validation part, by name.

    Raises ResultsError where there is nothing to compare or a model has no accuracy.
    """
    rows = [Row.from_results(results) for results in results_list]
    if not rows:
        raise ResultsError("There is no judged model to compare. Train and judge one with: matlens run "
                           "--data DIR. Judge one that is trained with: matlens evaluate RUN")
    best_first = sorted(rows, key=lambda row: (-row.accuracy, row.model))
    ordered = tuple(row for rows in ComparedModels(tuple(best_first)).by_photos for row in rows)
    decided = validation_accuracies(ordered, validation or {}) if choose_on == "val" and len(ordered) > 1 else {}
    if isinstance(decided, Mapping) and decided:
        ordered = tuple(sorted(ordered, key=lambda row: (-decided[row.model], row.model)))
    pairs = None if predictions is None else _in_pairs(ordered, predictions, margin)
    choice = chosen_on_test(ordered, pairs)
    if isinstance(decided, str):
        choice = replace(choice or Choice("test", ordered[0].model, len(ordered), None, None), why_not=decided)
    elif decided:
        choice = chosen_on_validation(ordered, pairs, decided)
    return Comparison(ordered, published, pairs, choice, tuple(unjudged))


def _in_pairs(rows: tuple[Row, ...], given: Mapping[str, Predictions | SavedPredictions], margin: float | None,
              ) -> Pairwise:
    """Test the rows' models in pairs, as far as their predictions are there and give their accuracy."""
    judged, refused, times = {}, [], Counter(row.model for row in rows)
    for row in rows if len(rows) > 1 else ():
        why, source = f"{row.model} cannot be compared photo by photo: ", given.get(row.model)
        file = f" ({source.file.name})" if isinstance(source, SavedPredictions) else ""
        if times[row.model] > 1:
            refused.append(f"{why}{times[row.model]} models have that name. Judge each under a name of its own "
                           "(model_name=...).")
            continue
        if source is None or (isinstance(source, SavedPredictions) and not source.file.exists()):
            refused.append(f"{why}its predictions{file} are not there.")
            continue
        try:
            predictions = source.read() if isinstance(source, SavedPredictions) else source
        except ResultsError as error:
            refused.append(why + str(error))
            continue
        if abs(float((predictions.predicted == predictions.labels).mean()) - row.accuracy) > 1e-9:
            refused.append(f"{why}its predictions{file} do not give the accuracy of its results. Judge it again with: "
                           "matlens evaluate RUN")
            continue
        if not predictions.knows_content:
            refused.append(f"{why}which photos its predictions{file} are of is not recorded. Judge it again, in a "
                           "notebook with evaluate_model, in a run with: matlens evaluate RUN")
            continue
        judged[row.model] = predictions
    return pairwise(judged, {row.model: row.photos_hash for row in rows}, list(dict.fromkeys(refused)), margin,
                    macro_f1=True)
