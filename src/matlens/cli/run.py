"""`matlens run`: the main job, once or as a series: on several splits, or with several seeds."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any

import typer

from matlens.cli.options import Config, Out, Photos, Quiet, SettingsOptions, default_out, loaded
from matlens.system.stopping import orderly_stop

OPTIONS = SettingsOptions()


def run(photos: Photos = None, out: Out = None, config: Config = None, quiet: Quiet = False,
        yes: Annotated[bool, typer.Option("--yes", help="Train however many models a pattern in --models fits. Without "
                                          "it, more than 12 are refused.", show_default=False)] = False,
        **given: Annotated[Any, OPTIONS]) -> None:
    """Do the whole job: train the models on a folder of photos, judge, explain and compare them, write the report.

    Examples: matlens run photos

    matlens run s3://bucket/photos

    matlens run photos --models inception_v1 --epochs 8 --out runs/first
    """
    from matlens.settings.checks import any_number_of_models
    from matlens.system.console import Reporter

    with any_number_of_models() if yes else nullcontext():
        settings, out = loaded(config, given, photos, "run"), out or default_out()
    if settings.on is None:
        from matlens.jobs.run import run as run_all
        from matlens.jobs.series import run_series
    else:
        from matlens.jobs.cluster.run import run_on as run_all
        from matlens.jobs.cluster.run import series_on as run_series
    with orderly_stop(out):
        (run_series if settings.is_series else run_all)(settings, out, Reporter(quiet))
