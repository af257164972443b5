"""Where this machine keeps things: on Kaggle, which is recognised by its /kaggle/input folder, or elsewhere."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from matlens.errors import SettingsError
from matlens.system.untrusted import in_short

Place = str | os.PathLike[str]
"""A path, as text or as a path object."""

KAGGLE_ROOT = Path("/kaggle")


def is_kaggle() -> bool:
    """Return whether this is a Kaggle notebook: /kaggle/input exists."""
    return (KAGGLE_ROOT / "input").exists()


def input_folder(dataset_name: str) -> Path:
    """Return where Kaggle mounts a dataset."""
    return KAGGLE_ROOT / "input" / dataset_name


def working_folder() -> Path:
    """Return the folder that Kaggle saves with a notebook."""
    return KAGGLE_ROOT / "working"


def default_data_dir(dataset_name: str) -> Path:
    """Return where the photos of a dataset are unless a setting says otherwise."""
    return input_folder(dataset_name) if is_kaggle() else Path("data") / dataset_name.rsplit("/", 1)[-1]


def default_folder(name: str) -> Path:
    """Return a folder for results: below Kaggle's working folder, elsewhere below the current one."""
    return working_folder() / name if is_kaggle() else Path(name)


def new_run_folder() -> Path:
    """Return the folder of a run for which nobody named one."""
    return working_folder() if is_kaggle() else Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")


def expanded(path: Place) -> Path:
    """Return a path in which `~` stands for the home folder, as in a shell. Raises ValueError for what is no path.

    A shell expands it in `--out ~/x`, and not in `--out=~/x` or in a settings file.
    """
    words = os.fspath(path)
    if not words or "\0" in words:
        raise ValueError("must be a path: it is empty, or holds a NUL")
    try:
        place = Path(words).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, and there is no such home folder; give the whole path") from None
    try:
        place.stat()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise ValueError(f"cannot be a path: {error.strerror}") from None
    return place


def path_in(variable: str) -> Path | None:
    """Return the path in an environment variable; None where it is empty. Raises SettingsError for what is no path."""
    given = os.environ.get(variable)
    try:
        return expanded(given) if given else None
    except ValueError as error:
        raise SettingsError(f"{variable}={in_short(given or '')} {error}. Set it to a path, or unset it: "
                            f"unset {variable}") from error


def default_cache_dir() -> Path:
    """Return `MATLENS_CACHE`, else the platform's cache folder; on Kaggle one that is not saved with the notebook."""
    if chosen := path_in("MATLENS_CACHE"):
        return chosen
    if is_kaggle():
        return Path("/tmp/matlens-cache")
    from platformdirs import user_cache_path

    try:
        return user_cache_path("matlens", appauthor=False)
    except RuntimeError as error:
        raise SettingsError("There is no place for the cache: this user has no home folder (HOME is not set to an "
                            "absolute path, and the system knows none). Name a folder with --cache-dir, or set "
                            "MATLENS_CACHE or HOME.") from error
