"""Cells of CSV files that a spreadsheet takes for what they are: text that begins as a formula does is text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from matlens.system.console import printable

_OF_FORMULAS = ("=", "+", "-", "@")


def text_cell(text: str) -> str:
    """Return text on one line, with an apostrophe before what a spreadsheet would compute (OWASP: CSV injection)."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_OF_FORMULAS) else shown


def csv_line(cells: Iterable[object]) -> str:
    """Write cells as a line of a CSV file, with its line break."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
