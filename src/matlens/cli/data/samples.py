"""`matlens data samples`: photos of each class side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.data.shared import Dataset, folder_of, refuse_no_picture


def samples(folder: Dataset,
            out: Annotated[Path, typer.Option("--out", "-o", help="The picture: .png, .svg or .pdf.")],
            per_class: Annotated[int, typer.Option(help="How many photos of each class are drawn.", min=1, max=50)] = 6,
            seed: Annotated[int, typer.Option(help="Random seed for choosing photos.", min=0)] = 42) -> None:
    """Draw photos of each class side by side; those that cannot be read are passed over.

    Example: matlens data samples photos --out samples.png
    """
    from matlens.data.displays import SampleGrid
    from matlens.data.layout.remarks import tell_unused
    from matlens.data.source.sources import open_source
    from matlens.system.console import Reporter
    from matlens.system.figures import save_figure

    refuse_no_picture(out, "--out")
    reporter = Reporter()
    source = open_source(folder_of(folder, reporter))
    tell_unused(source, reporter)
    with reporter.progress("reading samples", len(source.class_names)) as advance:
        grid = SampleGrid.from_source(source, per_class, seed, lambda done, _: advance(done, ""))
    save_figure(grid.draw(), out)
    reporter.result(f"{out}: {sum(map(len, grid.rows.values()))} photos of {len(grid.rows)} classes")
