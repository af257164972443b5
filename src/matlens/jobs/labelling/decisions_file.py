"""Add decisions to their file: at its end, at once on the disk, and one process at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from matlens.errors import DataError, WriteError
from matlens.settings.corrections.decisions import HEADER, Decision, DecisionLog
from matlens.system.files import appending
from matlens.system.ownership.locks import lock_at, turn
from matlens.system.untrusted import open_regular, reading

_WAY_OUT = "Mend that line in an editor, or name another file with --corrections."


class DecisionsFile:
    """A file of decisions on labels. Several processes, and several threads of each, may add to it.

    begin: what a new file holds before its first decision, such as the corrections that a run applied.
    """

    def __init__(self, path: Path, begin: DecisionLog | None = None) -> None:
        self.path, self._begin = path, begin or DecisionLog()
        self._lock = threading.Lock()

    def read(self) -> DecisionLog:
        """Read all decisions. Raises DataError where the file is damaged, apart from a torn last line."""
        with reading(self.path, "a file of decisions on labels", DataError, _WAY_OUT):
            try:
                return DecisionLog.read(self.path)
            except FileNotFoundError:
                return self._begin

    def add(self, decide: Callable[[DecisionLog], Decision]) -> DecisionLog:
        """Add the decision that `decide` makes of those that are there by now, and return all of them.

        A torn last line, which a killed process left, is replaced. When this returns, the decision is on the disk.

        Raises:
            DataError: the file is damaged.
            WriteError: it cannot be written. Nothing was decided.
        """
        with self._lock, turn(lock_at(self.path.with_name(f".{self.path.name}.lock")), lambda: None):
            log = self.read()
            decision = decide(log)
            try:
                self._append(log, decision)
            except OSError as error:
                raise WriteError(f"Cannot write {self.path}: {error.strerror or error}. The decision was not taken.",
                                 error.errno, error.strerror or "") from error
            return self.read()

    def _append(self, log: DecisionLog, decision: Decision) -> None:
        line = decision.line()
        with appending(self.path) as file:
            before = file.seek(0, os.SEEK_END)
            if log.torn:
                file.truncate(before := log.size)
            if not before:
                line = HEADER + b"".join(earlier.line() for earlier in self._begin.decisions) + line
            elif not _ends_a_line(self.path, before):
                line = b"\n" + line
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # half a line would be ignored, too
                    os.ftruncate(file.fileno(), before)
                raise


def _ends_a_line(path: Path, size: int) -> bool:
    with open_regular(path) as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
