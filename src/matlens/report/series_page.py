"""The page of a series: `report.html` with mean and deviation of each model, and links to the runs' own pages."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from matlens.comparison.series import SeriesComparison
from matlens.report.downloads import PAGE_NAME
from matlens.report.templating import write_page
from matlens.runs.series import SeriesFolder


def write_series_report(series: SeriesFolder, comparison: SeriesComparison) -> Path:
    """Write report.html, whole or not at all."""
    first, *others = comparison.rows
    splits = {split: f"./{quote(name)}/{PAGE_NAME}" for name, split in series.splits.items()}
    headline = f"{first.model} is right on {first.accuracy} of the test photos of {len(first.splits)} splits"
    sentences = [f"Mean ± sample standard deviation over the splits of {series.protocol}."]
    if not comparison.same_photos:
        headline = "Not all models were judged on all splits yet"
        sentences.append("Means over different splits must not be ranked; the same command goes on from here.")
    elif others:
        leads = [a - b for a, b in zip(first.accuracy.values, others[0].accuracy.values, strict=True)]
        sentences.append(f"It is ahead of {others[0].model} on {sum(lead > 0 for lead in leads)} of {len(leads)} "
                         f"splits, by {100 * sum(leads) / len(leads):.1f} points on average.")
    return write_page(series.path / PAGE_NAME, "series.html.j2", {}, headline=headline, sentences=sentences,
                      comparison=comparison, splits=splits)
