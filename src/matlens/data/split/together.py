"""Which photos must be in the same part: those that the user says belong together, and copies of one photo."""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matlens.data.split.clusters import Clusters
from matlens.data.split.duplicates import near_duplicates, perceptual_hash
from matlens.errors import DataError, SettingsError
from matlens.types import Pixels, Progress


def named_groups(paths: Sequence[str], groups: str) -> list[tuple[str, ...]]:
    """Photos that belong together by what the user says.

    Args:
        paths: relative to the dataset's root.
        groups: a file of lines `path,group` (.tsv: separated by tabs), or a regular expression with groups in
            parentheses, looked for in each path: photos for which it captures the same belong together.

    Returns:
        Groups of at least two. Photos that nothing names stand alone.

    Raises:
        SettingsError: neither a file nor such an expression.
        DataError: a file that cannot be read, or names none of these photos.
    """
    if Path(groups).is_file():
        named = _read(Path(groups))
        named = {path: named[path] for path in paths if path in named}
        if not named:
            raise DataError(f"{groups} names none of the photos. Its lines must be path,group with paths relative to "
                            f"the dataset's folder, such as {paths[0]},scene1.")
    else:
        pattern = _compiled(groups)
        found = {path: pattern.search(path) for path in paths}
        named = {path: "\0".join(text or "" for text in match.groups()) for path, match in found.items() if match}
        if not named:
            raise DataError(f"--groups {groups} is found in none of the paths, such as {paths[0]}. (There is no file "
                            "of that name, so it was taken as a regular expression.)")
    return _at_least_two(named)


def _read(file: Path) -> dict[str, str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines, delimiter="\t" if file.suffix == ".tsv" else ",") if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Cannot read the groups in {file}: {error}") from error
    if rows and [cell.strip().lower() for cell in rows[0]] == ["path", "group"]:
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not row[1].strip():
            raise DataError(f"{file}: entry {number} ({','.join(row)}) is not path,group.")
    return {path.strip(): group.strip() for path, group in rows}


def _compiled(groups: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise SettingsError(f"--groups {groups}: no such file, and no regular expression ({error}).") from error
    if not pattern.groups:
        raise SettingsError(f"--groups {groups}: no such file, and as a regular expression it captures nothing. Put "
                            r"parentheses around what photos of one group share, such as '(scene\d+)_'.")
    return pattern


def look_alikes(hashes: Mapping[str, str], read: Callable[[str], Pixels | None], on_progress: Progress,
                ) -> list[tuple[str, ...]]:
    """Copies of one photo: the same bytes, or nearly the same picture.

    Args:
        hashes: SHA-256 by path.
        read: gives the pixels, (H, W, 3) uint8, of the photo with a SHA-256.

    Returns:
        Groups of paths, at least two each.
    """
    digests = sorted(set(hashes.values()))
    prints = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, found in enumerate(pool.map(lambda digest: _print_of(read(digest)), digests), 1):
            prints.append(found)
            on_progress(done, len(digests))
    readable = [index for index, found in enumerate(prints) if found is not None]
    near = near_duplicates([prints[index] or 0 for index in readable], lambda i: read(digests[readable[i]]))
    same = {digests[readable[i]]: f"near {number}" for number, group in enumerate(near) for i in group}
    return _at_least_two({path: same.get(digest, digest) for path, digest in hashes.items()})


def _print_of(pixels: Pixels | None) -> int | None:
    return None if pixels is None else perceptual_hash(pixels)


def joined(groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Groups that share a photo become one; sorted."""
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
