"""Cells of tables whose text comes from file names: a spreadsheet must not take them for formulas."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet computes. A quotation mark before it makes it text again."""

_MARK = "'"


def as_cell(text: str) -> str:
    """Return a text as a table holds it: with a mark before it where a spreadsheet would take it for a formula."""
    return f"{_MARK}{text}" if text.startswith((*_FORMULA, _MARK)) else text


def of_cell(cell: str) -> str:
    """Return the text that `as_cell` wrote, to the letter."""
    return cell.removeprefix(_MARK)
