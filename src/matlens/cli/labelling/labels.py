"""`matlens labels`: photos whose labels are worth a second look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.frame.places import run_folder
from matlens.cli.options import Models, chosen_models


def labels(runs: Annotated[list[Path], typer.Argument(
               help="Run folders, or that of a series; last is the newest. Of several, such as the folds of a "
                    "cross-validation, photos are joined.", metavar="RUN", parser=run_folder, show_default=False)],
           models: Models = None,
           json: Annotated[Path | None, typer.Option("--json", help="A file for the whole list.")] = None,
           limit: Annotated[int, typer.Option(min=1, help="How many photos are shown.")] = 20) -> None:
    """List the test photos that are most likely mislabelled: a list to look at, not a verdict.

    The whole list of one run goes into its reports/label_issues.json, unless --models picks some of its models.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from matlens.evaluation.label_quality import label_issues
    from matlens.runs.series import runs_in
    from matlens.system.console import Reporter, complain, printable

    opened = runs_in(runs)
    chosen = chosen_models(models)
    suspects = label_issues(opened, chosen)
    console = Console(highlight=False)
    if suspects.issues:
        several = len(suspects.models) > 1
        table = Table("", "photo", "given", "suggested", "", *["models against"] * several, box=None, pad_edge=False)
        table.columns[1].overflow = "fold"
        for rank, suspect in enumerate(suspects.issues[:limit], 1):
            names = (escape(printable(name)) for name in (suspect.path, suspect.given, suspect.suggested))
            table.add_row(str(rank), *names, f"{100 * suspect.suggested_probability:.1f} %",
                          *[str(len(suspect.models_that_disagree))] * several)
        console.print(table)
    reporter = Reporter()
    reporter.result(f"{len(suspects.issues)} of {suspects.n_photos} photos may be mislabelled, judged by "
         + ", ".join(suspects.models)
         + (f"; the {limit} likeliest are shown" if len(suspects.issues) > limit else "")
         + ". This is a list to look at, not a verdict.")
    if suspects.is_near_chance and suspects.accuracy is not None and suspects.chance is not None:
        complain(f"The models' answers are right on {100 * suspects.accuracy:.1f} % of these photos, and answering the "
                 f"most frequent class on all of them on {100 * suspects.chance:.1f} %. Suspicions of models that are "
                 "hardly better than chance mean nothing: train better ones first.", "yellow", "warning")
    files = [] if json is None else [json]
    if len(opened) == 1 and chosen is None:
        files.append(opened[0].paths.label_issues_file)
    for path in files:  # last, since a folder may be read-only
        reporter.result(f"whole list: {suspects.write(path)}")
