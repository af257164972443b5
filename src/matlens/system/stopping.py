"""An orderly end of a run: on Ctrl-C (SIGINT), and on SIGTERM, which `kill`, Slurm and containers send."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn


@contextmanager
def orderly_stop(out: Path | None = None) -> Iterator[None]:
    """Inside, a signal ends the command within seconds, and one line says how to go on.

    Processes that it started end with it, wherever it waits; what is on disk is whole by then.

    Args:
        out: the folder of a run that the same command goes on with; None where it begins anew.

    Raises:
        SystemExit: 130 after SIGINT, 143 after SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be handled
        yield
        return
    # One that is ignored stays so: a shell starts background jobs without SIGINT, nohup and others rely on it.
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heard}
    try:
        yield
    except _Stopped as stopped:
        kept = ("what was finished is kept. The same command makes what is missing." if out is None else
                f"what was finished is kept, of a training its last whole epoch. Go on with: {_command(out)}")
        print(f"\nstopped by {signal.Signals(stopped.number).name}: {kept}", file=sys.stderr, flush=True)
        raise SystemExit(128 + stopped.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stopped(BaseException):
    """Not an Exception: nothing that deals with errors may deal with this."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stopped(number)


def _command(out: Path) -> str:
    """The command that was given; the run's folder is named, which may have had its name from the time."""
    given = sys.argv[1:]
    named = any(argument.startswith(("--out", "-o")) for argument in given)
    return shlex.join(["matlens", *given, *(() if named else ("--out", str(out)))])
