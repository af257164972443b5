"""`matlens rerun`: a run repeated from what it recorded of itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from matlens.cli.frame.places import run_folder
from matlens.cli.options import Groups, MovedPhotos, Quiet, SettingsOptions

_NAMED = 3
PLACES = SettingsOptions(only=("weights_dir", "cache_dir", "cache_limit", "device"))


def rerun(run: Annotated[Path, typer.Argument(
              help="The folder of a run or of a series; last is the newest.", metavar="RUN", parser=run_folder,
              show_default=False)],
          out: Annotated[Path | None, typer.Option("--out", "-o", help="The new run's folder.",
                                                   show_default="RUN-again-<time>")] = None,
          data: MovedPhotos = None,
          groups: Groups = None,
          strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 if a figure differs.")] = False,
          quiet: Quiet = False, **places: Annotated[Any, PLACES]) -> None:
    """Repeat a run with its settings, photos and seed into a new folder, and compare the results.

    Where the cache and the weights are is not taken from the run, which may be a stranger's: give the options again
    that the run was given. So is a file of --groups.

    Times and memory are not compared. With --deterministic, on the same machine with the same number of usable cores,
    all else comes out the same.
    """
    from matlens.jobs.rerun import Places
    from matlens.jobs.rerun import rerun as repeat
    from matlens.system.console import Reporter
    from matlens.system.stopping import orderly_stop

    reporter = Reporter(quiet)
    place = out or run.with_name(f"{run.resolve().name}-again-{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    with orderly_stop(place):
        repetition = repeat(run, place, reporter, Places(data, groups, places))
    for name in repetition.same:
        reporter.result(f"{name}: the same results")
    for name, differences in repetition.differences.items():
        more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
        reporter.result(f"{name}: {'; '.join(differences[:_NAMED])}{more}")
    if repetition.differences and strict:
        raise typer.Exit(3)
