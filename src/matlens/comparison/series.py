"""Models that were trained in several runs: mean and standard deviation over them, best mean accuracy first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from matlens.comparison import series_tables
from matlens.comparison.compared_methods import ComparedMethods, SeriesRow, Spread, same_photos
from matlens.comparison.literature import Published
from matlens.comparison.methods import JudgedMethod, MethodsInference, Over, infer
from matlens.comparison.table import CSV_NAME, MARKDOWN_NAME
from matlens.errors import ResultsError
from matlens.evaluation.inference.folds import corrected_interval
from matlens.evaluation.inference.groups import design_effect_in_words
from matlens.evaluation.metrics.metric import METRICS
from matlens.evaluation.metrics.stored import scores_in
from matlens.evaluation.results import Results
from matlens.system.files import write_json, write_text

SERIES_JSON = "series_results.json"


class SeriesComparison(ComparedMethods):
    """Compared methods that write themselves."""

    @classmethod
    def of(cls, over: Over, protocol: str, methods: Sequence[JudgedMethod], published: tuple[Published, ...] = (),
           pending: str = "") -> SeriesComparison:
        """Compare methods.

        Args:
            pending: why intervals and tests are left out for now, as a sentence for the reader.

        Raises:
            ResultsError: there are none.
        """
        if not methods:
            raise ResultsError("There is no judged model to compare yet. The same matlens run goes on from here.")
        ordered = sorted(methods, key=lambda method: (
            -statistics.fmean(result.accuracy for result in method.results.values()), method.name))
        inferred = MethodsInference({}, (), None, (pending,)) if pending else infer(
            over, ordered, same_photos=same_photos(over, ordered))
        return cls(over, protocol, tuple(_row(over, method, inferred) for method in ordered), published, inferred.tests,
                   inferred.pairs, inferred.notes)

    def to_markdown(self) -> str:
        """Write means, deviations and intervals, each run's accuracy, and what one must know."""
        return series_tables.to_markdown(self)

    def write(self, folder: Path) -> None:
        """Write model_comparison.csv, model_comparison.md and series_results.json, each whole or not at all."""
        write_json(folder / SERIES_JSON, series_tables.to_json(self))  # first: it says whose the others are
        write_text(folder / CSV_NAME, series_tables.to_csv(self))
        write_text(folder / MARKDOWN_NAME, self.to_markdown())


def _row(over: Over, method: JudgedMethod, inferred: MethodsInference) -> SeriesRow:
    judged = list(method.results.values())
    known = [{name: score.value for name, score in scores_in(vars(result)).items()} for result in judged]
    spreads = {}
    for metric in METRICS.entries():
        values = tuple(value for scores in known if (value := scores.get(metric.name)) is not None)
        if len(values) < len(judged):
            continue
        of_seeds = inferred.scores.get(method.name, {}).get(metric.name)
        interval = of_seeds.interval(metric.quantity) if of_seeds else (
            corrected_interval(values, method.test_per_train, metric.bounds) if over == "splits" else None)
        spreads[metric.name] = Spread(values, interval)
    return SeriesRow(method.name, tuple(method.results), method.missing, spreads,
                     tuple(result.n_test for result in judged), method.split_hashes, judged[0].train_on,
                     tuple(dict.fromkeys(remark for result in judged for remark in _of_any_run(result))))


def _of_any_run(result: Results) -> list[str]:
    """Return the remarks of a run, to be joined, without the design effect, which differs from seed to seed."""
    effect = None if result.design_effect is None else design_effect_in_words(result.design_effect)
    return [(remark.replace(effect, "") if effect else remark).rstrip(".") for remark in result.remarks]
