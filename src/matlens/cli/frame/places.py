"""What the words of a command line stand for: paths, and runs by the word `last`."""

from __future__ import annotations

from pathlib import Path

import typer


def path(given: str) -> Path:
    """Return the path that a word stands for; `~` is the home folder, also in `--out=~/x`."""
    from matlens.system.ownership.places import expanded

    try:
        return expanded(given)
    except ValueError as error:
        raise typer.BadParameter(f"'{given}' {error}") from None


def run_folder(given: str) -> Path:
    """Return the folder of a run that a word stands for: a path, or `last`."""
    from matlens.errors import RunError
    from matlens.runs import places

    try:
        return places.run_folder(path(given))
    except RunError as error:
        raise typer.BadParameter(str(error)) from None
