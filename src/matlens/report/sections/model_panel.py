"""One model's tab on the page: figures, measures, classes, galleries, and what may still be made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from matlens.comparison.row import Row
from matlens.errors import ResultsError
from matlens.evaluation.metrics.calibration import in_words
from matlens.evaluation.results import Results
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.galleries import Gallery
from matlens.models.registry import MODELS, file_stem
from matlens.report.downloads import link_to
from matlens.report.sections.gallery_view import GalleryView, PhotoPool, view_gallery
from matlens.report.sections.measures import (
    Calibrated,
    ClassScore,
    Measure,
    answered,
    calibrated,
    class_scores,
    measures,
)
from matlens.report.sections.novelty_view import NoveltyView, view_novelty
from matlens.report.sections.pictures import ALWAYS, FIRST, ON_EVALUATION, TITLES, Picture, alt_text, read_picture
from matlens.report.verdict import accuracy_interval, weakest_class
from matlens.report.words import Ends
from matlens.robustness.curves import Robustness
from matlens.runs.paths import RunPaths

PAIRS_SHOWN = 10


@dataclass(frozen=True)
class ToMake:
    """What is not there since it is made on request, and the command that makes it (RUN: the run's folder)."""

    what: str
    command: str


@dataclass(frozen=True)
class ModelPanel:
    """All of one judged model.

    key: its panel's id on the page. title: its network's name. ends: the accuracy's interval.
    absent: titles of pictures that each run draws, and this one has not. calibration: which was chosen, in words.
    novelty: what it does not know; None of results of earlier versions.
    weakest: the class with the lowest F1; None where all are alike.
    """

    key: str
    title: str
    results: Results
    row: Row
    ends: Ends | None
    pictures: tuple[Picture, ...]
    absent: tuple[str, ...]
    measures: tuple[Measure, ...]
    calibration: str
    calibrated: tuple[Calibrated, ...]
    answered: tuple[tuple[str, str], ...]
    classes: tuple[ClassScore, ...]
    gallery: GalleryView | None
    novelty: NoveltyView | None
    to_make: tuple[ToMake, ...]
    weakest: str | None

    @property
    def size(self) -> int:
        """Characters of its pictures and heat maps; the photos of its galleries are in the pool."""
        return sum(len(picture.base64) for picture in self.pictures) + (self.gallery.size if self.gallery else 0)

    @property
    def first_pictures(self) -> tuple[Picture, ...]:
        """The pictures that are seen before anything is unfolded."""
        return tuple(picture for picture in self.pictures if picture.kind in FIRST)

    @property
    def more_pictures(self) -> tuple[Picture, ...]:
        """The other pictures."""
        return tuple(picture for picture in self.pictures if picture.kind not in FIRST)


def panel_keys(names: list[str]) -> list[str]:
    """Make an id for each model's panel, of letters, digits, - and _ alone; links to it stay while names do."""
    keys: list[str] = []
    for name in names:
        plain = key = f"model-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}"
        while key in keys:
            key = f"{plain}-{len(keys) + 1}"
        keys.append(key)
    return keys


def view_model(paths: RunPaths, key: str, results: Results, row: Row, pool: PhotoPool, problems: list[str],
               room: int) -> ModelPanel:
    """Gather what there is of a model; sentences on what is damaged, or has no room, are added to `problems`.

    room: characters that the page has for its pictures and galleries. The pictures that say most come first.
    """
    pictures = {kind: picture for kind in TITLES if _belongs(kind, results) and (
        picture := read_picture(paths.picture(row.model, kind), kind, *TITLES[kind], alt_text(kind, results),
                                link_to(f"reports/{file_stem(row.model)}_{kind}.png")))}
    left_out = []
    for kind in sorted(pictures, key=lambda kind: kind not in FIRST):
        if (size := len(pictures[kind].base64)) <= room:
            room -= size
        else:
            left_out.append(TITLES[kind][0])
    gallery, before = None, dict(pool.photos)
    try:
        gallery = view_gallery(paths, results, pool)
    except ResultsError as error:
        problems.append(str(error))
    has_gallery = gallery is not None
    if gallery is not None and pool.size - sum(len(photo.jpeg) for photo in before.values()) + gallery.size > room:
        pool.photos, gallery = before, None
        left_out.append("galleries")
    if left_out:
        problems.append(f"{row.model}: {', '.join(left_out)} are not on this page, which would be too large with them. "
                        "The files are in the folder reports.")
    absent = tuple(TITLES[kind][0] for kind in ALWAYS if kind not in pictures)
    if absent:
        problems.append(f"{row.model}: no picture of {', '.join(absent)}.")
    return ModelPanel(key, MODELS[row.model].title if row.model in MODELS else "", results, row, accuracy_interval(row),
                      tuple(shown for shown in pictures.values() if shown.title not in left_out), absent,
                      measures(results), _calibration(results), calibrated(results), answered(results),
                      class_scores(results), gallery,
                      view_novelty(results), _to_make(results, pictures.__contains__, has_gallery),
                      weakest_class(results))


def _calibration(results: Results) -> str:
    words = in_words(results.calibration or {})
    return words[:1].upper() + words[1:]


def _belongs(kind: str, results: Results) -> bool:
    """Tell whether a picture is of the results as they are: one on request may be older than the model."""
    return kind not in (Faithfulness.kind, Robustness.kind) or getattr(results, kind) is not None


def _to_make(results: Results, is_drawn: Callable[[str], bool], has_gallery: bool) -> tuple[ToMake, ...]:
    possible = [kind for kind in ON_EVALUATION if kind not in ("reliability", "coverage") or getattr(
        results, {"reliability": "calibration", "coverage": "coverage"}[kind])]
    wanted = (
        (results.novelty is not None, "Which photos it does not know, and sets of classes that a photo may well be of",
         "matlens evaluate RUN"),
        (all(map(is_drawn, possible)) and bool(results.intervals),
         "More pictures: class scores, most frequent mistakes, reliability, coverage", "matlens evaluate RUN"),
        (has_gallery, "Galleries of mistakes and of hits that were not sure, with heat maps",
         Gallery.command_for("RUN")),
        (results.faithfulness is not None, "Whether the heat maps are faithful",
         Faithfulness.command_for("RUN")),
        (results.robustness is not None, "Accuracy on degraded photos", Robustness.command_for("RUN")))
    return tuple(ToMake(what, command) for there, what, command in wanted if not there)
