"""`matlens compare`: models side by side, and which differences are real."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from matlens.cli.options import RunArguments

if TYPE_CHECKING:
    from matlens.comparison.series import SeriesComparison
    from matlens.comparison.table import Comparison
    from matlens.jobs.differences import Difference
    from matlens.system.console import Reporter

_FIGURES = 53
"""Columns of the table of a screen that are not the name's."""


def compare(runs: RunArguments,
            out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder for model_comparison.csv, .md, "
                                                        ".json and .png.")] = None,
            literature: Annotated[bool, typer.Option("--literature", help="Show published results on MINC-2500 below "
                                                     "those of runs on it.")] = False,
            margin: Annotated[float | None, typer.Option(
                "--margin", min=0, max=100, metavar="POINTS", show_default="the first run's", help="A difference of "
                "accuracy, in percentage points, that does not matter. Two models that are not significantly "
                "different are then called equivalent within it, or undecided.")] = None,
            choose_on: Annotated[Literal["test", "val"] | None, typer.Option(
                "--choose-on", show_default="the first run's",
                help="The part that says which model is the best.")] = None,
            html: Annotated[Path | None, typer.Option("--html", help="A file for a page with the tables and what the "
                                                      "runs differ in.")] = None,
            ) -> None:
    """Put the models of one or several runs side by side, or those of series (minc:all, kfold:5, --seeds 5).

    On a screen this prints a table; into a pipe or a file it prints Markdown with all tables.

    Example: matlens compare runs/A runs/B --html comparison.html
    """
    from matlens.comparison.displays import draw_differences
    from matlens.jobs.differences import differences_of
    from matlens.jobs.labelling.effect import effects_of_corrections
    from matlens.jobs.series import compare_folders
    from matlens.system.console import Reporter

    if out is not None:
        _refuse_others(out)
    reporter, comparison = Reporter(), compare_folders(runs, literature=literature, margin=margin or None,
                                                        choose_on=choose_on)
    if literature and not comparison.published:
        reporter.warn("--literature has published results on MINC-2500 alone. These models know other classes than its "
                      "23, so the table is as it would be without the option.")
    differences = differences_of(runs)
    if html is not None:
        from matlens.report.compared_page import write_compared_page

        write_compared_page(html, comparison, differences)
    if out is not None:
        comparison.write(out)
        draw_differences(comparison, out)
    _show(comparison, differences, reporter)
    for effect in effects_of_corrections(runs):
        reporter.result(f"corrections of labels: {effect}")
    reporter.written(out, html)


def _show(comparison: Comparison | SeriesComparison, differences: Sequence[Difference], reporter: Reporter) -> None:
    """Print a table that fits the screen and what must be known of it; into a pipe all tables as Markdown."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from matlens.comparison.markdown import NOT_THE_SAME_PHOTOS
    from matlens.comparison.series import SeriesComparison
    from matlens.evaluation.metrics.metric import METRICS
    from matlens.system.console import on_screen, printable

    columns = on_screen(console := Console(highlight=False))
    if columns is None:
        reporter.result(comparison.to_markdown())
    elif isinstance(comparison, SeriesComparison):
        for line in comparison.lines():
            reporter.result(line)
    else:
        table = Table("model", "accuracy", "95 % interval", "macro F1", "photos", "trained", box=None, pad_edge=False)
        table.columns[0].overflow = "fold"
        for column in table.columns[1:]:
            column.justify, column.no_wrap = "right", True
        for row in comparison.rows:
            shown = [METRICS[name].in_words(row.value(name)) for name in ("accuracy", "macro_f1")]
            ends = METRICS["accuracy"].ends_in_words(row.interval("accuracy"))
            seconds = "" if row.training_seconds is None else f"{row.training_seconds:,.0f} s"
            name = escape(_in_lines(printable(row.model), columns - _FIGURES))
            table.add_row(name, shown[0], ends or "", shown[1], f"{row.n_test:,}", seconds)
        console.print(table)
        if not comparison.same_photos:
            reporter.warn(f"{NOT_THE_SAME_PHOTOS} {comparison.whose_photos}")
        for sentence in comparison.sentences:
            reporter.result(f"- {sentence}")
        for row in comparison.rows:
            if row.remarks:
                reporter.result(f"- {row.model}: {row.remarks}")
        for other in comparison.published:
            reporter.result(f"published: {other.cells['model']}, accuracy {100 * other.cells['accuracy']:.1f} %; "
                            f"{other.differs}")
    for difference in differences:
        reporter.result(f"differs between the runs: {difference.in_words}")


def _in_lines(name: str, columns: int) -> str:
    """Return a model's name; on two lines, the library and the network, where it is too long for one."""
    return name if len(name) <= columns else "/\n".join(name.rsplit("/", 1))


def _refuse_others(folder: Path) -> None:
    """Raise WriteError where files lie in a folder that have the names of a comparison's, and no comparison wrote."""
    from matlens.comparison.displays import PICTURE_NAME
    from matlens.comparison.series import SERIES_JSON
    from matlens.comparison.table import CSV_NAME, JSON_NAME, MARKDOWN_NAME
    from matlens.errors import WriteError
    from matlens.system.files import read_json
    from matlens.system.untrusted import UNREADABLE

    def is_of_comparison(name: str) -> bool:
        try:
            content = read_json(folder / name)
            return type(content["format"]) is int and content.keys() >= {"models"}
        except UNREADABLE:
            return False

    names = (JSON_NAME, SERIES_JSON, CSV_NAME, MARKDOWN_NAME, PICTURE_NAME, f"{Path(PICTURE_NAME).stem}.svg")
    there = [name for name in names if os.path.lexists(folder / name)]
    whose = [name for name in (JSON_NAME, SERIES_JSON) if name in there]
    if there and not (whose and all(map(is_of_comparison, whose))):
        raise WriteError(f"{folder / there[0]} is there already, and nothing in {folder} shows that a comparison of "
                         "matlens wrote it. Nothing was changed. Move it away, or name another folder with --out.")
