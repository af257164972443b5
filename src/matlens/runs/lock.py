"""One process at a time in a run's folder, and nothing left there of one that was killed."""

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
    """Have a run's folder, or a series', to oneself; what a killed process left half written there is removed first.

    The lock is the operating system's: it ends with the process that holds it, however that ends. Where there is none
    to be had (a read-only folder, a network disk without locks), and in folders that are not of runs, nothing is done.

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
    """Folders that were made for nothing but the lock."""
    with suppress(OSError):
        for folder in made:
            folder.rmdir()
