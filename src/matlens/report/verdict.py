"""The verdict of a comparison in words: who leads, whether that is real, and what to know before believing it."""

from __future__ import annotations

from dataclasses import dataclass

from matlens.comparison.compared import ComparedModels
from matlens.comparison.markdown import NOT_THE_SAME_PHOTOS
from matlens.comparison.row import Row
from matlens.evaluation.intervals import wilson
from matlens.evaluation.results import Results
from matlens.report.words import Ends, percent, percents
from matlens.system.console import listed


@dataclass(frozen=True)
class Verdict:
    """A headline, and the sentences below it."""

    headline: str
    sentences: tuple[str, ...] = ()


NOTHING_YET = Verdict("No model has been judged yet", ("The same command goes on from here.",))

_LEVEL = "are right equally often"


def accuracy_interval(row: Row) -> Ends | None:
    """Return the accuracy's 95 % interval: the bootstrap's, or Wilson's where results of single photos hold none."""
    if (ends := row.interval("accuracy")) or row.n_groups is not None:
        return ends
    closed = wilson(row.accuracy * row.n_test, row.n_test)
    return (closed.low, closed.high) if closed else None


def verdict(comparison: ComparedModels, best: Results) -> Verdict:
    """Say whether the first model is better than each other one, by the paired tests; `best` are its results."""
    first = comparison.rows[0]
    if not comparison.same_photos:
        return Verdict("These models cannot be ranked", (NOT_THE_SAME_PHOTOS,))
    ends = accuracy_interval(first)
    right = f"right on {percent(first.accuracy)} of {first.tested}"
    if ends:
        right += f" (95\u00a0% interval: {percents(ends)})"
    headline = _headline(comparison)
    subject = first.model if headline.endswith(_LEVEL) else "It"
    sentences = [f"{subject} is {right}."] if headline else []
    return Verdict(headline or f"{first.model} is right on {percent(first.accuracy)} of {first.tested}",
                   (*(sentences or _interval_alone(ends)), *weakest(best), *_of_the_first(comparison),
                    *_chance(first, ends, best)))


def _headline(comparison: ComparedModels) -> str:
    """Say which model leads; nothing where there is one model alone."""
    first, *others = comparison.rows
    if not others:
        return ""
    tests = {row.model: comparison.pairs and comparison.pairs.between(first.model, row.model) for row in others}
    untested = [name for name, test in tests.items() if not test]
    chosen = comparison.choice is not None and comparison.choice.on == "val"
    leads = f"{first.model}, chosen on validation," if chosen else first.model
    if untested:
        return (f"{leads} is not tested against {listed(untested)}" if chosen else
                f"{first.model} has the highest accuracy; whether it is better than {listed(untested)} is not tested")
    if ahead := [name for name, test in tests.items() if test and test.is_real and test.better == name]:
        return f"{leads} is not confirmed: on the test part {listed(ahead)} is better"
    unclear = [name for name, test in tests.items() if test and not test.is_real]
    if not unclear:
        return f"{leads} is the best of {len(comparison.rows)} models"
    level = [name for name in unclear if (test := tests[name]) and not test.difference]
    if level == unclear:
        return f"{listed([first.model, *level])} {_LEVEL}"
    alike = [name for name in unclear if (test := tests[name]) and test.is_equivalent]
    if alike == unclear:
        return f"{leads} is equivalent to {listed(alike)}, within the margin"
    return f"{leads} {'is' if chosen else 'leads, but is'} not significantly different from {listed(unclear)}"


def _interval_alone(ends: Ends | None) -> list[str]:
    if not ends:
        return []
    return [f"95\u00a0% confidence interval: {percents(ends)}."]


def _of_the_first(comparison: ComparedModels) -> list[str]:
    """Say what the paired tests tell of the first model, and which could not be made."""
    pairs, name = comparison.pairs, comparison.rows[0].model
    chosen = list(filter(None, [comparison.choice.sentence()])) if comparison.choice else []
    if not pairs:
        return chosen
    return [*chosen, *(test.sentence() for test in pairs.tests if name in (test.first, test.second)), *pairs.notes,
            *pairs.refused]


def weakest_class(results: Results) -> str | None:
    """Return the class with the lowest F1; None without mistakes, or where all classes are alike."""
    f1 = {name: score["f1"] for name, score in results.per_class.items() if score["support"]}
    return min(f1, key=f1.__getitem__) if f1 and min(f1.values()) < max(f1.values()) else None


def weakest(best: Results) -> list[str]:
    """Name the class with the lowest F1, and the pair that is confused most often, in a sentence or two of one item."""
    sentences = []
    if (name := weakest_class(best)) is not None:
        score = best.per_class[name]
        found = round(score["recall"] * score["support"])
        sentences.append(f"Its weakest class is {name}: {found:,} of {round(score['support']):,} photos are found "
                         f"(F1 {percent(score['f1'])}).")
    if best.confused_pairs:
        sentences.append(_most_confused(best))
    return [" ".join(sentences)] if sentences else []


def _most_confused(best: Results) -> str:
    """Name the pair of classes that is confused most often, or say that several are as often."""
    pair = best.confused_pairs[0]
    if any(other["photos"] == pair["photos"] for other in best.confused_pairs[1:]):
        return (f"No two classes are confused more often than all others: several, such as {pair['true']} taken for "
                f"{pair['predicted']}, are by {pair['photos']:,} photo{'s' * (pair['photos'] != 1)} each.")
    of_class = round(best.per_class.get(pair["true"], {}).get("support", 0))
    return (f"It most often takes {pair['true']} for {pair['predicted']}: {pair['photos']:,} of {of_class:,} photos of "
            f"{pair['true']}.")


def _chance(first: Row, ends: Ends | None, best: Results) -> list[str]:
    """Say what always giving the same answer would come to."""
    support = {name: score["support"] for name, score in best.per_class.items()}
    total = sum(support.values())
    if not total:
        return []
    most = max(support.values())
    share, common = most / total, [name for name, count in support.items() if count == most]
    why = ""
    if len(common) == len(support):
        always = "Always giving the same answer"
        why = f" (each of the {len(support)} classes has {round(most):,} test photos)"
    else:
        which = "the most frequent class" if len(common) == 1 else f"one of the {len(common)} most frequent classes"
        always = f"Always answering “{common[0]}”, {which},"
    clear = ends is not None and ends[0] > share
    return [f"{always} would be right on {percent(share)}{why}{'' if clear else ', which is not clearly less'}."]
