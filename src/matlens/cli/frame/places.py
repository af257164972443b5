"""What the words of a command line stand for: paths, and runs by the word `last`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from matlens.settings.addresses import Address


def path(given: str) -> Path:
    """Return the path that a word stands for; `~` is the home folder, also in `--out=~/x`."""
    from matlens.system.ownership.places import expanded

    try:
        return expanded(given)
    except ValueError as error:
        raise typer.BadParameter(f"'{given}' {error}") from None


def photos_place(given: str) -> Path | Address:
    """Return where photos are: a path, or an address."""
    from matlens.settings.addresses import path_or_address

    return path_or_address(given)


def photo_place(given: str) -> Path | Address:
    """Return where a photo or a folder of photos is: a path, or an address of a store."""
    from matlens.settings.addresses import path_or_address

    if "://" not in given:
        return path(given)
    return path_or_address(given)


def run_folder(given: str) -> Path:
    """Return the folder of a run that a word stands for: a path, or `last`."""
    from matlens.errors import RunError
    from matlens.runs import places

    try:
        return places.run_folder(path(given))
    except RunError as error:
        raise typer.BadParameter(str(error)) from None


def refuse_without_photos(words: str, runs: Sequence[Path], photos: Sequence[Path]) -> None:
    """Raise DataError where a photo stands first, in place of a run, or no photos are named. words: the command."""
    from matlens.errors import DataError
    from matlens.runs.places import LAST
    from matlens.system.console import command

    if runs[0].is_file():
        raise DataError(f"{runs[0]} is a file, and stands where a run is expected. Name the run first: "
                        f"{command(words, *(runs[1:] or [Path(LAST)]), runs[0], *photos)}")
    if not photos:
        raise DataError("No photos are named. Name them behind the run: "
                        f"{command(words, *runs, 'PHOTO_OR_FOLDER')}")
