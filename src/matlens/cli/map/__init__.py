"""`matlens map`: which material is where in photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.frame.places import path, refuse_without_photos, run_folder


def map(run: Annotated[Path, typer.Argument(
            help="A run's folder (last is the newest), or an .artifact folder.", metavar="RUN", parser=run_folder,
            show_default=False)],
        images: Annotated[list[Path] | None, typer.Argument(
            help="Photos, folders of photos, and patterns such as 'photos/*.jpg'.", metavar="PHOTO",
            show_default=False)] = None,
        model: Annotated[str | None, typer.Option(help="The model of the run that answers.",
                                                  show_default="the one with the best validation accuracy")] = None,
        scales: Annotated[str | None, typer.Option(help="Sizes at which a photo is looked at, as factors of its own.",
                                                   metavar="LIST", show_default="1,1.5")] = None,
        window: Annotated[float | None, typer.Option(
            help="Side of the neighbourhood that a place is answered by, in sides of the network's photos. Smaller "
            "finds smaller things, and is less sure.", show_default="1.25")] = None,
        false_alarms: Annotated[float | None, typer.Option(
            help="Percentage of photos like the validation photos that may be called unknown.",
            show_default="5")] = None,
        out: Annotated[Path, typer.Option(help="The folder for the maps.", parser=path, show_default="maps")]
        = Path("maps"),
        json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each photo.")] = False) -> None:
    """Say which material is where in photos: a coloured overlay, class numbers as PNG, and shares of the area as JSON.

    A photo that cannot be read is named on standard error, the others are mapped, and the command exits with 2.

    Example: matlens map last photo.jpg --out maps
    """
    from matlens.jobs.answers import AnswerOptions
    from matlens.jobs.predict import AskedPhotos, predicting_artifact
    from matlens.mapping.command import MapRequest, map_photos
    from matlens.mapping.material_map import MapOptions
    from matlens.mapping.sizes import SCALES, scales_of
    from matlens.runs.places import files_named
    from matlens.system.console import Reporter, remark

    usual = MapOptions()
    options = MapOptions(SCALES if scales is None else scales_of(scales), usual.window if window is None else window,
                         AnswerOptions.in_percent(false_alarms=false_alarms).false_alarms)
    photos = images or []
    refuse_without_photos("map", [run], photos)
    asked = AskedPhotos.of(files_named(photos))
    artifact = predicting_artifact(run, model)
    if artifact.unconfirmed:
        remark(f"warning: {artifact.remark}")
    reporter = Reporter(quiet=json)
    request = MapRequest(asked.photos, asked.unlisted, out, options, json)
    if map_photos(artifact, request, reporter):
        raise typer.Exit(2)
