"""`matlens compare`: models side by side, and which differences are real."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer


def compare(runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
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
            ) -> None:
    """Put the models of one or several runs side by side, or those of series (minc:all, kfold:5, --seeds 5)."""
    from matlens.comparison.displays import draw_differences
    from matlens.jobs.series import compare_folders
    from matlens.system.console import Reporter

    if out is not None:
        _refuse_others(out)
    reporter, comparison = Reporter(), compare_folders(runs, literature=literature, margin=margin or None,
                                                        choose_on=choose_on)
    if literature and not comparison.published:
        reporter.warn("--literature has published results on MINC-2500 alone. These models know other classes than its "
                      "23, so the table is as it would be without the option.")
    if out is not None:
        comparison.write(out)
        draw_differences(comparison, out)
    reporter.result(comparison.to_markdown())


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
