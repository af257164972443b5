"""Say at the end of a run what came out, and what to do with it."""

from __future__ import annotations

from pathlib import Path

from matlens.comparison.table import Comparison
from matlens.errors import ResultsError
from matlens.evaluation.results import Results
from matlens.report.verdict import weakest
from matlens.runs.run import Run
from matlens.system.console import command

_SHOWN = 12
"""Mistakes that the next command explains at most."""


def report_line(folder: Path, seconds: float) -> str:
    """Name a report, what opens it in a browser, and how long it took."""
    report = folder / "report.html"
    return f"report: {report}  ({seconds:.0f} s)\n  In a browser: {report.resolve().as_uri()}"


def closing_lines(run: Run, comparison: Comparison) -> list[str]:
    """Return the winner with its weakest class, and the command that is of use next."""
    best = comparison.rows[0].model
    try:
        results = Results.read(run.paths.results_file(best))
    except ResultsError:  # the page names what is wrong with it
        return []
    mistakes = round((1 - results.accuracy) * results.n_test)
    several = "Best model: " * (len(comparison.rows) > 1)
    said = weakest(results)  # of one model that makes no mistake there is nothing to say
    lines = [" ".join([f"{several}{best}.", *said]).replace("\u00a0", " ")] if several or said else []
    if mistakes:
        lines.append("See where it was wrong: "
                     f"{command('explain', run.path, '--models', best, '--worst', min(mistakes, _SHOWN))}")
    return [*lines, f"Try it on your own photos: {command('predict', run.path, 'PHOTO_OR_FOLDER')}"]
