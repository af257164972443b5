"""Let one process at a time work in a run's folder, and remove what killed processes left half written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from matlens.errors import RunError
from matlens.runs.paths import LOCK_NAME
from matlens.runs.run import is_workplace
from matlens.system.caches import lock_at
from matlens.system.files import sweep


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Hold the lock on the folder of a run or a series; first remove what a killed process left half written there.

    The lock belongs to the operating system: it ends with the process that holds it, however that ends. Where the file
    system has no locks (a read-only folder, some network disks), and in folders that are not of runs, this does
    nothing.

    Raises:
        RunError: another process is at work there.
    """
    if path.exists() and not is_workplace(path):
        yield
        return
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    lock = lock_at(path / LOCK_NAME)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"Another matlens is at work in {path}. Wait until it has ended, then go on with the same "
                       "command; or name another folder with --out.") from None
    except OSError:
        _remove_empty(made)
        yield
        return
    try:
        sweep(path)
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        _remove_empty(made)


def _remove_empty(made: list[Path]) -> None:
    """Remove folders that were made for the lock and hold nothing."""
    with suppress(OSError):
        for folder in made:
            folder.rmdir()
