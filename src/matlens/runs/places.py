"""What words stand for where a run or photos are asked for: `last`, `~`, and patterns that no shell expanded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from matlens.errors import DataError, RunError
from matlens.system.console import shell_word
from matlens.system.ownership.places import Place, expanded, is_kaggle, working_folder

LAST = "last"
"""Stands for the newest run where a run is asked for, unless something of that name lies there."""

_MANIFESTS = ("run.json", "series.json")


def run_folder(given: Place) -> Path:
    """Return the folder of a run that a word stands for: a path, or `last`.

    Raises:
        ValueError: it is no path.
        RunError: it is `last`, and there is no run.
    """
    folder = expanded(given)
    if str(folder) != LAST or folder.exists():
        return folder
    newest = newest_run()
    if newest is None:
        raise RunError("'last' stands for the newest run in runs/ or in this folder, and there is none. Name a run's "
                       "folder, or begin one: matlens run PHOTOS")
    return newest


def newest_run() -> Path | None:
    """Return the run or series that began last, of those in runs/ and in the current folder; on Kaggle its own."""
    places = [working_folder()] if is_kaggle() else []
    manifests = [file for name in _MANIFESTS for file in (
        *Path("runs").glob(f"*/{name}"), *Path().glob(f"*/{name}"), *(place / name for place in places))]
    times = {file.parent: file.stat().st_mtime_ns for file in manifests if file.is_file()}
    return max(times, key=lambda folder: times[folder], default=None)


def is_run(folder: Path) -> bool:
    """Return whether a folder looks as that of a run, a series or an artifact does."""
    return any((folder / name).is_file() for name in (*_MANIFESTS, "artifact.json"))


def files_named(given: Iterable[Place]) -> list[Path]:
    """Return the files of patterns such as 'photos/*.jpg', which a shell left as they are; other paths as they are.

    Raises ValueError for what is no path.
    """
    found: list[Path] = []
    for path in map(expanded, given):
        is_pattern = not path.exists() and set("*?[") & set(str(path))
        files = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))) if is_pattern else []
        found += files or [path]
    return found


def refuse_missing(files: Sequence[Path]) -> None:
    """Raise DataError where one of the files of `files_named` is not there, or is a folder."""
    if missing := [file for file in files if not file.exists()]:
        raise DataError(f"Cannot read {missing[0]}: there is no such file. Name a photo, or a pattern such as "
                        "'photos/*.jpg'.")
    if folders := [file for file in files if file.is_dir()]:
        raise DataError(f"{folders[0]} is a folder, and photos are explained one by one. Name photos, or a pattern "
                        f"such as {shell_word(str(folders[0] / '*.jpg'))}.")
