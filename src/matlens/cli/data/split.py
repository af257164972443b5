"""`matlens data split`: a dataset copied into train/, val/ and test/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.data.shared import Folder
from matlens.cli.options import Groups


def split(folder: Folder,
          out: Annotated[Path, typer.Option("--out", "-o", help="The folder that gets train/, val/ and test/.")],
          train: Annotated[float, typer.Option(help="The share of each class for training.")] = 0.7,
          val: Annotated[float, typer.Option(help="The share for validation.")] = 0.15,
          test: Annotated[float, typer.Option(help="The share for testing.")] = 0.15,
          seed: Annotated[int, typer.Option(help="The seed of the division.", min=0)] = 42,
          groups: Groups = None,
          force: Annotated[bool, typer.Option("--force", help="Replace a split that is there.")] = False) -> None:
    """Copy the readable photos into train/, val/ and test/, each class divided by the same shares."""
    from matlens.notebook.prepared import create_split
    from matlens.system.console import echo

    made = create_split(folder, out, train, val, test, seed, force, groups=groups)
    echo(f"{out}: " + ", ".join(f"{part} {sum(by_class.values())}" for part, by_class in made.counts().items()))
