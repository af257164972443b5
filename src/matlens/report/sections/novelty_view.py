"""What a model does not know, as its tab shows it: how unknown photos are told, and how prediction sets do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matlens.evaluation.novelty.learn import in_words
from matlens.evaluation.results import Results
from matlens.features.novelty.detectors import DETECTORS
from matlens.report.words import ends, percent, percents


@dataclass(frozen=True)
class StatedShare:
    """A share that is promised, what the test part shows, its interval, and what else there is to say."""

    name: str
    stated: str
    shown: str
    interval: str
    note: str = ""


@dataclass(frozen=True)
class NoveltyView:
    """rows: empty where nothing could be learned. how: what tells unknown photos, chosen by what, on how many photos.
    """

    headline: str
    how: str
    rows: tuple[StatedShare, ...]


def view_novelty(results: Results) -> NoveltyView | None:
    """Put what results hold into words; None of results of earlier versions."""
    figures = results.novelty
    if not figures:
        return None
    if not figures["detector"]:
        return NoveltyView("not told", f"{figures.get('remark') or in_words(figures)}", ())
    alarms, coverage = figures["false_alarms"], figures["coverage"]
    rows = [StatedShare("Test photos called unknown", percent(alarms["stated"]), percent(alarms["share"]),
                        percents(ends(alarms.get("interval"))))]
    for name, key in (("Sets that hold the true class", "overall"), ("The same, for each class", "by_class")):
        if (sets := coverage.get(key)) is not None:
            rows.append(StatedShare(name, percent(coverage["stated"]), percent(sets["share"]),
                                    percents(ends(sets.get("interval"))), _of_sets(sets)))
    return NoveltyView(f"{percent(alarms['share'])} of test photos would be called unknown", _how(figures), tuple(rows))


def _of_sets(sets: Mapping[str, Any]) -> str:
    return (f"{sets['mean_size']:.2f} classes on average; one class for {percent(sets['single'])} of photos; lowest "
            f"class {percent(sets['lowest_class'])}")


def _how(figures: Mapping[str, Any]) -> str:
    detector = DETECTORS.get(figures["detector"])
    title = detector.title if detector else figures["detector"]
    areas = ", ".join(f"{each['detector']} {each['area']:.3f}" for each in figures.get("candidates") or ())
    photos, groups, left_out = (figures.get(key) or 0 for key in ("n_validation", "n_groups", "left_out"))
    judged = f"{photos:,} validation photos" + (f" in {groups:,} independent groups" if groups < photos else "")
    aside = (f" {left_out:,} more are left out: photos that belong with them were trained on." if left_out else "")
    chosen = f", chosen by leaving out each class in turn (area under the ROC curve: {areas})" if areas else ""
    return (f"Photos unlike the training photos are told by the {title}{chosen}. Its scores are compared with those of "
            f"{judged}, which chose the epoch and this detector, too.{aside}")
