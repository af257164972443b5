"""End a command in an orderly way on Ctrl-C (SIGINT), on SIGTERM, and where nobody reads its output any more.

SIGTERM is what `kill`, Slurm and containers send. In `matlens data audit photos | head -1` nobody reads after a line.
"""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from matlens.system.console import ESCAPES, command, complain

_SIGPIPE = 13
"""The signal by which a Unix tool ends when its reader has ended; Windows has no name for it."""


@contextmanager
def orderly_stop(out: Path | None = None) -> Iterator[None]:
    """Let a signal end the command inside within seconds; one line then says how to go on.

    The processes that the command started end with it, wherever it waits. By then what is on disk is whole.

    Args:
        out: the folder of the run that the same command goes on with; None where it starts over.

    Raises:
        SystemExit: 130 after SIGINT, 143 after SIGTERM, and 141, without a line, where nobody reads the output.
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
        if stopped.number != _SIGPIPE:
            way_on = ("what was finished is kept. The same command makes what is missing." if out is None else
                      f"what was finished is kept, a training up to its last whole epoch. Go on with: {_command(out)}")
            print(file=sys.stderr)  # ends the line of a bar
            complain(way_on, "yellow", f"stopped by {signal.Signals(stopped.number).name}")
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


class _Pipe(io.FileIO):
    """A stream of a command, which ends the command where nobody reads it any more.

    typer and rich would end it with 1, as if it had failed, where they see the system's error.
    """

    def write(self, data: Any) -> int:
        """Write bytes."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # Python flushes its streams once more on the way out
            os.close(nowhere)
            raise _Stopped(_SIGPIPE) from None


def prepare_streams() -> None:
    """Let standard output and error escape what their encoding lacks, and end the command where nobody reads them.

    A stream that the caller closed becomes one that forgets: a file of matlens must not take its number, since
    libraries print to that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors=ESCAPES, closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)
            raw = getattr(stream.buffer, "raw", stream.buffer)  # python -u has no buffer in between
            if type(raw) is io.FileIO:
                stream.flush()
                pipe = _Pipe(stream.fileno(), "wb", closefd=False)
                setattr(sys, name, io.TextIOWrapper(
                    pipe if raw is stream.buffer else io.BufferedWriter(pipe), stream.encoding, stream.errors,
                    line_buffering=stream.line_buffering, write_through=stream.write_through))


_OPENING = re.compile(r"(https?:/{1,2})(?:[^/?#\s]*@)?([^?#\s]*)(?:[?#]\S*)?", re.IGNORECASE)
"""An address; what opens it, which no message shows, is in none of the groups."""


def _command(out: Path) -> str:
    """Return the command that was given, with the run's folder, whose name may come from the time.

    Addresses are without user, password and query.
    """
    given = [_OPENING.sub(r"\1\2", argument) for argument in sys.argv[1:]]
    named = any(argument.startswith(("--out", "-o")) for argument in given)
    return command(*given, *(() if named else ("--out", out)))
