"""`matlens data draw`: drawn materials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def draw(folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
         photos: Annotated[int, typer.Option(help="How many photos of each material are drawn.", min=1)] = 40,
         size: Annotated[int, typer.Option(help="The side of a photo in pixels.", min=16)] = 96,
         seed: Annotated[int, typer.Option(help="Random seed for drawing.", min=0)] = 42,
         samples: Annotated[bool, typer.Option("--samples", help="Draw samples that lie on a plain ground. Otherwise "
                                               "the materials fill the photos.")] = False) -> None:
    """Draw a dataset of materials, to try things out without photos."""
    from matlens.data.drawn.synthetic import MATERIALS, draw_dataset
    from matlens.system.console import Reporter

    reporter = Reporter()
    with reporter.progress("drawing photos", photos * len(MATERIALS)) as advance:
        draw_dataset(folder, photos_per_class=photos, size=size, seed=seed, as_samples=samples,
                     on_progress=lambda done, _: advance(done, ""))
    reporter.result(f"{folder}: {photos} photos of each of {', '.join(MATERIALS)}")
