"""Find photos that must be in the same part: those that the user says belong together, and copies of one photo."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matlens.data.split.clusters import Clusters
from matlens.data.split.duplicates import near_duplicates
from matlens.data.split.signatures import signature_of
from matlens.errors import DataError, SettingsError
from matlens.system.untrusted import JSON_LIMIT, UNREADABLE, read_bounded, reading
from matlens.types import Pixels, Progress


def named_groups(paths: Sequence[str], groups: str) -> list[tuple[str, ...]]:
    """Group the photos that belong together by what the user says.

    Args:
        paths: relative to the dataset's root.
        groups: a file of lines `path,group` (.tsv: separated by tabs), or a regular expression with groups in
            parentheses, which is searched in each path: photos for which it captures the same text belong together.

    Returns:
        Groups of at least two paths. Photos that nothing names stand alone.

    Raises:
        SettingsError: `groups` is neither a file nor such an expression.
        DataError: the file cannot be read, or it names none of these photos.
    """
    if _is_file(groups):
        named = _read(Path(groups))
        named = {path: named[path] for path in paths if path in named}
        if not named:
            raise DataError(f"{groups} names none of the photos. Its lines must be path,group with paths relative "
                            f"to the dataset's folder, such as {paths[0]},scene1.")
    else:
        pattern = _compiled(groups)
        matches = {path: pattern.search(path) for path in paths}
        named = {path: "\0".join(text or "" for text in match.groups()) for path, match in matches.items() if match}
        if not named:
            raise DataError(f"--groups {groups} is found in none of the paths, such as {paths[0]}. (There is no file "
                            "of that name, so it was taken as a regular expression.)")
    return _at_least_two(named)


def _is_file(groups: str) -> bool:
    try:
        return Path(groups).is_file()
    except OSError:  # a pattern that is too long for a file name
        return False


def _read(file: Path) -> dict[str, str]:
    with reading(file, "a list of groups", DataError, "Write it in UTF-8 with lines path,group.",
                 catching=(*UNREADABLE, csv.Error)):
        text = io.StringIO(read_bounded(file, JSON_LIMIT).decode("utf-8-sig"), newline="")
        rows = [row for row in csv.reader(text, delimiter="\t" if file.suffix == ".tsv" else ",") if row]
    if rows and [cell.strip().lower() for cell in rows[0]] == ["path", "group"]:
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not row[1].strip():
            raise DataError(f"{file}: entry {number} ({','.join(row)}) is not path,group. Write it as "
                            "wood/1.jpg,scene1.")
    return {path.strip(): group.strip() for path, group in rows}


def _compiled(groups: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise SettingsError(f"--groups {groups}: no such file, and no regular expression ({error}). Name a file of "
                            r"lines path,group, or give a pattern such as '(scene\d+)_'.") from error
    if not pattern.groups:
        raise SettingsError(f"--groups {groups}: no such file, and as a regular expression it captures nothing. Put "
                            r"parentheses around what photos of one group share, such as '(scene\d+)_'.")
    return pattern


def look_alikes(hashes: Mapping[str, str], read: Callable[[str], Pixels | None], on_progress: Progress,
                ) -> list[tuple[str, ...]]:
    """Find copies of one photo: the same bytes, or nearly the same picture.

    Args:
        hashes: SHA-256 by path.
        read: returns the pixels, (H, W, 3) uint8, of the photo with a SHA-256, or None.

    Returns:
        Groups of paths, at least two each.
    """
    digests = sorted(set(hashes.values()))
    looks: dict[str, bytes] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = pool.map(lambda digest: _signature(read(digest)), digests)
        for done, (digest, look) in enumerate(zip(digests, seen, strict=True), 1):
            if look is not None:
                looks[digest] = look
            on_progress(done // 2, len(digests))
    readable = list(looks)
    unread, n = len(digests) - len(readable), len(digests)
    near = near_duplicates(list(looks.values()), lambda index: read(readable[index]),
                           lambda done, _: on_progress((n + unread + done) // 2, n))
    name_of = {readable[index]: f"near {number}" for number, group in enumerate(near) for index in group}
    return _at_least_two({path: name_of.get(digest, digest) for path, digest in hashes.items()})


def _signature(pixels: Pixels | None) -> bytes | None:
    return None if pixels is None else signature_of(pixels)


def joined(groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Join groups that share a photo into one. Returns them sorted."""
    clusters: Clusters[str] = Clusters()
    for group in groups:
        for path in group:
            clusters.join(group[0], path)
    return clusters.groups()


def _at_least_two(named: Mapping[str, str]) -> list[tuple[str, ...]]:
    members: dict[str, list[str]] = defaultdict(list)
    for path, name in named.items():
        members[name].append(path)
    return sorted(tuple(sorted(group)) for group in members.values() if len(group) > 1)
