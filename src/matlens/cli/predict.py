"""`matlens predict`: what photos show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(run: Annotated[Path, typer.Argument(help="A run's folder, or an .artifact folder.", show_default=False)],
            images: Annotated[list[Path], typer.Argument(help="Photos.", show_default=False)],
            model: Annotated[str | None, typer.Option(help="The model of the run that predicts.",
                                                      show_default="the one with the best validation accuracy")] = None,
            int8: Annotated[bool, typer.Option("--int8", help="Use the INT8 version that matlens export --int8 made.")]
            = False,
            json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each photo, with all "
                                               "probabilities.")] = False,
            ) -> None:
    """Say what photos show: one line a photo with path, class and probability."""
    from matlens.jobs.predict import predict_files, predicting_artifact
    from matlens.system.console import echo

    failed = 0
    for line, is_error in predict_files(predicting_artifact(run, model, int8=int8), images, as_json=json):
        echo(line, err=is_error)
        failed += is_error
    if failed:
        raise typer.Exit(2)
