"""`matlens review`: a page on which people decide on suspicious labels and photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.frame.places import run_folder
from matlens.cli.options import MovedPhotos


def review(run: Annotated[Path, typer.Argument(help="A run's folder; last is the newest.", metavar="RUN",
                                               parser=run_folder, show_default=False)],
           corrections: Annotated[Path | None, typer.Option(
               "--corrections", metavar="FILE", help="The file to which decisions are added.",
               show_default="corrections.csv in the run's folder")] = None,
           data: MovedPhotos = None,
           audit: Annotated[bool, typer.Option("--audit/--no-audit", help="Also read all photos, for copies and poor "
                                               "ones; without it the page shows suspicious labels alone.")] = True,
           port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 8001,
           host: Annotated[str, typer.Option(help="The address to listen at; another than this machine's own needs "
                                             "--token.")] = "127.0.0.1",
           token: Annotated[str | None, typer.Option(envvar="MATLENS_TOKEN", help="What requests must state, and the "
                                                     "page asks for.", show_default=False)] = None) -> None:
    """Look at suspicious labels, copies and poor photos on a page, and decide: keep, relabel, leave out, undo.

    Each decision is added to a file at once. Photos are never touched. Train with the decisions by: matlens run
    PHOTOS --corrections FILE. Ctrl-C ends it.
    """
    from matlens.cli.options import with_photos_in
    from matlens.jobs.labelling.cards import review_cards
    from matlens.jobs.labelling.decisions_file import DecisionsFile
    from matlens.jobs.labelling.decisions_of_run import decisions_path, first_decisions
    from matlens.runs.run import Run
    from matlens.serving.frame import address_of, refuse_without_server
    from matlens.serving.review.app import make_review_app
    from matlens.serving.review.desk import ReviewDesk
    from matlens.serving.server import listening, refuse_open_door, serve
    from matlens.system.console import Reporter, echo, printable

    refuse_without_server()
    refuse_open_door(host, token, (run,), "review")
    reporter = Reporter()
    opened = with_photos_in(data, Run.open(run), needed=True, words="review")
    file = DecisionsFile(corrections or decisions_path(opened), first_decisions(opened))
    log = file.read()
    if log.torn:
        reporter.warn(f"The last line of {file.path} is not whole, as a process leaves it that is killed while it "
                      "writes. It is ignored, and the next decision replaces it.")
    address = address_of(host, port)
    with listening(host, port) as bound:  # first, since a port in use is said before photos are read
        cards = review_cards(opened, reporter, with_audit=audit)
        if not cards:
            reporter.result("No label and no photo is worth a second look.")
            return

        def started() -> None:
            echo(f"{len(cards)} photos to look at: {address}")
            echo(printable(f"decisions: {file.path}"))

        serve(make_review_app(ReviewDesk(opened, cards, file), token), bound, lambda: True, started)
