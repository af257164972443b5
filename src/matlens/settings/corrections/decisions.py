"""The file of decisions on labels: a table to whose end lines are added, and of which nothing is ever changed.

    time,path,sha256,from,to,action
    2026-03-01T10:12:44Z,wood/0041.jpg,9f86...,wood,paper,relabel

path is relative to the dataset's folder, sha256 is of the photo's content, `from` is the label that the folder gives
it, and `to` the one that was decided on, empty where it is left out. A line with `undo` takes back the last decision on
its photo that stands. All text is UTF-8; names of files that are none keep their bytes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from matlens.system.files import as_cell, csv_line, of_cell
from matlens.system.untrusted import quoted, read_bounded, stays_inside

Action = Literal["keep", "relabel", "leave_out", "undo"]
ACTIONS: tuple[Action, ...] = get_args(Action)

COLUMNS = ("time", "path", "sha256", "from", "to", "action")
HEADER = (",".join(COLUMNS) + "\n").encode()

FILE_LIMIT = 64 << 20
"""Bytes of the file: a decision takes 150."""

_UTF8_MARK = b"\xef\xbb\xbf"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST = 4096
"""Letters of a cell: the longest path that Linux opens."""

Content = tuple[str, str]
"""A photo that was decided on: its path, and the SHA-256 of its content."""


@dataclass(frozen=True)
class Decision:
    """A line of the file. given: the label of the folder (`from`). to: the label from now on; empty: it is left out."""

    time: str
    path: str
    sha256: str
    given: str
    to: str
    action: Action

    def line(self) -> bytes:
        """Return the line that states it, with its end. Raises ValueError for what no line can hold."""
        cells = [self.time, as_cell(self.path), self.sha256, as_cell(self.given), as_cell(self.to), self.action]
        if any(letter in cell for cell in cells for letter in "\r\n\0"):
            raise ValueError(f"a line break stands in the name {quoted(self.path)}: rename that file, or its class")
        return csv_line(cells).encode("utf-8", "surrogateescape")

    @classmethod
    def of(cls, line: bytes) -> Decision:
        """Read a line. Raises ValueError where it states no decision."""
        try:
            [cells] = csv.reader([line.decode("utf-8", "surrogateescape")], strict=True)
        except (csv.Error, ValueError) as error:
            raise ValueError(f"it is no line of a table ({error})") from None
        if len(cells) != len(COLUMNS):
            raise ValueError(f"it has {len(cells)} cells in place of {len(COLUMNS)}")
        time, path, digest, given, to, action = (*cells[:1], of_cell(cells[1]), cells[2], of_cell(cells[3]),
                                                 of_cell(cells[4]), cells[5])
        if action not in ACTIONS:
            raise ValueError(f"{quoted(action)} is none of {', '.join(ACTIONS)}")
        if max(map(len, cells)) > _LONGEST or not stays_inside(path):
            raise ValueError(f"{quoted(path)} is no path inside of a folder")
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{quoted(digest)} is no SHA-256")
        if not given or (action in ("keep", "relabel") and not to) or (action == "leave_out" and to):
            raise ValueError(f"from {quoted(given)} to {quoted(to)} does not go with {action}")
        return cls(time, path, digest, given, to, action)


@dataclass(frozen=True)
class DecisionLog:
    """The decisions of a file, in its order.

    torn: what stands behind the last whole line, as a process leaves it that was killed while it wrote; else empty.
    size: bytes of the file without that.
    """

    decisions: tuple[Decision, ...] = ()
    torn: bytes = b""
    size: int = 0

    @classmethod
    def read(cls, path: Path) -> DecisionLog:
        """Read a file. Raises OSError, or ValueError that names the line."""
        return cls.parse(read_bounded(path, FILE_LIMIT))

    @classmethod
    def parse(cls, content: bytes) -> DecisionLog:
        """Read the content of a file. Raises ValueError, which names the line."""
        whole, end, torn = content.rpartition(b"\n")
        if torn and (_is_decision(torn) or (not whole and _is_header(torn))):  # as an editor leaves it
            whole, end, torn = content, b"", b""
        lines = whole.split(b"\n") if whole else []
        if lines and not _is_header(lines[0]):
            raise ValueError(f"its first line is not {','.join(COLUMNS)}")
        if not lines and torn and not HEADER.startswith(torn):
            raise ValueError(f"its first line is not {','.join(COLUMNS)}")
        decisions = []
        for number, line in enumerate(lines[1:], 2):
            if stated := line.rstrip(b"\r"):
                try:
                    decisions.append(Decision.of(stated))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from None
        return cls(tuple(decisions), torn, len(whole) + len(end))

    @cached_property
    def standing(self) -> dict[Content, tuple[Decision, ...]]:
        """The decisions on each photo that were not taken back, in their order; a photo without any is not there."""
        return standing(self.decisions)


def standing(decisions: Iterable[Decision]) -> dict[Content, tuple[Decision, ...]]:
    """Return the decisions on each photo that were not taken back, the photo that was decided on last standing last."""
    by_photo: dict[Content, list[Decision]] = {}
    for decision in decisions:
        key = (decision.path, decision.sha256)
        on_photo = by_photo.pop(key, [])
        on_photo = on_photo[:-1] if decision.action == "undo" else [*on_photo, decision]
        if on_photo:
            by_photo[key] = on_photo
    return {key: tuple(on_photo) for key, on_photo in by_photo.items()}


def _is_decision(line: bytes) -> bool:
    try:
        Decision.of(line.rstrip(b"\r"))
    except ValueError:
        return False
    return True


def _is_header(line: bytes) -> bool:
    """Return whether a line is HEADER, as spreadsheets may write it: behind a mark of UTF-8, and in quotes."""
    text = line.removeprefix(_UTF8_MARK).rstrip(b"\r").decode("utf-8", "surrogateescape")
    return text.replace('"', "") + "\n" == HEADER.decode()
