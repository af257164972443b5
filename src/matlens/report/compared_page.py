"""The page of `matlens compare --html`: models side by side, which differences are real, what the runs differ in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from matlens.comparison.markdown import NOT_THE_SAME_PHOTOS
from matlens.comparison.series import SeriesComparison
from matlens.comparison.table import Comparison
from matlens.evaluation.metrics.metric import metrics_of
from matlens.report.templating import write_page
from matlens.report.words import caveats


class Differing(Protocol):
    """What runs differ in, in words."""

    @property
    def in_words(self) -> str:
        """Write it on one line."""
        ...


def write_compared_page(path: Path, comparison: Comparison | SeriesComparison, differences: Sequence[Differing],
                        ) -> Path:
    """Write the page, whole or not at all. Raises WriteError."""
    sentences = comparison.lines() if isinstance(comparison, SeriesComparison) else [
        *([] if comparison.same_photos else [f"{NOT_THE_SAME_PHOTOS} {comparison.whose_photos}"]),
        *comparison.sentences]
    metrics = [*metrics_of("main"), *metrics_of("further")]
    table = [(row.model, [row.in_words(metric) if metric.name in row.scores else "" for metric in metrics])
             for row in comparison.rows] if isinstance(comparison, SeriesComparison) else [
        (row.model, [" ".join(filter(None, (metric.in_words(row.value(metric.name)),
                                            f"({ends})" if (ends := metric.ends_in_words(row.interval(metric.name)))
                                            else ""))) for metric in metrics]) for row in comparison.rows]
    remarks = caveats([(row.model, (row.remarks,) if isinstance(row.remarks, str) else row.remarks)
                       for row in comparison.rows])
    return write_page(path, "compared.html.j2", {}, metrics=[metric.title for metric in metrics], table=table,
                      sentences=[line for line in sentences if line.strip()], remarks=remarks,
                      differences=[difference.in_words for difference in differences])
