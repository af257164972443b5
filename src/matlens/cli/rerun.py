"""`matlens rerun`: a run repeated from what it recorded of itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.options import CacheDir, Quiet

_NAMED = 3


def rerun(run: Annotated[Path, typer.Argument(help="The folder of a run or of a series.", show_default=False)],
          out: Annotated[Path | None, typer.Option("--out", "-o", help="The new run's folder.",
                                                   show_default="RUN-again-<time>")] = None,
          data: Annotated[Path | None, typer.Option("--data", "-d", help="The folder in which its photos are now.",
                                                    show_default="where they were")] = None,
          strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 if a figure differs.")] = False,
          cache_dir: CacheDir = None, quiet: Quiet = False) -> None:
    """Repeat a run with its settings, photos and seed into a new folder, and compare the results.

    Times and memory are not compared. With --deterministic, on the same machine, all else comes out the same.
    """
    from matlens.jobs.rerun import rerun as repeat
    from matlens.system.console import Reporter
    from matlens.system.stopping import orderly_stop

    reporter = Reporter(quiet)
    place = out or run.with_name(f"{run.resolve().name}-again-{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    with orderly_stop(place):
        repetition = repeat(run, place, reporter, data=data, cache_dir=cache_dir)
    for name in repetition.same:
        reporter.result(f"{name}: the same results")
    for name, differences in repetition.differences.items():
        more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
        reporter.result(f"{name}: {'; '.join(differences[:_NAMED])}{more}")
    if repetition.differences and strict:
        raise typer.Exit(3)
