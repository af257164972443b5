"""Lines of the table that `benchmarks/gpu.py` prints and writes."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MARK = "@line "
"""Begins those lines of a child's standard output that carry a `Line`."""


@dataclass(frozen=True)
class Line:
    """One line of the table.

    value, peer_value: in `unit`; None where nothing was measured.
    peer: what was measured beside it in the same process or call.
    at_least, at_most: bounds of `value` that were asked for.
    ratio_at_least, ratio_at_most: bounds of value / peer_value.
    note: the spread, n, or why it failed.
    """

    what: str
    value: float | None = None
    unit: str = ""
    peer: str = ""
    peer_value: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the peer's."""
        return self.value / self.peer_value if self.value is not None and self.peer_value else None

    @property
    def reached(self) -> bool | None:
        """Whether all that was asked for is reached; None where nothing was asked for."""
        asked = [(self.value, self.at_least, self.at_most), (self.ratio, self.ratio_at_least, self.ratio_at_most)]
        bounded = [(value, low, high) for value, low, high in asked if low is not None or high is not None]
        if not bounded:
            return None
        return all(value is not None and (-math.inf if low is None else low) <= value <= (
            math.inf if high is None else high) for value, low, high in bounded)

    @property
    def asked(self) -> str:
        """What was asked for, in words."""
        words = [(self.at_least, "at least {}"), (self.at_most, "at most {}"),
                 (self.ratio_at_least, "at least {} x the peer"), (self.ratio_at_most, "at most {} x the peer")]
        return ", ".join(text.format(number(bound)) for bound, text in words if bound is not None)

    def tell(self) -> None:
        """Print the line for the process that started this one."""
        print(MARK + json.dumps(dataclasses.asdict(self)), flush=True)

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells, in the order of `HEADINGS`."""
        reached = {True: "yes", False: "no", None: ""}[self.reached]
        peer = f"{self.peer} {number(self.peer_value)}".strip() if self.peer else ""
        return (self.what, f"{number(self.value)} {self.unit}".strip(), peer,
                "" if self.ratio is None else f"{self.ratio:.2f}", self.asked, reached, self.note)


HEADINGS = ("what", "measured", "peer, same call", "ratio", "asked for", "reached", "n, spread, remarks")


def number(value: float | None) -> str:
    """Write a number with three digits that count, and thousands whole."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def markdown(lines: Iterable[Line], facts: Mapping[str, str]) -> str:
    """Write the table, under the facts of the machine, as Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in lines)]
    table = "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"
                      for row in rows)
    about = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return f"# matlens on a GPU\n\n{about}\n\n{table}\n"


def write(folder: Path, lines: list[Line], facts: Mapping[str, str]) -> None:
    """Write gpu.md and gpu.json into the folder, each whole."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"facts": dict(facts), "lines": [{**dataclasses.asdict(line), "ratio": line.ratio,
                                                "reached": line.reached} for line in lines]}
    for name, text in (("gpu.md", markdown(lines, facts)), ("gpu.json", json.dumps(content, indent=1) + "\n")):
        partial = folder / f".{name}"
        partial.write_text(text, "utf-8")
        partial.replace(folder / name)
