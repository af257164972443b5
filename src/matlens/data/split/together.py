"""Find photos that must be in the same part because the user says so."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from matlens.data.split.clusters import Clusters
from matlens.data.split.patterns import search
from matlens.errors import DataError, SettingsError
from matlens.system.caches import Say, silent
from matlens.system.untrusted import JSON_LIMIT, UNREADABLE_TABLE, read_pairs, reading


def named_groups(paths: Sequence[str], groups: str, root: Path | None = None, say: Say = silent,
                 ) -> list[tuple[str, ...]]:
    """Group the photos that belong together by what the user says. Groups that share a photo are one.

    Args:
        paths: relative to the dataset's root.
        groups: a file of lines `path,group` (.tsv: separated by tabs), or a regular expression with groups in
            parentheses, which is searched in each path: photos for which it captures the same text belong together,
            and a photo for which it captures none stands alone.
        root: the dataset's root; the paths in a file may begin with it.
        say: called with a remark on lines that name no photo, photos that nothing names, and joined groups.

    Returns:
        Groups of at least two paths. Photos that nothing names stand alone.

    Raises:
        SettingsError: `groups` is neither a file nor such an expression.
        DataError: the file cannot be read, or most of its lines and most of the photos do not fit together.
    """
    if names_file(groups):
        members = _listed(Path(groups), paths, root, say)
    else:
        members = defaultdict(list)
        for path, text in _searched(groups, paths).items():
            members[text].append(path)
    together = joined(members.values())
    named = {path for group in members.values() for path in group}
    if alone := [path for path in paths if path not in named]:
        say(f"--groups {groups} names {len(named)} of {len(paths)} photos; each of the other {len(alone)}, such as "
            f"{alone[0]}, stands alone")
    elif not together:
        say(f"--groups {groups} puts each photo into a group of its own, so it keeps none together")
    return together


def names_file(groups: str) -> bool:
    try:
        return Path(groups).is_file()
    except OSError:  # a pattern that is too long for a file name
        return False


def _listed(file: Path, paths: Sequence[str], root: Path | None, say: Say) -> dict[str, list[str]]:
    """Return the photos of each group that a file names."""
    members: dict[str, list[str]] = defaultdict(list)
    groups_of: dict[str, set[str]] = defaultdict(set)
    known = _Names(paths, root)
    unknown = []
    entries = _read(file)
    for line, group in entries:
        if (path := known.find(line)) is None:
            unknown.append(line)
        else:
            groups_of[path].add(group)
            members[group].append(path)
    if not groups_of or (2 * len(unknown) > len(entries) and 2 * len(groups_of) < len(paths)):
        such = f", such as {unknown[0]}" if unknown else ""
        raise DataError(f"{file} names {len(groups_of) or 'none'} of the {len(paths)} photos, and {len(unknown)} of "
                        f"its {len(entries)} lines name no photo{such}. Its lines must be path,group with paths "
                        f"relative to the dataset's folder, such as {paths[0]},scene1.")
    if unknown:
        say(f"{len(unknown)} of {len(entries)} lines of {file} name no photo, such as {unknown[0]}")
    if several := [path for path, names in groups_of.items() if len(names) > 1]:
        say(f"{file} puts {len(several)} photo{'s' * (len(several) != 1)} into several groups, such as {several[0]} "
            f"({', '.join(sorted(groups_of[several[0]]))}); these groups are one")
    return members


class _Names:
    """The photos by the ways to write their paths: with the dataset's folder before it, backslashes, NFC or NFD.

    The folder may be written as on another machine (its last names), or by any path that leads there, also by links.
    """

    def __init__(self, paths: Sequence[str], root: Path | None) -> None:
        self._path_of = {unicodedata.normalize("NFC", path): path for path in paths}
        self._root = os.path.realpath(root) if root is not None else None
        self._leads_there: dict[str, bool] = {}
        written = [Path(self._root).parts, Path(os.path.abspath(root)).parts] if self._root and root else []  # noqa: PTH100
        self._before = {"/".join(part.strip("/\\") for part in folders[start:])
                        for folders in written for start in range(len(folders))}

    def find(self, written: str) -> str | None:
        """Return the photo of a written path, or None."""
        words = [word for word in unicodedata.normalize("NFC", written).replace("\\", "/").split("/")
                 if word not in ("", ".")]
        top = "/" * written.startswith("/")
        for start in range(len(words)):
            path = self._path_of.get("/".join(words[start:]))
            if path is not None and (not start or self._is_root("/".join(words[:start]), top)):
                return path
        return self._path_of.get(unicodedata.normalize("NFC", written))

    def _is_root(self, folder: str, top: str) -> bool:
        if folder in self._before or "\0" in folder:
            return folder in self._before
        if top + folder not in self._leads_there:
            self._leads_there[top + folder] = os.path.realpath(top + folder) == self._root
        return self._leads_there[top + folder]


def _read(file: Path) -> list[tuple[str, str]]:
    """Return the (path, group) of each line, as spreadsheets write them: also in UTF-16, or with semicolons."""
    with reading(file, "a list of groups", DataError, "Write it in UTF-8 with lines path,group.",
                 catching=UNREADABLE_TABLE):
        rows = read_pairs(file, JSON_LIMIT)
    if rows and [cell.strip().lower() for cell in rows[0]] == ["path", "group"]:
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not row[1].strip():
            raise DataError(f"{file}: entry {number} ({','.join(row)}) is not path,group. Write it as "
                            "wood/1.jpg,scene1.")
    return [(path.strip(), group.strip()) for path, group in rows]


def _searched(groups: str, paths: Sequence[str]) -> dict[str, str]:
    """Return what a pattern captures in each path in which it captures any text."""
    found = search(groups, paths)
    if isinstance(found, str):
        raise SettingsError(f"--groups {groups}: {_no_list(groups)}, and no regular expression ({found}). Name a file "
                            r"of lines path,group, or give a pattern such as '(scene\d+)_'.")
    if not found.groups:
        raise SettingsError(f"--groups {groups}: {_no_list(groups)}, and as a regular expression it captures nothing. "
                            "Name a file of lines path,group, or put "
                            r"parentheses around what photos of one group share, such as '(scene\d+)_'.")
    if not found.captured:
        raise DataError(f"--groups {groups} captures nothing in any of the paths, such as {paths[0]}. It was taken as "
                        f"a regular expression ({_no_list(groups)}). Name a file of lines "
                        "path,group, or a pattern that fits these paths.")
    return found.captured


def _no_list(groups: str) -> str:
    """Say what a file is, of that name, instead of a list."""
    try:
        place = Path(groups)
        return ("a folder and no list" if place.is_dir() else "no regular file (a pipe or a device)" if place.exists()
                else "no such file")
    except OSError:
        return "no such file"


def joined(groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Join groups that share a photo into one. Returns them sorted."""
    clusters: Clusters[str] = Clusters()
    for group in groups:
        for path in group:
            clusters.join(group[0], path)
    return clusters.groups()
