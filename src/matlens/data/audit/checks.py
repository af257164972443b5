"""Turn the facts of photos into findings: what may be wrong with a dataset. No file is opened here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import PurePath
from statistics import median

from matlens.data.audit.photo_facts import PhotoFacts
from matlens.data.source.sources import PARTS
from matlens.system.console import listed

ADVICE = {
    "leak": "keep one photo of each group, or divide again so that a group is in one part; otherwise the test score is "
            "too high",
    "two_classes": "decide which class is right and keep one photo of it; if that cannot be told, take out the group",
    "exact_duplicate": "keep one of each group",
    "near_duplicate": "look at them, and keep one of each group if they show the same",
    "unreadable": "get these files again, or take them out",
    "empty": "get these files again, or take them out",
    "unsupported": "convert them to JPEG or PNG; they may be whole",
    "unreachable": "give this machine what it lacks, and audit again; they may be whole",
    "missing": "get these files, or strike them from the list",
    "wrong_extension": "rename them after what they are",
    "odd_size": "check whether they belong here",
    "odd_mode": "check whether they belong here, and save them as 8-bit RGB",
    "class_imbalance": "add photos, and judge by macro F1 rather than by accuracy",
    "blank": "take them out",
    "dark": "check whether the material can be seen",
    "bright": "check whether the material can be seen",
    "blurred": "check whether the material can be seen",
    "padding": "check whether enough of the photo is left",
}
"""What to do about each kind of finding, in the order in which they are shown: what makes scores too good is first."""

Divisions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By division (minc:1, split.json ...) and path: the parts that a path is in, one unless it is listed twice."""

_FORMAT_OF = {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
              ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF"}
_SAME_FORMAT = {"MPO": "JPEG", "DIB": "BMP"}
_ODD_MODES = {"CMYK": "as for print", "P": "a palette of colours", "PA": "a palette of colours, with transparency",
              "RGBA": "with transparency, shown over white", "LA": "grey with transparency, shown over white",
              "1": "black and white only", "F": "floating-point numbers, scaled so that 1, 255 or 65,535 is white",
              "I": "more than 8 bits, scaled by their range"}


@dataclass(frozen=True)
class Thresholds:
    """The limits beyond which something is a finding. docs/data.md says how they were chosen.

    smallest_side: in px. size_factor: the ratio to the median side, either way. aspect: long side by short side.
    usual_share: if this share of the photos has one size, or has colours, the others are odd.
    imbalance: the largest class by the smallest.
    blank, dark, bright, burnt, blurred, grey, padding: limits of flat, high, low, burnt, sharpness, chroma and filled
        in `Looks`.
    soft: the limit of edges by contrast (high - low). A photo is blurred at or below `soft`, or at or below `blurred`.
    contrast: the grey levels below which sharpness is not judged.
    """

    smallest_side: int = 32
    size_factor: float = 4.0
    aspect: float = 4.0
    usual_share: float = 0.95
    imbalance: float = 10.0
    blank: float = 0.99
    dark: int = 40
    bright: int = 170
    burnt: float = 0.5
    blurred: float = 2.5
    soft: float = 0.08
    contrast: int = 30
    grey: int = 3
    padding: float = 0.05


@dataclass(frozen=True)
class Finding:
    """Something that may be wrong. paths: relative to the dataset's root. detail: a sentence with figures."""

    kind: str
    paths: tuple[str, ...]
    detail: str


def find_broken(facts: Sequence[PhotoFacts]) -> Iterator[Finding]:
    """Find photos that cannot be read: broken ones, ones that matlens does not read, and ones out of reach for now."""
    for fact in facts:
        if fact.problem is None:
            continue
        if fact.sha256 and not fact.bytes:
            yield Finding("empty", (fact.path,), "the file holds 0 bytes")
        elif fact.problem.kind == "unsupported":
            yield Finding("unsupported", (fact.path,), f"matlens does not read it: {fact.problem}")
        elif fact.problem.kind == "trouble":
            yield Finding("unreachable", (fact.path,), f"this machine cannot read it now: {fact.problem}")
        else:
            yield Finding("unreadable", (fact.path,), f"it cannot be read as a photo: {fact.problem}")


def find_missing(divisions: Divisions, there: set[str]) -> Iterator[Finding]:
    """Find photos that are listed but missing: one finding for a photo, however many lists name it."""
    lists: dict[str, list[str]] = defaultdict(list)
    for name, parts_of in divisions.items():
        for path, parts in parts_of.items():
            if path not in there:
                lists[path].append(f"{name} ({', '.join(parts)})")
    for path, names in lists.items():
        yield Finding("missing", (path,), f"listed in {listed(names)}, but there is no such file")


def find_misnamed(facts: Sequence[PhotoFacts], others: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Find files whose content is not what their name says. others: (path, format) of photos that their names hide."""
    for fact in facts:
        suffix = PurePath(fact.path).suffix
        kind = _SAME_FORMAT.get(fact.format, fact.format)
        if fact.problem is None and kind != _FORMAT_OF[suffix.lower()]:
            yield Finding("wrong_extension", (fact.path,), f"named {suffix}, but it is {kind} by content")
    for path, kind in others:
        suffix = PurePath(path).suffix
        yield Finding("wrong_extension", (path,), f"it is {_SAME_FORMAT.get(kind, kind)} by content, but matlens "
                      f"does not use names {f'in {suffix}' if suffix else 'without an ending'}")


def find_odd(facts: Sequence[PhotoFacts], limits: Thresholds) -> Iterator[Finding]:
    """Find photos whose size or mode is unlike that of the others."""
    readable = [fact for fact in facts if fact.problem is None]
    if not readable:
        return
    sizes = Counter(_size(fact) for fact in readable)
    usual, count = sizes.most_common(1)[0]
    uniform = count / len(readable)
    side = median(sqrt(fact.width * fact.height) for fact in readable)
    coloured = sum(not _is_grey(fact, limits) for fact in readable) / len(readable)
    for fact in readable:
        if (size := _size_oddity(fact, side, limits)) is not None:
            yield Finding("odd_size", (fact.path,), f"{fact.width} x {fact.height} px: {size}")
        elif uniform >= limits.usual_share and _size(fact) != usual:
            yield Finding("odd_size", (fact.path,), f"{fact.width} x {fact.height} px: {100 * uniform:.1f} % of the "
                          f"photos have {usual[1]} x {usual[0]}")
        if fact.animated:
            yield Finding("odd_mode", (fact.path,), "it holds several pictures; the first alone is used")
        elif fact.mode not in ("RGB", "L"):
            meaning = _ODD_MODES.get(fact.mode, "more than 8 bits, scaled by their range" if "16" in fact.mode
                                     else "unusual")
            yield Finding("odd_mode", (fact.path,), f"mode {fact.mode}: {meaning}")
        elif coloured >= limits.usual_share and _is_grey(fact, limits):
            yield Finding("odd_mode", (fact.path,), f"a grey photo, where {100 * coloured:.1f} % of the photos "
                          "have colours")


def _size(fact: PhotoFacts) -> tuple[int, int]:
    """Return (short side, long side), so that a camera held upright gives the same size."""
    return min(fact.width, fact.height), max(fact.width, fact.height)


def _size_oddity(fact: PhotoFacts, usual: float, limits: Thresholds) -> str | None:
    short, long = _size(fact)
    side = sqrt(short * long)
    if short < limits.smallest_side <= usual:
        return f"the short side is below {limits.smallest_side} px"
    if long > limits.aspect * short:
        return f"one side is {long / short:.1f} times the other"
    if side < usual / limits.size_factor or side > usual * limits.size_factor:
        return f"{side / usual:.2g} times the usual side of {usual:.0f} px"
    return None


def _is_grey(fact: PhotoFacts, limits: Thresholds) -> bool:
    return fact.mode == "L" or fact.looks.chroma <= limits.grey


def find_poor(facts: Sequence[PhotoFacts], limits: Thresholds) -> Iterator[Finding]:
    """Find photos that show little: at most one of blank, dark, bright and blurred, the plainest; and padding."""
    for fact in facts:
        if fact.problem is not None:
            continue
        looks = fact.looks
        if looks.flat >= limits.blank:
            yield Finding("blank", (fact.path,), f"{100 * looks.flat:.1f} % of it is one colour")
        elif looks.high <= limits.dark:
            yield Finding("dark", (fact.path,), f"95 % of its pixels are at grey level {looks.high} of 255 or below")
        elif looks.burnt >= limits.burnt and looks.low >= limits.bright:
            yield Finding("bright", (fact.path,), f"{100 * looks.burnt:.0f} % of it is burnt out to white, and 95 % "
                          f"of its pixels are at grey level {looks.low} of 255 or above")
        elif (contrast := looks.high - looks.low) >= limits.contrast:
            if looks.edges <= limits.soft * contrast:
                yield Finding("blurred", (fact.path,), f"its strongest edges are {100 * looks.edges / contrast:.1f} % "
                              f"of its contrast ({100 * limits.soft:.0f} % or less is blurred)")
            elif looks.sharpness <= limits.blurred:
                yield Finding("blurred", (fact.path,), f"a slight blur leaves {100 / looks.sharpness:.0f} % of its "
                              f"strongest edges ({100 / limits.blurred:.0f} % or more is blurred)")
        if looks.filled >= limits.padding:
            yield Finding("padding", (fact.path,), f"{100 * looks.filled:.0f} % of it are bands of MINC's fill colour")


def find_imbalance(counts: Mapping[str, int], folders: Mapping[str, str], limits: Thresholds) -> Iterator[Finding]:
    """Find classes that are far smaller than the largest. folders: the folder of each class."""
    largest = max(counts, key=lambda name: (counts[name], name))
    for name, count in counts.items():
        if count * limits.imbalance < counts[largest]:
            times = f", {counts[largest] / count:.1f} times as many" if count else ""
            yield Finding("class_imbalance", (folders[name],), f"{name} has {count} photos, {largest} "
                          f"{counts[largest]}{times}")


def find_repeated(facts: Sequence[PhotoFacts], near: Sequence[tuple[Sequence[str], Sequence[str]]],
                  divisions: Divisions) -> Iterator[Finding]:
    """Find photos that are there more than once.

    Args:
        near: groups of contents (SHA-256) that look the same, each with what tells its photos apart ("mirrored" ...).
        divisions: groups that reach over two parts of one of these are leaks.
    """
    by_content: dict[str, list[PhotoFacts]] = defaultdict(list)
    for fact in facts:
        if fact.problem is None:
            by_content[fact.sha256].append(fact)
    for same in by_content.values():
        if len(same) > 1:
            yield Finding("exact_duplicate", _paths(same), f"{len(same)} files with the same {same[0].bytes:,} bytes")
    alike = [[fact for digest in group for fact in by_content[digest]] for group, _ in near]
    for group, (_, changes) in zip(alike, near, strict=True):
        sizes = sorted({f"{fact.width} x {fact.height}" for fact in group})
        words = "; ".join([f"{', '.join(sizes)} px", *([f"some {' and '.join(changes)}"] if changes else [])])
        yield Finding("near_duplicate", _paths(group), f"{len(group)} photos that look the same ({words})")
    in_groups = {digest for group, _ in near for digest in group}
    groups = [*alike, *(same for digest, same in by_content.items() if digest not in in_groups)]
    for group in groups:
        classes = sorted({fact.class_name for fact in group})
        what = ("the photo is" if len(group) == 1 else "identical files"
                if len({fact.sha256 for fact in group}) == 1 else "almost identical photos")
        if len(classes) > 1:
            yield Finding("two_classes", _paths(group), f"{what} in the classes {listed(classes)}")
        leaks = []
        for name, parts_of in divisions.items():
            parts = {part for fact in group for part in parts_of.get(fact.path, ())}
            if len(parts) > 1:
                leaks.append(f"in {listed([part for part in PARTS if part in parts])} of {name}")
        if leaks:
            yield Finding("leak", _paths(group), f"{what} {'; '.join(leaks)}")


def _paths(group: Sequence[PhotoFacts]) -> tuple[str, ...]:
    return tuple(sorted(fact.path for fact in group))
