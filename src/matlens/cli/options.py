"""The options that several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", "-d", help="The dataset: class folders, train/ val/ test/, or MINC-2500.",
                                    show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; an unfinished run in it goes on.",
                                          show_default="runs/<time>, on Kaggle /kaggle/working")]
Config = Annotated[Path | None, typer.Option(envvar="MATLENS_CONFIG", help="A TOML file with any of the settings; "
                                             "options win over it.")]
Protocol = Annotated[str | None, typer.Option(
    help="How photos are divided. minc:1 ... minc:5: an official split; random: 70/15/15 of each class; grouped: the "
         "same, but what --groups names stays together; kfold:5:1 ... kfold:5:5: a fold; prepared: the folders train/ "
         "val/ test/. minc:all and kfold:5 make a run of each, and give mean and standard deviation.",
    show_default="what the folder has")]
Groups = Annotated[str | None, typer.Option(
    help="Photos that must not be divided: a file of lines path,group, or a regular expression whose (captured) text "
         "photos of a group share, such as '(scene[0-9]+)_'. Copies of a photo stay together in any case.",
    show_default=False)]
MaterialGroups = Annotated[Path | None, typer.Option(
    "--material-groups", metavar="FILE", show_default="MINC-2500's, for its classes",
    help="Materials that are alike, for accuracy at group level: a TOML file with a table groups of lists of class "
         "names. It is copied into the run's folder.")]
TrainOn = Annotated[str | None, typer.Option(help="train, or train+val: the validation photos, too, as some papers do; "
                                             "the last epoch is then kept, since nothing is left to choose one by.",
                                             show_default="train")]
Models = Annotated[str | None, typer.Option(help="Names separated by commas, or all.", show_default="all")]
Recipe = Annotated[str | None, typer.Option(help="guide: the notebook guide's hyperparameters; strong: the best that "
                                            "its time buys, a pretrained network trained from inside its trunk on.",
                                            show_default="guide")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of training.", show_default="4, strong: 9")]
ImgSize = Annotated[int | None, typer.Option(help="Side of the photos in pixels.", show_default="224")]
BatchSize = Annotated[str | None, typer.Option(
    help="Photos per training step, computed in parts where memory is short (the parts' gradients are added up). auto: "
         "the default, and a model whose process the system kills goes on by itself in parts of half the size.",
    metavar="N|auto", show_default="64, strong: 32")]
Weights = Annotated[str | None, typer.Option(help="imagenet: pretrained; none: random; auto: pretrained if there are "
                                             "any.", show_default="imagenet")]
WeightsDir = Annotated[Path | None, typer.Option(help="A folder to look for ImageNet weights in (never written to).")]
Alpha = Annotated[float | None, typer.Option(help="MobileNetV2's width.", show_default="1.0")]
Finetune = Annotated[int | None, typer.Option("--finetune-epochs", show_default="0",
                                              help="Then so many epochs with the end of the backbone unfrozen.")]
Cut = Annotated[str | None, typer.Option(help="With --finetune-epochs or --recipe strong: train what follows this "
                                         "layer; what lies before is computed once, and kept.",
                                         show_default="the guide's last 40 layers; strong: chosen for each model")]
Kept = Annotated[str | None, typer.Option("--activations", show_default="float16",
                                          help="float16 or float32: how activations at a cut are kept.")]
Augment = Annotated[bool | None, typer.Option("--augment/--no-augment", help="Vary training photos anew each epoch.",
                                              show_default="augment")]
Views = Annotated[int | None, typer.Option(help="Views of each training photo, for a frozen trunk: the photo as it is, "
                                           "and fixed variations of it.", show_default="1, strong: 4")]
Features = Annotated[bool | None, typer.Option("--feature-cache/--no-feature-cache", show_default="feature-cache",
                                               help="Compute a frozen trunk's features once; or train the plain way, "
                                               "with a new variation of each photo each epoch.")]
KeepTruncated = Annotated[bool | None, typer.Option("--keep-truncated", show_default=False,
                                                    help="Use photos whose end is missing, too.")]
Deterministic = Annotated[bool | None, typer.Option("--deterministic", show_default=False,
                                                    help="The same bytes of results each time, times aside (slower).")]
Precision = Annotated[str | None, typer.Option(
    help="What networks are trained in: float32; bfloat16 or float16, mixed with float32 where numbers are delicate, "
         "which a GPU does in about half the time and memory; auto: the shorter type that the GPU has (bfloat16 from "
         "compute capability 8.0, float16 from 7.0), on a CPU float32. Model files are float32 in any case.",
    show_default="auto")]
Seed = Annotated[int | None, typer.Option(help="Of split, weights, order and augmentation.", show_default="42")]
CacheDir = Annotated[Path | None, typer.Option(help="Where decoded photos and features are kept.",
                                               show_default="MATLENS_CACHE or the platform's cache folder")]
CacheLimit = Annotated[float | None, typer.Option(help="GB that the cache may hold after the run: beyond, what was not "
                                                  "used for longest goes, never what a run is using.",
                                                  show_default="20")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


def _have_alone(context: typer.Context, run: Path) -> Path:
    """Hold the folder of a run until the command ends."""
    from matlens.runs.lock import alone_in

    if run.is_dir() and not context.resilient_parsing:
        context.with_resource(alone_in(run))
    return run


RunArgument = Annotated[Path, typer.Argument(help="A run's folder.", callback=_have_alone, show_default=False)]
"""Of commands that write there; they have it to themselves."""


def chosen_models(models: str | None) -> tuple[str, ...] | None:
    """The names that --models lists; None where it is not given. Raises SettingsError."""
    if models is None:
        return None
    from matlens.settings.schema import Settings

    return Settings.load(options={"models": models}).models
