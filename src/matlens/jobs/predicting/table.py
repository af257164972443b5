"""The table of `matlens predict --csv`: it grows by whole rows, so that the same command goes on after a kill.

    path,class,probability,unknown,unknown_p,set,model,answered_by,p_<class>,...

`answered_by` is of all that an answer depends on: rows of two models, or of two ways to ask, never mix. At the end the
rows stand in the order of the photos; rows of other photos, of an earlier list, follow them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from matlens.data.pixels.archives import PhotoPlace
from matlens.errors import DataError, WriteError
from matlens.features.artifact import Artifact
from matlens.jobs.answers import AnswerOptions
from matlens.system.console import printable
from matlens.system.files import appending, as_cell, checksum, csv_line, whole_file
from matlens.system.untrusted import open_regular

FIRST_COLUMNS = ("path", "class", "probability", "unknown", "unknown_p", "set", "model", "answered_by")
_ANSWERED_BY = FIRST_COLUMNS.index("answered_by")
_LONGEST_LINE = 1 << 20
"""Bytes of a row: of 10,000 classes they are 200 kB."""


def text_cell(text: str) -> str:
    """Return text as a cell on one line."""
    return as_cell(printable(text))


def answered_by(artifact: Artifact, question: AnswerOptions) -> str:
    """Return 16 hexadecimal digits of what answers depend on: network, head, calibration, detector and options."""
    told = hashlib.sha256(json.dumps([artifact.head_digest, asdict(question), artifact.class_names]).encode())
    description = artifact.folder / "artifact.json"
    if description.is_file():
        told.update(checksum(description).encode())
    if artifact.calibrator is not None:
        told.update(json.dumps(asdict(artifact.calibrator)).encode())
    if (novelty := artifact.novelty) is not None:
        for values in (novelty.strangeness, novelty.true_probabilities, *novelty.detector.to_arrays().values()):
            told.update(np.ascontiguousarray(values).tobytes())
    return told.hexdigest()[:16]


@dataclass(eq=False)
class AnswerTable:
    """A table on disk that is being written. rows: where the row of each photo stands: (first byte, bytes)."""

    path: Path
    artifact: Artifact
    mark: str
    _file: BinaryIO
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    _end: int = 0

    @property
    def header(self) -> bytes:
        """Its first line."""
        columns = (*FIRST_COLUMNS, *(f"p_{name}" for name in self.artifact.class_names))
        return csv_line(map(text_cell, columns)).encode()

    def has(self, place: PhotoPlace) -> bool:
        """Return whether a photo is answered."""
        return text_cell(str(place)) in self.rows

    def add(self, answers: Sequence[tuple[PhotoPlace, dict[str, Any]]]) -> None:
        """Append the answers of photos, in one piece."""
        lines = [(text_cell(str(place)), csv_line(self._cells(place, answer)).encode()) for place, answer in answers]
        self._file.write(b"".join(line for _, line in lines))
        self._file.flush()
        for name, line in lines:
            self.rows[name] = (self._end, len(line))
            self._end += len(line)

    def _cells(self, place: PhotoPlace, answer: dict[str, Any]) -> Iterator[object]:
        yield text_cell(str(place))
        yield text_cell(answer["class"])
        yield f"{answer['probability']:.6f}"
        yield "" if answer["unknown"] is None else str(answer["unknown"]).lower()
        yield "" if answer["unknown_p"] is None else f"{answer['unknown_p']:.6f}"
        yield text_cell("|".join(answer["set"] or ()))
        yield text_cell(answer["model"])
        yield self.mark
        yield from (f"{share:.6f}" for share in answer["probabilities"].values())

    def classes(self, places: Sequence[PhotoPlace]) -> Iterator[tuple[PhotoPlace, str]]:
        """Give photos that are answered with their classes, in the order of `places`."""
        named = {text_cell(name): name for name in self.artifact.class_names}
        with open_regular(self.path) as file:
            for place in places:
                if (stands := self.rows.get(text_cell(str(place)))) is not None:
                    file.seek(stands[0])
                    row = next(csv.reader([file.read(stands[1]).decode()]))
                    yield place, named[row[1]]

    def put_in_order(self, places: Sequence[PhotoPlace]) -> int:
        """Write the rows in the order of `places`, other rows behind them. Returns how many other rows there are.

        Raises WriteError where the file is not the one that was written to.
        """
        asked = dict.fromkeys(text_cell(str(place)) for place in places)
        order = [self.rows[name] for name in asked if name in self.rows]
        others = [stands for name, stands in self.rows.items() if name not in asked]
        here, there = os.fstat(self._file.fileno()), self.path.stat()
        if (here.st_ino, here.st_size) != (there.st_ino, self._end):
            raise WriteError(f"{self.path} was written to by another process meanwhile. Repeat the command: rows that "
                             "are there are not computed again.")
        if [*order, *others] != sorted(self.rows.values()) or self._end != len(self.header) + sum(
                length for _, length in self.rows.values()):
            with whole_file(self.path) as partial, open_regular(self.path) as file, partial.open("wb") as target:
                target.write(self.header)
                at, moved = len(self.header), {}
                for stands in (*order, *others):
                    file.seek(stands[0])
                    target.write(file.read(stands[1]))
                    moved[stands] = (at, stands[1])
                    at += stands[1]
            self.rows = {name: moved[stands] for name, stands in self.rows.items()}
        return len(others)

    def read_rows(self) -> None:
        """Find the rows that are there, and cut off half a row of a process that was killed.

        Raises DataError where the file is no such table, or its rows are of another model or of other options.
        """
        with open_regular(self.path) as file:
            first = file.readline(_LONGEST_LINE)
            if first != self.header and self.header.startswith(first):  # empty, or killed at its first step
                self._file.truncate(0)
                self._file.write(self.header)
                self._file.flush()
                self._end = len(self.header)
                return
            if first != self.header:
                raise DataError(f"{self.path} is there already, and is no table that this model writes: its columns "
                                "are others. Name another file with --csv.")
            self._end = len(first)
            while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
                row = next(csv.reader([line.decode("utf-8", "replace")]), [])
                if len(row) != len(FIRST_COLUMNS) + len(self.artifact.class_names):
                    raise self._foreign_row()
                if row[_ANSWERED_BY] != self.mark:
                    raise DataError(f"{self.path} holds answers of another model, of another evaluation of it, or to "
                                    "other options (--raw, --coverage, --false-alarms, --by-class). Name another file "
                                    "with --csv: the answers of two models do not mix.")
                self.rows[row[0]] = (self._end, len(line))
                self._end += len(line)
            if file.read(1):
                raise self._foreign_row()
        self._file.truncate(self._end)

    def _foreign_row(self) -> DataError:
        return DataError(f"{self.path} has a row that matlens does not write, at byte {self._end:,}. Name another file "
                         "with --csv, or remove that row.")


@contextmanager
def answer_table(path: Path, artifact: Artifact, question: AnswerOptions) -> Iterator[AnswerTable]:
    """Open the table of a file, which is made where there is none, and close it at the end.

    Raises:
        DataError: the file holds something else, or answers of another model or to other options.
        WriteError: it cannot be written.
    """
    with appending(path) as file:
        table = AnswerTable(path, artifact, answered_by(artifact, question), file)
        table.read_rows()
        yield table
