"""Let one process at a time work in a run's folder, and remove what killed processes left half written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from matlens.errors import RunError
from matlens.runs.ownership import OWN_NAMES, holds_run, is_workplace, refuse_ways_out, stems_in
from matlens.system.ownership.locks import LOCK_NAME, is_lock, let_go, lock_at
from matlens.system.ownership.temporary import sweep


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Hold the lock on the folder of a run or a series; first remove what a killed process left half written there.

    The lock belongs to the operating system: it ends with the process that holds it, however that ends. Where the file
    system has no locks (a read-only folder, some network disks), and in folders that are not of runs, this does
    nothing: no name, but only its content makes a folder or a file matlens' own.

    Raises:
        RunError: another process is at work there, something in the folder leads out of it, or its lock is another's.
    """
    if path.exists() and not is_workplace(path):
        yield
        return
    refuse_ways_out(path)
    file = path / LOCK_NAME
    is_ours = holds_run(path) or is_lock(file)
    if file.exists() and not is_lock(file, empty=is_ours):
        raise RunError(f"{file} is no lock of matlens, and matlens changes no file of another's. Move it away, or name "
                       "another folder.")
    was_there = os.path.lexists(file)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    lock = lock_at(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"Another matlens is at work in {path}. Wait until it has ended, then give the same command "
                       "again; a run can also be given a folder of its own with --out.") from None
    except OSError:
        if not was_there:
            with suppress(OSError):  # a full disk takes the file, and not its content
                file.unlink()
        _remove_empty(made)
        yield
        return
    try:
        sweep(path, OWN_NAMES if is_ours else (), stems_in(path))
        yield
    finally:
        let_go(lock)
        _remove_empty(made)


def _remove_empty(made: list[Path]) -> None:
    """Remove folders that were made for the lock and hold nothing."""
    with suppress(OSError):
        for folder in made:
            folder.rmdir()
