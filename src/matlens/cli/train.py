"""`matlens train`: one model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from matlens.cli.options import Config, Late, Out, Photos, Quiet, SettingsOptions, default_out, loaded
from matlens.system.stopping import orderly_stop

OPTIONS = SettingsOptions(without=("models", "material_groups", "on", "task_cpus"))


def _model_argument() -> Any:
    from matlens.models.registry import MODELS

    return typer.Argument(help=f"The model: {', '.join(MODELS)}, or one that matlens models lists.", show_default=False)


def train(model: Annotated[str, Late(_model_argument)], photos: Photos = None, out: Out = None,
          config: Config = None, quiet: Quiet = False, **given: Annotated[Any, OPTIONS]) -> None:
    """Train one model into a run's folder, and stop there.

    Example: matlens train inception_v1 photos --out runs/first
    """
    from matlens.errors import SettingsError
    from matlens.jobs.run import keep_to_limit, start
    from matlens.runs.lock import alone_in
    from matlens.system.console import Reporter
    from matlens.training.train import train as train_one

    settings = loaded(config, given | {"models": model}, photos, f"train {model}")
    model, *more = settings.models
    if more:
        raise SettingsError(f"matlens train trains one model, and {1 + len(more)} are named. Use matlens run, or name "
                            f"one of them, such as {model}.")
    if settings.is_series:
        asked = "--seeds asks" if (settings.seeds or 1) > 1 else f"--protocol {settings.protocol} asks"
        raise SettingsError(f"matlens train trains a model once, and {asked} for several trainings: use matlens run "
                            f"--models {model}, or leave that option out.")
    if settings.on is not None:
        raise SettingsError("matlens train trains on this machine, and ON asks for a cluster. Use matlens run, or take "
                            "it out of the settings file.")
    reporter, out = Reporter(quiet), out or default_out()
    with orderly_stop(out), alone_in(out):
        begun = start(settings, out, reporter)
        train_one(begun, model, reporter)
        keep_to_limit(begun.run.settings, reporter)
    reporter.result(str(begun.run.paths.model_file(model)))
