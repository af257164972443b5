"""The command line: `matlens` and its subcommands, in the order of the flow. Each imports its stage when called."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from matlens import __version__
from matlens.cli.data import data_app
from matlens.cli.judge import compare, evaluate
from matlens.cli.labels import labels
from matlens.cli.models import explain, export
from matlens.cli.options import (
    Alpha,
    Augment,
    BatchSize,
    CacheDir,
    CacheLimit,
    Config,
    Cut,
    Data,
    Deterministic,
    Epochs,
    Features,
    Finetune,
    Groups,
    ImgSize,
    KeepTruncated,
    Kept,
    MaterialGroups,
    Models,
    Out,
    Precision,
    Protocol,
    Quiet,
    Recipe,
    Seed,
    TrainOn,
    Views,
    Weights,
    WeightsDir,
)
from matlens.cli.registered import ListsExplainers
from matlens.cli.rerun import rerun
from matlens.errors import MatlensError
from matlens.system.files import why_unwritable
from matlens.system.stopping import orderly_stop

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]matlens demo[/bold], or [bold]matlens run --data DIR[/bold] on a folder of class folders.")


@app.callback(invoke_without_command=True)
def main_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (works anywhere on the line).")] = False,
) -> None:
    """See what things are made of: train, judge, explain and compare image classifiers of materials."""
    if version:
        typer.echo(f"matlens {__version__}")
        raise typer.Exit


@app.command()
def demo(out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")] = Path("runs/demo"),
         models: Models = None, epochs: Epochs = None, seed: Seed = None, weights: Weights = "auto",
         weights_dir: WeightsDir = None, cache_dir: CacheDir = None, cache_limit: CacheLimit = None,
         quiet: Quiet = False) -> None:
    """The main job on drawn materials, in minutes: four models, one report. Needs no photos and no network."""
    from matlens.jobs.demo import run_demo
    from matlens.system.console import Reporter

    with orderly_stop(out):
        run_demo(out, {"models": models, "max_epochs": epochs, "seed": seed, "weights": weights,
                       "weights_dir": weights_dir, "cache_dir": cache_dir, "cache_limit": cache_limit}, Reporter(quiet))


app.add_typer(data_app, name="data")


@app.command()
def run(context: typer.Context, data: Data, models: Models = None, protocol: Protocol = None, groups: Groups = None,
        train_on: TrainOn = None, recipe: Recipe = None, epochs: Epochs = None, img_size: ImgSize = None,
        batch_size: BatchSize = None, material_groups: MaterialGroups = None,
        weights: Weights = None, weights_dir: WeightsDir = None, out: Out = None, config: Config = None,
        alpha: Alpha = None, finetune_epochs: Finetune = None, cut: Cut = None, augment: Augment = None,
        views: Views = None, feature_cache: Features = None, activations: Kept = None,
        precision: Precision = None, keep_truncated: KeepTruncated = None, deterministic: Deterministic = None,
        seed: Seed = None, cache_dir: CacheDir = None, cache_limit: CacheLimit = None, quiet: Quiet = False) -> None:
    """The whole job: train the models on a folder of photos, judge, explain and compare them, write the report."""
    from matlens.data.split.protocols import is_series
    from matlens.jobs.run import run as run_all
    from matlens.jobs.series import run_series
    from matlens.settings.schema import Settings
    from matlens.system.console import Reporter

    settings, out = Settings.load(config, _options(context.params)), out or _default_out()
    with orderly_stop(out):
        (run_series if is_series(settings.protocol) else run_all)(settings, out, Reporter(quiet))


@app.command()
def train(context: typer.Context,
          model: Annotated[str, typer.Argument(help="vgg19_scratch, resnet50_transfer, mobilenetv2_transfer or "
                                               "inception_v1.", show_default=False)],
          data: Data, protocol: Protocol = None, groups: Groups = None, train_on: TrainOn = None,
          recipe: Recipe = None, epochs: Epochs = None, img_size: ImgSize = None,
          batch_size: BatchSize = None, weights: Weights = None, weights_dir: WeightsDir = None, out: Out = None,
          config: Config = None, alpha: Alpha = None, finetune_epochs: Finetune = None, cut: Cut = None,
          augment: Augment = None, views: Views = None, feature_cache: Features = None, activations: Kept = None,
          precision: Precision = None, keep_truncated: KeepTruncated = None, deterministic: Deterministic = None,
          seed: Seed = None, cache_dir: CacheDir = None, cache_limit: CacheLimit = None, quiet: Quiet = False) -> None:
    """Train one model into a run's folder, and stop there."""
    from matlens.data.split.protocols import is_series
    from matlens.errors import SettingsError
    from matlens.jobs.run import keep_to_limit, start
    from matlens.jobs.run import train as train_one
    from matlens.runs.lock import alone_in
    from matlens.settings.schema import Settings
    from matlens.system.console import Reporter

    settings = Settings.load(config, _options(context.params) | {"models": model})
    if is_series(settings.protocol):
        raise SettingsError(f"matlens train trains on one split, and {settings.protocol} stands for several: name one, "
                            "or use matlens run.")
    reporter, out = Reporter(quiet), out or _default_out()
    with orderly_stop(out), alone_in(out):
        begun = start(settings, out, reporter)
        train_one(begun, model, reporter)
        keep_to_limit(begun.folder.settings, reporter)
    reporter.result(str(begun.folder.paths.model_file(model)))


app.command()(evaluate)
app.command(cls=ListsExplainers)(explain)
app.command()(labels)
app.command()(rerun)
app.command()(compare)


@app.command()
def predict(run: Annotated[Path, typer.Argument(help="A run's folder, or an .artifact folder.", show_default=False)],
            images: Annotated[list[Path], typer.Argument(help="Photos.", show_default=False)],
            model: Annotated[str | None, typer.Option(help="Which of the run's models.",
                                                      show_default="the one with the best validation accuracy")] = None,
            int8: Annotated[bool, typer.Option("--int8", help="Use the INT8 version that matlens export --int8 made.")]
            = False,
            json: Annotated[bool, typer.Option("--json", help="A JSON object a line, all probabilities.")] = False,
            ) -> None:
    """Say what photos show: one line a photo with path, class and probability."""
    from matlens.jobs.predict import predict_files, predicting_artifact

    failed = 0
    for line, is_error in predict_files(predicting_artifact(run, model, int8=int8), images, as_json=json):
        typer.echo(line, err=is_error)
        failed += is_error
    if failed:
        raise typer.Exit(2)


app.command()(export)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """Options under the names that the settings have."""
    renamed = {"data": "data_dir", "epochs": "max_epochs"}
    return {renamed.get(name, name): value for name, value in given.items()
            if name not in ("out", "config", "quiet", "model")}


def _default_out() -> Path:
    from matlens.settings.schema import KAGGLE_ROOT, is_kaggle

    return KAGGLE_ROOT / "working" if is_kaggle() else Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")


def _say_error(message: str) -> None:
    from matlens.system.console import printable_lines

    typer.secho(f"error: {printable_lines(message)}", err=True, fg="red")


def _named(place: Any) -> str:
    return "" if place is None else os.fsdecode(place) if isinstance(place, bytes | str | os.PathLike) else str(place)


def main() -> None:
    """The console script. Exit codes: 0 done, 2 the user can mend it, 1 a defect of ours, 130 interrupted."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        with orderly_stop():
            app(arguments, prog_name="matlens")
    except MatlensError as error:
        if debug:
            raise
        _say_error(str(error))
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and (error.filename is not None or why_unwritable(error)):
            _say_error(": ".join(filter(None, (_named(error.filename), error.strerror))) + ". What was finished before "
                       "is kept; mend this, then go on with the same command.")
            raise SystemExit(2) from None
        typer.secho(f"matlens has a defect: {type(error).__name__}: {error}. Please report it with what --debug adds "
                    "to this command shows.", err=True, fg="red")
        raise SystemExit(1) from None
