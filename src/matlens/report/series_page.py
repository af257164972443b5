"""The page of a series: `report.html` with mean, deviation and interval of each model, and links to the runs' pages."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import quote

from matlens.comparison.paired_test import p_cell, points
from matlens.comparison.series import SeriesComparison
from matlens.evaluation.metrics.metric import Metric, metrics_of
from matlens.report.contents import read_object
from matlens.report.downloads import PAGE_NAME
from matlens.report.heading import heading_of
from matlens.report.templating import write_page
from matlens.runs.series import SeriesFolder


def write_series_report(series: SeriesFolder, comparison: SeriesComparison) -> Path:
    """Write report.html, whole or not at all."""
    links = {name: f"./{quote(folder)}/{PAGE_NAME}" for folder, name in series.runs_by_folder.items()}
    headline, sentences = _verdict(comparison)
    run, split = next(((run, read_object(series.path / folder / "split.json", [])) for folder in series.runs_by_folder
                       if (run := read_object(series.path / folder / "run.json", []))), ({}, {}))
    main, further = ([metric for metric in metrics_of(table) if not _has_another_name(metric, comparison)
                      and any(metric.name in row.scores for row in comparison.rows)] for table in ("main", "further"))
    return write_page(series.path / PAGE_NAME, "series.html.j2", {"points": points, "p_value": p_cell},
                      heading=heading_of(run, split), headline=headline, sentences=sentences, comparison=comparison,
                      links=links, main=main, further=further)


def _has_another_name(metric: Metric, comparison: SeriesComparison) -> bool:
    """Tell whether a metric is the same number as one before it in every run: of classes of one size, for one."""
    return any(metric.name == later and all(
        later in row.scores and earlier in row.scores and all(map(math.isclose, row.scores[later].values,
                                                                  row.scores[earlier].values))
        for row in comparison.rows) for earlier, later in (
            ("accuracy", "macro_recall"), ("macro_recall", "mean_class_accuracy"),
            ("macro_recall", "balanced_accuracy")))


def _verdict(comparison: SeriesComparison) -> tuple[str, list[str]]:
    """Return what is to be known first, in a line and in sentences."""
    first, *others = comparison.rows
    if not comparison.same_photos:
        return ("Not all models were judged on the same photos", [
            "Means over different photos must not be ranked; the same command goes on from here."])
    over = f"{len(first.runs)} seeds" if comparison.over == "seeds" else f"the test photos of {len(first.runs)} splits"
    sentences = list(comparison.sentences(first.model))
    if others and comparison.over == "splits":
        leads = [a - b for a, b in zip(first.accuracy.values, others[0].accuracy.values, strict=True)]
        sentences.insert(0, f"It is ahead of {others[0].model} on {sum(lead > 0 for lead in leads)} of {len(leads)} "
                            f"splits, by {100 * sum(leads) / len(leads):.1f} points on average.")
    of_what = f"of the test photos, mean of {over}" if comparison.over == "seeds" else f"of {over}"
    mean = str(first.accuracy).replace(" ", "\N{NO-BREAK SPACE}")
    return f"{first.model} is right on {mean} {of_what}", sentences
