"""The pictures of a run's reports folder as its page holds them: inside the page, with words for those who see none."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from matlens.data.pixels.decode import decode
from matlens.data.pixels.problems import UnreadableImageError
from matlens.evaluation.metrics.calibration import title_of
from matlens.evaluation.metrics.metric import UNKNOWN
from matlens.evaluation.results import Results
from matlens.explanation.registry import DEFAULT_METHOD
from matlens.explanation.side_by_side import SIDE_BY_SIDE
from matlens.report.words import percent
from matlens.system.untrusted import UNREADABLE, read_bounded

LARGE = 150_000
"""Bytes. A larger PNG goes into the page as a lossless WebP, a third of it; heat maps over photos as a JPEG."""

MOST = 16_000_000
"""Bytes of a picture; a larger one is none of ours."""

_QUALITIES, _LARGEST_JPEG = (85, 70, 55, 40), 500_000
"""Of JPEGs: the first that keeps one to so many bytes. Real photos take less at the first; noise gets to the last."""

TITLES = {
    "training_curves": ("Training curves", "Loss and accuracy by epoch, or by strength of the penalty; the star marks "
                        "the one that was kept."),
    "confusion_matrix": ("Confusion matrix", "Rows are true classes, columns are answers; the darker a cell, the "
                         "larger its share of the row."),
    "roc_curves": ("ROC curves", "The share of a class's photos that are found, by the share of other photos that are "
                   "taken for it."),
    "class_scores": ("Class scores", "Recall and precision of each class with 95 % intervals, the best F1 first."),
    "confused_pairs": ("Most confused pairs", "True class and answer, as a share of the true class."),
    "reliability": ("Reliability", "Whether the model is as often right as it says, before and after calibration."),
    "coverage": ("Coverage and accuracy", "Accuracy on the photos that are answered, where the least certain ones are "
                 "left to a person."),
    DEFAULT_METHOD: ("Grad-CAM", "Where in a photo the answer comes from: bright is much, dark is little. Red titles "
                     "are mistakes."),
    "faithfulness": ("Faithfulness of the heat maps", "How the probability changes when the hottest places are removed "
                     "from the photo or put back, compared with random and centred maps."),
    "robustness": ("Accuracy on degraded photos", "One panel for each perturbation; the weakest strength is at the "
                   "left."),
}
"""Of a model's pictures, in the order of the page: title and caption."""

ALWAYS = ("training_curves", "confusion_matrix", "roc_curves", DEFAULT_METHOD)
"""Those that each run draws."""

FIRST = ("confusion_matrix", DEFAULT_METHOD)
"""Those that say most of a model at a glance."""

ON_EVALUATION = ("class_scores", "confused_pairs", "reliability", "coverage")
"""Those that `matlens evaluate` adds."""

_OVER_PHOTOS = (DEFAULT_METHOD, SIDE_BY_SIDE)
_WIDE = ("training_curves", *_OVER_PHOTOS, "faithfulness", "robustness", "model_comparison")


@dataclass(frozen=True)
class Picture:
    """A picture on the page: its content in base64, its size in pixels, and `alt` for those who cannot see it.

    link: to the file, from the page.
    """

    kind: str
    title: str
    caption: str
    alt: str
    mime: str
    base64: str
    width: int
    height: int
    link: str

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page to be read."""
        return self.kind in _WIDE or self.width > 1500


def read_picture(path: Path, kind: str, title: str, caption: str, alt: str, link: str) -> Picture | None:
    """Read a PNG of the run; None where it is not there, or is no PNG."""
    try:
        content = read_bounded(path, MOST)
    except UNREADABLE:
        return None
    if len(content) < 24 or not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    width, height = struct.unpack(">II", content[16:24])  # PNG specification, 11.2.1: IHDR comes first
    mime = "image/png"
    if len(content) > LARGE:
        mime, content = min([(mime, content), *_smaller(content, kind)], key=lambda encoded: len(encoded[1]))
    return Picture(kind, title, caption, alt, mime, base64.b64encode(content).decode("ascii"), width, height, link)


def _smaller(content: bytes, kind: str) -> list[tuple[str, bytes]]:
    """Encode the picture as another type with fewer bytes; nothing where it cannot be decoded."""
    try:
        pixels = np.ascontiguousarray(decode(content))
    except UnreadableImageError:
        return []
    if kind not in _OVER_PHOTOS:
        webp = io.BytesIO()
        Image.fromarray(pixels).save(webp, "WEBP", lossless=True, quality=50, method=1)
        return [("image/webp", webp.getvalue())]
    jpeg = b""
    for quality in _QUALITIES:
        jpeg = simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420")
        if len(jpeg) <= _LARGEST_JPEG:
            break
    return [("image/jpeg", jpeg)]


def alt_text(kind: str, results: Results) -> str:
    """Say what a model's picture shows."""
    return f"{TITLES[kind][0]} of {results.model_name}: {_told(kind, results)}."


def _told(kind: str, results: Results) -> str:
    best = max(results.per_class.items(), key=lambda item: item[1]["f1"], default=None)
    worst = min(results.per_class.items(), key=lambda item: item[1]["f1"], default=None)
    calibration, coverage = results.calibration or {}, results.coverage or {}
    match kind:
        case "training_curves":
            if results.strength is not None:
                return f"strength {results.strength:g} of the penalty is kept"
            if results.neighbours is not None:
                return f"{results.neighbours} neighbours vote"
            return f"best epoch {results.best_epoch or UNKNOWN} of {results.epochs or UNKNOWN}"
        case "confusion_matrix":
            return f"{percent(results.accuracy)} of {results.n_test:,} test photos are right"
        case "roc_curves":
            return f"macro average area {percent(results.roc_auc.get('macro'))}"
        case "class_scores" if best and worst:
            return (f"F1 from {percent(worst[1]['f1'])} ({worst[0]}) to {percent(best[1]['f1'])} ({best[0]})")
        case "confused_pairs" if results.confused_pairs:
            pair = results.confused_pairs[0]
            return f"the most frequent is {pair['true']} taken for {pair['predicted']} (photos: {pair['photos']:,})"
        case "reliability" if calibration.get("ece") is not None:
            after = calibration.get("ece_after")
            return (f"expected calibration error {percent(calibration['ece'])}"
                    + (f", {percent(after)} by {title_of(calibration)}" if after is not None else ""))
        case "coverage" if coverage.get("aurc") is not None:
            return f"area under the risk-coverage curve {coverage['aurc']:.3f}"
        case _ if kind in _OVER_PHOTOS:
            return "heat maps laid over test photos"
        case "faithfulness" | "robustness":
            return "the figures are in the table below"
        case _:
            return "the figures are in the tables of this page"
