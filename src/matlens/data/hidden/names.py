r"""Propose groups from file names: photos of one object are often numbered behind a common stem.

A name is read from its end, since class names in front differ in length: `15a-scale_10_im_3.png` ends in the fields 3,
im, 10, scale, a, 15. Each proposal is a regular expression that captures everything before some field, one field with
the folder, or the folder inside a class folder; so a user can paste it behind `--groups`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_FIELD = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
_MOST_FIELDS = 12
"""How many fields of a name are looked at, from its end; more make no stem that a person would number behind."""

_ALIKE = 0.9
"""The least share of names that must have the same kind of field in a place for a pattern of them."""

_COVERED = 0.5
"""The least share of a dataset's photos that a pattern must fit, and that must have names of one build."""

_LEAST_GROUPS = 3
"""The least number of groups in most classes. Two halves of a class cannot be divided into three parts."""


@dataclass(frozen=True)
class Proposal:
    """Groups that names or times of photos suggest. pattern: for `--groups`; None where no pattern gives them."""

    pattern: str | None
    groups: tuple[tuple[str, ...], ...]


def propose_from_names(classes: Mapping[str, str]) -> list[Proposal]:
    """Return what the names of photos suggest, each grouping once, by the shortest pattern.

    Args:
        classes: the class of each photo by its path, which is relative to the dataset's root.
    """
    paths = sorted(classes)
    proposals: dict[tuple[tuple[str, ...], ...], Proposal] = {}
    patterns = {pattern for names in (paths, *_of_one_build(paths)) for pattern in _patterns(names)}
    for pattern in sorted(patterns, key=lambda pattern: (len(pattern), pattern)):
        searched = re.compile(pattern)
        if sum(searched.search(path) is not None for path in paths) < _COVERED * len(paths):
            continue
        groups = _captured(searched, paths)
        if groups not in proposals and divides_classes(groups, classes):
            proposals[groups] = Proposal(pattern, groups)
    return list(proposals.values())


def _captured(pattern: re.Pattern[str], paths: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of at least two photos for which a pattern captures the same, as `--groups` has them."""
    members: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        if (match := pattern.search(path)) is not None and any(match.groups()):
            members[match.groups()].append(path)
    return tuple(sorted(tuple(group) for group in members.values() if len(group) > 1))


def divides_classes(groups: Sequence[Sequence[str]], classes: Mapping[str, str]) -> bool:
    """Return whether most photos are in groups, and most classes hold at least three groups."""
    in_class: dict[str, int] = defaultdict(int)
    for group in groups:
        for name in {classes[path] for path in group}:
            in_class[name] += 1
    enough = sum(in_class[name] >= _LEAST_GROUPS for name in set(classes.values()))
    return 2 * sum(map(len, groups)) > len(classes) and 2 * enough > len(set(classes.values()))


def _of_one_build(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yield photos whose names have the same kinds of fields in the same order, if they are enough of all."""
    builds: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        fields = _FIELD.findall(path.rpartition("/")[2].rpartition(".")[0])
        build = tuple("1" if field.isdigit() else "a" if field.isalpha() else field for field in fields)
        builds[build].append(path)
    yield from (names for names in builds.values() if _COVERED * len(paths) <= len(names) < len(paths))


def _patterns(paths: Sequence[str]) -> Iterator[str]:
    """Yield patterns for names that end as most names here do."""
    names = [path.rpartition("/")[2] for path in paths]
    fields = [list(reversed(_FIELD.findall(name.rpartition(".")[0]))) for name in names]
    if max(path.count("/") for path in paths) > 1:
        yield r"^(.+/[^/]+/)[^/]+$"
    suffix = r"\.\w+$"
    for position in range(_MOST_FIELDS):
        texts = [field[position] for field in fields if len(field) > position]
        if len(texts) < _ALIKE * len(paths):
            return
        field = _general(texts)
        if field is None:
            return
        yield rf"^(.*/)[^/]*?({field}){suffix}"
        suffix = field + suffix
        yield rf"^(.*?){suffix}"


def _general(texts: Sequence[str]) -> str | None:
    """Return a pattern for what stands in one place of the names: a literal text, letters, digits or separators."""
    (text, count), = Counter(texts).most_common(1)
    if count >= _ALIKE * len(texts):
        return re.escape(text)
    for kind in (r"\d+", r"[^\W\d_]+", r"[\W_]+"):
        if sum(re.fullmatch(kind, text) is not None for text in texts) >= _ALIKE * len(texts):
            return kind
    return None
