"""End a run in an orderly way on Ctrl-C (SIGINT), and on SIGTERM, which `kill`, Slurm and containers send."""

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
    """Let a signal end the command inside within seconds; one line then says how to go on.

    The processes that the command started end with it, wherever it waits. By then what is on disk is whole.

    Args:
        out: the folder of the run that the same command goes on with; None where it starts over.

    Raises:
        SystemExit: 130 after SIGINT, 143 after SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be handled
        yield
        return
    # An ignored signal stays ignored: a shell starts background jobs without SIGINT, and nohup relies on it.
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in handled}
    try:
        yield
    except _Stopped as stopped:
        way_on = ("what was finished is kept. The same command makes what is missing." if out is None else
                  f"what was finished is kept, of a training its last whole epoch. Go on with: {_command(out)}")
        print(f"\nstopped by {signal.Signals(stopped.number).name}: {way_on}", file=sys.stderr, flush=True)
        raise SystemExit(128 + stopped.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stopped(BaseException):
    """A signal arrived. It is no Exception, so that nothing that handles errors handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stopped(number)


def _command(out: Path) -> str:
    """Return the command that was given, with the run's folder, whose name may come from the time."""
    given = sys.argv[1:]
    named = any(argument.startswith(("--out", "-o")) for argument in given)
    return shlex.join(["matlens", *given, *(() if named else ("--out", str(out)))])
