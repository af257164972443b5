"""The page's section on corrections of labels: how many, where, and what they alone change of the test accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from matlens.data.source.sources import PARTS
from matlens.data.split.splits import CorrectedPhoto, Split
from matlens.errors import DataError, ResultsError
from matlens.evaluation.corrected import BothLabels, by_both_labels
from matlens.evaluation.predictions import Predictions
from matlens.runs.paths import RunPaths

PHOTOS_SHOWN = 50


@dataclass(frozen=True)
class CorrectionsView:
    """What the section shows.

    rows: (kind, photos of each part). photos: all that were corrected, of which the first PHOTOS_SHOWN are named.
    """

    parts: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    models: tuple[BothLabels, ...]
    photos: tuple[CorrectedPhoto, ...]

    @property
    def listed(self) -> list[tuple[str, str]]:
        """The photos that are named, each with what was done."""
        return [(photo.path, f"{photo.given}, now {photo.to} ({photo.part})" if photo.to
                 else f"{photo.given}, left out of {photo.part}") for photo in self.photos[:PHOTOS_SHOWN]]

    @property
    def more(self) -> int:
        """How many photos are not named."""
        return max(len(self.photos) - PHOTOS_SHOWN, 0)

    @property
    def test_left_out(self) -> int:
        """Test photos that were left out."""
        return sum(photo.part == "test" and not photo.to for photo in self.photos)


def view_corrections(paths: RunPaths, models: Iterable[str]) -> CorrectionsView | None:
    """Read what a run corrected, and judge its models' saved answers by both labels; None of a run without any."""
    try:
        split = Split.read(paths.split_file)
    except DataError:  # the page names what is wrong with it
        return None
    if not split.corrected:
        return None
    counts = Counter(("relabelled" if photo.to else "left out", photo.part) for photo in split.corrected)
    rows = tuple((kind, tuple(counts[kind, part] for part in PARTS)) for kind in ("relabelled", "left out"))
    return CorrectionsView(PARTS, rows, tuple(filter(None, (_judged(paths, split, model) for model in models))),
                           split.corrected)


def _judged(paths: RunPaths, split: Split, model: str) -> BothLabels | None:
    try:
        return by_both_labels(model, Predictions.read(paths.predictions_file(model)), split)
    except ResultsError:
        return None
