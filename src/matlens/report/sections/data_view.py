"""The page's section on the data: photos by class and part, how they were divided, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matlens.data.source.sources import PARTS
from matlens.report.contents import mapping, photo_counts
from matlens.report.words import text_of

LEFT_OUT_SHOWN = 50


@dataclass(frozen=True)
class DataView:
    """Photos by class and part, and what was left out: `reasons` (reason, files), and the first of the files.

    facts: (what, value) of how the split came about.
    """

    facts: tuple[tuple[str, str], ...]
    parts: tuple[str, ...]
    table: tuple[tuple[str, tuple[int, ...]], ...]
    left_out: tuple[tuple[str, str], ...]
    left_out_more: int
    reasons: tuple[tuple[str, int], ...]
    remarks: tuple[str, ...]

    @property
    def totals(self) -> tuple[int, ...]:
        """Photos of each part."""
        return tuple(sum(column) for column in zip(*(counts for _, counts in self.table), strict=True))


def view_data(split: Mapping[str, Any]) -> DataView:
    """Count what is in the content of split.json."""
    left_out, counts = split.get("left_out", []), photo_counts(split)
    reasons = mapping(split.get("left_out_reasons")) or Counter(left["reason"] for left in left_out)
    together = split.get("together") or ()
    parts = tuple(part for part in PARTS if any(key[1] == part for key in counts))
    facts = [("Protocol", split.get("protocol")), ("Seed", split.get("seed")),
             ("Shares of the parts", split.get("ratios")), ("Groups", split.get("groups")),
             ("Trained on", split.get("train_on")), ("Split hash", split.get("hash")),
             ("Copies kept in one part" if split.get("seed") is not None else "Groups of copies, not all in one part",
              (together if isinstance(together, int) else len(together)) or None)]
    return DataView(
        tuple((what, text_of(value)) for what, value in facts if value not in (None, "")), parts,
        tuple((name, tuple(counts[name, part] for part in parts)) for name in split.get("class_names", [])),
        tuple((left["path"], left["reason"]) for left in left_out[:LEFT_OUT_SHOWN]),
        max(split.get("n_left_out", len(left_out)) - LEFT_OUT_SHOWN, 0), tuple(Counter(reasons).most_common()),
        tuple(map(str, split.get("remarks") or ())))
