"""What the words of a command line stand for: paths, runs by the word `last`, and files by a pattern."""

from __future__ import annotations

from pathlib import Path

import typer

LAST = "last"
"""Stands for the newest run where a run is asked for, unless something of that name lies there."""

_MANIFESTS = ("run.json", "series.json")


def path(given: str) -> Path:
    """Return the path that a word stands for; `~` is the home folder, also in `--out=~/x`."""
    from matlens.system.ownership.places import expanded

    try:
        return expanded(given)
    except ValueError as error:
        raise typer.BadParameter(f"'{given}' {error}") from None


def run_folder(given: str) -> Path:
    """Return the folder of a run that a word stands for: a path, or `last`."""
    folder = path(given)
    if given != LAST or folder.exists():
        return folder
    newest = newest_run()
    if newest is None:
        raise typer.BadParameter("'last' stands for the newest run in runs/ or in this folder, and there is none. Name "
                                 "a run's folder, or begin one: matlens run PHOTOS")
    return newest


def newest_run() -> Path | None:
    """Return the run or series that began last, of those in runs/ and in the current folder; on Kaggle its own."""
    from matlens.system.ownership.places import is_kaggle, working_folder

    places = [working_folder()] if is_kaggle() else []
    manifests = [file for name in _MANIFESTS for file in (
        *Path("runs").glob(f"*/{name}"), *Path().glob(f"*/{name}"), *(place / name for place in places))]
    times = {file.parent: file.stat().st_mtime_ns for file in manifests if file.is_file()}
    return max(times, key=lambda folder: times[folder], default=None)


def is_run(folder: Path) -> bool:
    """Return whether a folder looks as that of a run, a series or an artifact does."""
    return any((folder / name).is_file() for name in (*_MANIFESTS, "artifact.json"))


def files_named(given: Path) -> list[Path]:
    """Return the files of a pattern such as 'photos/*.jpg', which a shell left as it is; a path itself otherwise."""
    if given.exists() or not set("*?[") & set(str(given)):
        return [given]
    above = Path(given.anchor)
    return sorted(above.glob(str(given.relative_to(given.anchor)))) or [given]
