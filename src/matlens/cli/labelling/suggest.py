"""`matlens suggest`: which photos to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.frame.places import run_folder

_SHOWN = 10


def suggest(run: Annotated[Path, typer.Argument(help="A run's folder; last is the newest.", metavar="RUN",
                                                parser=run_folder, show_default=False)],
            folder: Annotated[list[Path], typer.Argument(help="Folders of photos that are not labelled, photos, and "
                                                         "patterns.", metavar="FOLDER", show_default=False)],
            photos: Annotated[int, typer.Option("--photos", min=1, max=100_000, help="How many photos to name.")] = 100,
            out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The table to write, as CSV.")]
            = Path("suggestions.csv"),
            model: Annotated[str | None, typer.Option(help="The model of the run that ranks.",
                                                      show_default="the one with the best validation accuracy")] = None,
            known_only: Annotated[bool, typer.Option("--known-only", help="Pass over photos that are probably of none "
                                                     "of the classes, which otherwise come first.")] = False) -> None:
    """Rank unlabelled photos by what they would teach, the most first, into a CSV.

    Photos come first of which the model is unsure, and that are unlike labelled photos and unlike each other.
    """
    from matlens.jobs.labelling.suggest import COLUMNS
    from matlens.jobs.labelling.suggest import suggest as rank
    from matlens.jobs.predict import AskedPhotos, predicting_artifact
    from matlens.runs.places import files_named
    from matlens.runs.run import Run
    from matlens.system.console import Reporter, command, printable
    from matlens.system.files import refuse_other_table

    reporter = Reporter()
    opened, artifact = Run.open(run), predicting_artifact(run, model)
    refuse_other_table(out, COLUMNS, "a table of suggestions", "Name another file with --out.")
    asked = AskedPhotos.of(files_named(folder))
    with reporter.progress("ranking photos", len(asked.photos)) as advance:
        found = rank(opened, artifact, asked, photos, lambda done, _: advance(done, ""), known_only=known_only)
    for path, reason in found.unreadable:
        reporter.warn(printable(f"left out: {path}: {reason}"))
    for count, why in ((found.labelled, "are labelled in the run already"), (found.repeated, "are files of a content "
                                                                             "that another one has"),
                       (found.strange, "are probably of none of the classes")):
        if count:
            reporter.say(f"passed over: {count} photos that {why}")
    if not found.seeded:
        reporter.warn("The features of the run's own photos are not in the cache, so photos like them are not known. "
                      f"Give them by training again: {command('rerun', run)}")
    for rank_, photo in enumerate(found.photos[:_SHOWN], 1):
        unknown = ", probably none of these" if photo.unknown else ""
        reporter.result(printable(f"{rank_:>3}  {photo.path}  ({photo.answer} {100 * photo.probability:.0f} %{unknown})"
                                  ))
    found.write(out)
    reporter.result(printable(f"{len(found.photos)} of {found.looked_at} photos, the most instructive first: {out}"))
