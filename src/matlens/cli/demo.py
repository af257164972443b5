"""`matlens demo`: the main job without photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from matlens.cli.options import Quiet, SettingsOptions
from matlens.system.stopping import orderly_stop

OPTIONS = SettingsOptions(only=("models", "max_epochs", "seed", "weights", "weights_dir", "model_options", "cache_dir",
                                "cache_limit", "device"),
                          shown={"max_epochs": "3, more for models that declare more", "weights": "auto",
                                 "models": "what two cores train in three minutes"})


def demo(out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")] = Path("runs/demo"),
         quiet: Quiet = False, **given: Annotated[Any, OPTIONS]) -> None:
    """Run the main job on drawn materials, in three minutes. Needs no photos and no network."""
    from matlens.jobs.demo import run_demo
    from matlens.system.console import Reporter

    with orderly_stop(out):
        run_demo(out, given, Reporter(quiet))
