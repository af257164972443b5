"""`matlens data split`: a dataset copied into train/, val/ and test/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.data.shared import Dataset, folder_of
from matlens.cli.options import Groups


def split(folder: Dataset,
          out: Annotated[Path, typer.Option("--out", "-o", help="The folder that gets train/, val/ and test/.")],
          train: Annotated[float, typer.Option(help="Share of each class for training.")] = 0.7,
          val: Annotated[float, typer.Option(help="Share for validation.")] = 0.15,
          test: Annotated[float, typer.Option(help="Share for testing.")] = 0.15,
          seed: Annotated[int, typer.Option(help="Random seed for the split.", min=0)] = 42,
          groups: Groups = None,
          new_split: Annotated[bool, typer.Option("--new-split", help="Divide photos that are divided already, by "
                                             "official lists or into train/ val/ test/.")] = False,
          force: Annotated[bool, typer.Option("--force", help="Replace a split that is there.")] = False) -> None:
    """Copy the readable photos into train/, val/ and test/, each class divided by the same shares."""
    from matlens.notebook.prepared import create_split
    from matlens.system.console import Reporter, echo

    folder = folder_of(folder, Reporter())
    if not new_split:
        _refuse_divided(folder)
    made = create_split(folder, out, train, val, test, seed, force, groups=groups)
    echo(f"{out}: " + ", ".join(f"{part} {sum(by_class.values())}" for part, by_class in made.counts().items()))


def _refuse_divided(folder: Path) -> None:
    """Raise DataError where a dataset is divided already: another division gives results that nobody can compare."""
    from matlens.data.source.sources import open_source
    from matlens.errors import DataError
    from matlens.system.console import command

    source = open_source(folder)
    if source.split_numbers:
        official = ", ".join(f"minc:{number}" for number in source.split_numbers)
        raise DataError(f"{folder} has official splits ({official}), and results on another one cannot be compared "
                        f"with others'. A run takes one without copying anything: "
                        f"{command('run', folder, '--protocol', f'minc:{source.split_numbers[0]}')} -- To divide the "
                        "photos in another way all the same, add --new-split.")
    if source.layout == "prepared":
        raise DataError(f"{folder} is divided into train/ val/ test/ already. A run takes it so: "
                        f"{command('run', folder)} -- To divide the photos in another way all the same, add "
                        "--new-split.")
