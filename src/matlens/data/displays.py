"""Draw a dataset: bars of its classes, also in a terminal, and samples of its photos.

Computing, holding and drawing are separate steps: `from_source`, the dataclass, `draw`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from matlens.data.pixels.reader import PhotoReader
from matlens.data.source.counts import count_by_part
from matlens.data.source.sources import Source
from matlens.system.console import printable
from matlens.system.figures import COLORS, INK, MUTED, class_labels, new_figure, style_axes, text_width
from matlens.types import Pixels, Progress, unheard

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

_BLOCKS = " ▏▎▍▌▋▊▉█"
_MANY_CLASSES = 30
_EMPTY = COLORS[3]

_DOTS = 150
"""Pixels per inch, as `save_figure` writes them."""

_TALLEST = 1.3
"""The ratio of height to width above which another block of rows begins."""


@dataclass(frozen=True)
class ClassBars:
    """The photos of each class by part: {part: {class: n}}, with the same classes in the same order in each part."""

    by_part: Mapping[str, Mapping[str, int]]
    name: str = ""

    @classmethod
    def from_source(cls, source: Source) -> ClassBars:
        """Count a dataset by its parts (of its first official split, or of its folders), or else as a whole."""
        return cls(count_by_part(source), source.root.name)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes in the order of the bars."""
        return tuple(next(iter(self.by_part.values())))

    def table(self, width: int = 80, blocks: bool = True) -> Table:
        """Make a table of numbers and bars, at most `width` characters wide; a part's longest bar is its largest class.

        blocks: draw with eighths of a block; otherwise with #, for encodings that have no blocks.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text

        labels = class_labels(self.class_names)
        digits = {part: len(f"{sum(counted.values()):,}") for part, counted in self.by_part.items()}
        taken = max(5, *map(len, labels)) + sum(digits.values()) + 4 * (1 + len(self.by_part))
        length = min(max((width - taken) // len(self.by_part), 0), 40)
        table = Table("class", *self.by_part, box=box.SIMPLE_HEAD, padding=(0, 1))

        def cell(part: str, n: int, most: int) -> Text:
            shown = Text(f"{n:>{digits[part]},} ", style="" if n else "bold red")
            return shown.append(bar(n, most, length, blocks), style="blue")

        for name, label in zip(self.class_names, labels, strict=True):
            table.add_row(Text(printable(label)), *(cell(part, counted[name], max(counted.values()))
                                         for part, counted in self.by_part.items()))
        table.add_section()
        table.add_row("all", *(cell(part, sum(counted.values()), 0) for part, counted in self.by_part.items()))
        return table

    def draw(self) -> Figure:
        """Draw a panel of horizontal bars for each part, on a scale of its own, each bar with its number."""
        labels, n = class_labels(self.class_names), len(self.class_names)
        font = 9.0 if n <= _MANY_CLASSES else 7.5
        names = max(text_width(label, font) for label in labels)
        height = max(n, 2) * (0.24 if n <= _MANY_CLASSES else 0.17) + 1.3  # inches
        figure = new_figure(names + 2.6 * len(self.by_part) + 0.6, height, "Photos by class", self.name)
        panels = figure.subplots(1, len(self.by_part), squeeze=False, sharey=True)[0]
        for (part, counted), axes, color in zip(self.by_part.items(), panels, COLORS, strict=False):
            values = [counted[name] for name in self.class_names]
            style_axes(axes, f"{part}: {sum(values):,}" if len(panels) > 1 else f"{sum(values):,} photos", "Photos")
            axes.grid(visible=False, axis="y")
            axes.set_axisbelow(True)
            axes.barh(range(n), values, height=0.72, color=color)
            most = max(max(values), 1)
            for row, value in enumerate(values):
                axes.text(value + 0.015 * most, row, f"{value:,}", va="center", fontsize=font - 1,
                          color=MUTED if value else _EMPTY, fontweight="normal" if value else "bold")
            axes.set_xlim(0, most * (1.06 + 0.32 * text_width(f"{most:,}", font - 1)))
            axes.locator_params(axis="x", nbins=4, integer=True)
            axes.set_ylim(n - 0.4, -0.6)
            axes.tick_params(axis="y", length=0)
            axes.set_yticks(range(n), labels, fontsize=font, parse_math=False)
        return figure


def bar(n: int, most: int, length: int, blocks: bool = True) -> str:
    """Return a bar that is `length` characters long for `most`; a number above 0 is always visible."""
    if not blocks:
        return "#" * (max(round(n / most * length), 1) if n and most else 0)
    eighths = max(round(8 * n / most * length), 1) if n and most and length else 0
    return _BLOCKS[8] * (eighths // 8) + _BLOCKS[eighths % 8].strip()


@dataclass(frozen=True)
class SampleGrid:
    """Samples of each class's photos, (side, side, 3) uint8, cut to squares; none for a class without readable ones."""

    rows: Mapping[str, Sequence[Pixels]]
    per_class: int
    side: int
    name: str = ""

    @classmethod
    def from_source(cls, source: Source, per_class: int = 6, seed: int = 42, on_progress: Progress = unheard,
                    ) -> SampleGrid:
        """Choose photos by `seed`, the same photos each time, and skip those that cannot be read.

        A class's samples depend on that class alone, not on the other classes.
        """
        side = _side_of(len(source.class_names))
        paths: dict[str, list[str]] = {name: [] for name in source.class_names}
        for photo in source.photos:
            paths[photo.class_name].append(photo.path)

        def of_class(name: str) -> list[Pixels]:
            order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(len(paths[name]))
            squares = (square(source.root / paths[name][place], side) for place in order)
            return list(islice((pixels for pixels in squares if pixels is not None), per_class))

        rows = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (name, samples) in enumerate(zip(paths, pool.map(of_class, paths), strict=True), 1):
                rows[name] = samples
                on_progress(done, len(paths))
        return cls(rows, per_class, side, source.root.name)

    def draw(self) -> Figure:
        """Draw a row for each class; many classes are drawn in blocks side by side, to be read from top to bottom."""
        labels, font = class_labels(tuple(self.rows)), 9.0 if len(self.rows) <= _MANY_CLASSES else 8.0
        cell = self.side / _DOTS  # inches
        margin = max(text_width(label, font) for label in labels) / cell + 0.25  # in cells, as all below
        block = margin + self.per_class
        blocks = next(count for count in range(1, len(labels) + 1)
                      if -(-len(labels) // count) <= _TALLEST * count * block)
        down = -(-len(labels) // blocks)
        gap = max(self.side // 32, 1)
        figure = new_figure(blocks * block * cell + 0.3, down * cell + 0.7, "Samples", self.name)
        axes = figure.subplots()
        axes.set(xlim=(0, blocks * block), ylim=(down, 0), aspect="equal")
        axes.axis("off")
        for count, (label, photos) in enumerate(zip(labels, self.rows.values(), strict=True)):
            left, top = count // down * block + margin, count % down
            axes.text(left - 0.12, top + 0.5, label, ha="right", va="center", fontsize=font, color=INK,
                      parse_math=False)
            if not photos:
                axes.text(left, top + 0.5, "no readable photo", va="center", fontsize=font, color=_EMPTY)
                continue
            strip = np.full((self.side, len(photos) * self.side, 3), 255, np.uint8)
            for place, photo in enumerate(photos):
                start = place * self.side
                strip[gap:, start + gap:start + self.side] = photo[gap:, gap:]
            axes.imshow(strip, extent=(left, left + len(photos), top + 1, top))
        axes.set(xlim=(0, blocks * block), ylim=(down, 0))  # imshow has set its own
        return figure


def _side_of(classes: int) -> int:
    """Return the side of a sample in pixels: the more classes, the smaller."""
    return 144 if classes <= 12 else 108 if classes <= _MANY_CLASSES else 80


def square(file: Path, side: int) -> Pixels | None:
    """Return the middle of a photo, (side, side, 3) uint8, or None if it cannot be read."""
    pixels = PhotoReader(min_size=(side, side)).read_or_none(file)
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    middle = pixels[top:top + short, left:left + short]
    shown = cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA if short > side else cv2.INTER_LINEAR)
    return np.asarray(shown, dtype=np.uint8)
