"""`matlens data counts`: how many photos there are of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.data.shared import Dataset, folder_of, refuse_no_picture


def counts(folder: Dataset,
           png: Annotated[Path | None, typer.Option("--png", help="A file for the bars: .png, .svg or .pdf.",
                                                    show_default=False)] = None,
           json: Annotated[Path | None, typer.Option("--json", help="A file for the numbers: {part: {class: photos}}.",
                                                     show_default=False)] = None) -> None:
    """Count the photos of each class, in each part where the folder is divided.

    Example: matlens data counts photos --png counts.png
    """
    from rich.console import Console

    from matlens.data.displays import ClassBars
    from matlens.data.layout.remarks import tell_unused
    from matlens.data.source.sources import open_source
    from matlens.system.console import Reporter
    from matlens.system.figures import save_figure
    from matlens.system.files import write_json

    if png is not None:
        refuse_no_picture(png, "--png")
    reporter = Reporter()
    source = open_source(folder_of(folder, reporter))
    bars = ClassBars.from_source(source)
    console = Console()
    console.print(bars.table(console.width, blocks=console.encoding.lower().startswith("utf")))
    tell_unused(source, reporter)
    if json is not None:
        write_json(json, bars.by_part)
    if png is not None:
        save_figure(bars.draw(), png)
    reporter.written(json, png)
