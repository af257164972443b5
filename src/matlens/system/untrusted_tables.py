"""Read tables of strangers, as spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

from matlens.system.untrusted import UNREADABLE, read_bounded

UNREADABLE_TABLE = (*UNREADABLE, csv.Error)
"""What reading a table of unexpected content raises."""


def read_pairs(path: Path, limit: int) -> list[list[str]]:
    """Read the cells of each line of a table that should have two columns; empty lines are left out.

    Text is in UTF-8 or UTF-16. Cells of a .tsv are divided by tabs, of other files by commas. Semicolons or tabs divide
    them where each line then has two, and not otherwise.

    Raises what UNREADABLE_TABLE names.
    """
    content = read_bounded(path, limit)
    text = content.decode("utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    found: list[list[str]] = []
    for delimiter in ("\t" if path.suffix == ".tsv" else ",", ";", "\t"):
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
        if all(len(row) == 2 for row in rows):
            return rows
        found = found or rows
    return found
