"""Several judged models in one table, best accuracy first: a value that writes itself as CSV, Markdown and JSON.

A lead counts for little when it is small against what chance gives, and for nothing when two models were judged on
different photos. The table says both: intervals beside the scores, and which differences are real below it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.comparison.literature import Published
from matlens.comparison.markdown import markdown
from matlens.comparison.pairwise import Pairwise, pairwise
from matlens.comparison.row import Row, percent
from matlens.errors import ResultsError
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results
from matlens.settings.knobs import notebook_settings
from matlens.system.files import write_json, write_text

CSV_NAME, MARKDOWN_NAME, JSON_NAME = "model_comparison.csv", "model_comparison.md", "model_comparison.json"


@dataclass(frozen=True)
class Comparison:
    """At least one row; those that were judged on the same photos stand together, the best accuracy first.

    published: others' results, shown below, never ranked.
    pairs: the models in pairs, photo by photo; None where their predictions were not looked at.
    """

    rows: tuple[Row, ...]
    published: tuple[Published, ...] = ()
    pairs: Pairwise | None = None

    @property
    def same_photos(self) -> bool:
        """False where split hashes or the number of test photos differ."""
        return len({row.split_hash for row in self.rows}) == len({row.n_test for row in self.rows}) == 1

    def is_best(self, row: Row, score: str) -> bool:
        """Whether no row has more of a score, as `percent` shows it: what looks equal is equal."""
        known = [value for each in self.rows if (value := getattr(each, score)) is not None]
        return self.same_photos and bool(known) and percent(getattr(row, score)) == percent(max(known))

    @property
    def sentences(self) -> tuple[str, ...]:
        """Of each pair of models, which is better, or how many photos would tell."""
        return tuple(test.sentence() for test in self.pairs.tests) if self.pairs else ()

    def to_csv(self) -> str:
        """Full precision, plain numbers, empty where unknown."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*map(dataclasses.asdict, self.rows), *(each.cells for each in self.published)])
        return text.getvalue()

    @property
    def columns(self) -> list[str]:
        """Names of the CSV's columns."""
        return [field.name for field in dataclasses.fields(Row)] + ["source"] * bool(self.published)

    def to_markdown(self) -> str:
        """Percentages, the best of each score in bold; below it what one must know before ranking."""
        return markdown(self)

    def to_json(self) -> dict[str, Any]:
        """{format, same_photos, models: rows, pairwise, not_compared}."""
        return {"format": 1, "same_photos": self.same_photos, "models": [row.to_json() for row in self.rows],
                **(self.pairs or Pairwise(())).to_json()}

    def _repr_markdown_(self) -> str:  # what a notebook shows
        return self.to_markdown()

    def write(self, folder: Path | str) -> tuple[Path, Path, Path]:
        """Write model_comparison.csv, .md and .json, each whole or not at all."""
        return (write_text(Path(folder) / CSV_NAME, self.to_csv()),
                write_text(Path(folder) / MARKDOWN_NAME, self.to_markdown()),
                write_json(Path(folder) / JSON_NAME, self.to_json()))


def compare(results_list: Iterable[Results | Mapping[str, Any]], published: tuple[Published, ...] = (),
            predictions: Mapping[str, Path] | None = None) -> Comparison:
    """Put judged models side by side, best accuracy first, and `published` results below them.

    Args:
        results_list: Results, or what `<name>_results.json` holds.
        predictions: the models' saved predictions by name. With them models are compared photo by photo, too.

    Raises ResultsError where there is nothing to compare or a model has no accuracy.
    """
    rows = [Row.from_results(results) for results in results_list]
    if not rows:
        raise ResultsError("There is no judged model to compare. Train and judge one with: matlens run "
                             "--data DIR. Judge one that is trained with: matlens evaluate RUN")
    best_first = sorted(rows, key=lambda row: (-row.accuracy, row.model))
    splits = list(dict.fromkeys((row.split_hash, row.n_test) for row in best_first))
    ordered = tuple(sorted(best_first, key=lambda row: splits.index((row.split_hash, row.n_test))))
    return Comparison(ordered, published, None if predictions is None else _in_pairs(ordered, predictions))


def _in_pairs(rows: tuple[Row, ...], files: Mapping[str, Path]) -> Pairwise:
    """The rows' models in pairs, as far as their predictions are there and give their accuracy."""
    found, refused = {}, []
    for row in rows if len(rows) > 1 else ():
        why = f"{row.model} cannot be compared photo by photo: "
        path = files.get(row.model)
        if path is None or not path.exists():
            refused.append(f"{why}its predictions{f' ({path.name})' if path else ''} are not there.")
            continue
        try:
            predictions = Predictions.read(path)
        except ResultsError as error:
            refused.append(why + str(error))
            continue
        if abs(float((predictions.predicted == predictions.labels).mean()) - row.accuracy) > 1e-9:
            refused.append(f"{why}{path.name} does not give the accuracy of its results. Judge it again with: "
                           "matlens evaluate RUN")
            continue
        found[row.model] = predictions
    return pairwise(found, {row.model: row.split_hash for row in rows}, refused)


def compare_models(results_list: Iterable[Results | Mapping[str, Any]],
                   save_dir: Path | str | None = None) -> Comparison:
    """The same, and the table written into `save_dir` (by default REPORTS_DIR) as CSV, Markdown and JSON.

    Models whose predictions lie there as `<name>_predictions.npz` are compared photo by photo.
    """
    folder = Path(save_dir) if save_dir is not None else notebook_settings().reports_dir
    judged = list(results_list)
    names = [Row.from_results(each).model for each in judged]
    comparison = compare(judged, predictions={name: folder / f"{name}_predictions.npz" for name in names})
    comparison.write(folder)
    return comparison
