"""`matlens predict`: what photos show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(run: Annotated[Path, typer.Argument(help="A run's folder, or an .artifact folder.", show_default=False)],
            images: Annotated[list[Path], typer.Argument(help="Photos, and folders of photos.", show_default=False)],
            model: Annotated[str | None, typer.Option(help="The model of the run that predicts.",
                                                      show_default="the one with the best validation accuracy")] = None,
            int8: Annotated[bool, typer.Option("--int8", help="Use the INT8 version that matlens export --int8 made.")]
            = False,
            json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each photo, with all "
                                               "probabilities.")] = False,
            raw: Annotated[bool, typer.Option("--raw", help="Print the network's own probabilities, without the "
                                              "calibration that its evaluation chose.")] = False,
            ) -> None:
    """Say what photos show: one line a photo with path, class and probability.

    A photo that cannot be read is named on standard error, the others are predicted, and the command exits with 2.
    """
    from matlens.jobs.predict import AskedPhotos, predict_files, predicting_artifact
    from matlens.system.console import echo

    artifact, asked = predicting_artifact(run, model, int8=int8), AskedPhotos.of(images)
    if artifact.unconfirmed:
        echo(f"warning: {artifact.remark}", err=True)
    failed = 0
    for line, is_error in predict_files(artifact, asked, as_json=json, raw=raw):
        echo(line, err=is_error)
        failed += is_error
    if not json and not raw and artifact.calibrator:
        echo(f"calibrated by {artifact.calibrator.title}; --raw prints the network's own probabilities", err=True)
    if asked.others:
        echo(f"passed over: {asked.others} files that are no photos by their names", err=True)
    if failed:
        raise typer.Exit(2)
