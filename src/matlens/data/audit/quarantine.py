"""Take files out of a dataset so that they can be put back: files keep their names, and each move is logged first."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path

from matlens.data.audit.audit import Audit
from matlens.data.audit.checks import Finding
from matlens.data.pixels.files import opened
from matlens.data.pixels.problems import Kind, UnreadableImageError
from matlens.errors import DataError
from matlens.system.console import command
from matlens.system.files import checksum
from matlens.system.ownership.temporary import temporary_beside
from matlens.system.untrusted import JSON_LIMIT, parse_json, read_text, reading

LOG = "quarantine.jsonl"
"""The file in the quarantine's folder that holds a `MovedFile` as a JSON object on each line."""

ONLY_IF_NAMED = ("unsupported", "odd_size", "odd_mode")
"""The kinds of findings that say that a photo is unusual, not that it is bad."""

REMOVABLE: tuple[Kind, ...] = ("damaged", "missing")
"""The kinds of problems with reading a photo for which its file, or a link to nothing, may be removed."""

_NO_FILES = ("missing", "unreachable", "class_imbalance")
_ALL_BUT_ONE = ("exact_duplicate", "near_duplicate", "leak")
_KEEP_FIRST = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True)
class MovedFile:
    """One file that was moved.

    source: relative to `root`. destination: relative to the quarantine. kind, detail: of the finding.
    sha256: of the content; of a link, of the path that it leads to.
    """

    root: str
    source: str
    destination: str
    kind: str
    detail: str
    sha256: str


@dataclass(frozen=True)
class RemovalPlan:
    """Which files of an audit's findings are taken out.

    out: the finding for which a file is taken out, by its path. left: why a file stays, by its path.
    """

    out: Mapping[str, Finding]
    left: Mapping[str, str]


def plan_removal(audit: Audit, named: tuple[str, ...] = (), *, for_good: bool = False) -> RemovalPlan:
    """Choose the files to take out.

    Args:
        named: the kinds that the user asked for by name.
        for_good: the files will be deleted, so one that matlens merely does not read stays.

    A photo that is itself at fault is taken out, and so is every photo of a group under two classes. Of any other group
    one photo stays: one of the test part, else of the validation part, else of the training part, so that other
    people's figures on the same test part stay comparable; within a part it is the first by path. If there are several
    divisions, the first counts.
    """
    out: dict[str, Finding] = {}
    left: dict[str, str] = {}
    for finding in audit.findings:
        if finding.kind == "unreachable":
            left |= dict.fromkeys(finding.paths, "this machine cannot read it now, and it may be whole")
        elif finding.kind == "unsupported" and for_good:
            left |= dict.fromkeys(finding.paths, "it may be whole: convert it, or move it with --quarantine")
        elif finding.kind in ONLY_IF_NAMED and finding.kind not in named:
            left |= dict.fromkeys(finding.paths, f"{finding.kind} is taken out with --kind {finding.kind} only")
        elif finding.kind not in _NO_FILES and finding.kind not in _ALL_BUT_ONE:
            out |= {path: finding for path in finding.paths if path not in out}
    parts_of = next(iter(audit.divisions.values()), {})

    def preference(path: str) -> tuple[bool, int, str]:
        # A link to a photo that is taken out would lead nowhere.
        is_link = (audit.root / path).is_symlink()
        return is_link, min((_KEEP_FIRST[part] for part in parts_of.get(path, ())), default=3), path

    # The largest group first: the photo that stays of it then stays of the smaller groups inside it, too.
    groups = [finding for finding in audit.findings if finding.kind in _ALL_BUT_ONE]
    for finding in sorted(groups, key=lambda finding: -len(finding.paths)):
        staying = sorted((path for path in finding.paths if path not in out), key=preference)
        out |= dict.fromkeys(staying[1:], finding)
        left |= {path: f"the one that stays of {len(finding.paths)} ({finding.kind})" for path in staying[:1]}
    for path in list(out):
        if leads_out(audit.root / path, audit.root):
            left[path] = "a link that leads out of the dataset"
            del out[path]
        elif not is_reachable(audit.root / path):
            left[path] = "it cannot be opened, and may be whole"
            del out[path]
    return RemovalPlan(dict(sorted(out.items())), {path: why for path, why in sorted(left.items()) if path not in out})


def move_out(root: Path, plan: RemovalPlan, quarantine: Path) -> Iterator[MovedFile]:
    """Move the files of a plan to `quarantine`, one file at each step of the iterator.

    Raises:
        DataError: a file cannot be moved. The files that were moved before are in the log.
    """
    with _appending(quarantine / LOG) as log:
        for path, finding in plan.out.items():
            place = free_place(quarantine / path)
            try:
                moved = MovedFile(str(root.resolve()), path, place.relative_to(quarantine).as_posix(), finding.kind,
                                  finding.detail, _fingerprint(root / path))
                log.write(json.dumps(asdict(moved)) + "\n")
                log.flush()
                os.fsync(log.fileno())
                move_file(root / path, place)
            except OSError as error:
                raise DataError(f"Cannot move {root / path} to {place}: {error.strerror or error}. To put the files "
                                "back that were moved before: " + restoring(root, quarantine)) from error
            yield moved


def delete_out(root: Path, plan: RemovalPlan) -> Iterator[str]:
    """Delete the files of a plan, one at each step of the iterator. Raises DataError if one cannot be deleted."""
    for path in plan.out:
        try:
            (root / path).unlink()
        except OSError as error:
            raise DataError(f"Cannot delete {root / path}: {error.strerror or error}. Make the folder writable, or "
                            "leave --delete out.") from error
        yield path


def _appending(log: Path) -> TextIOWrapper:
    """Open the log for appending whole lines, even if a killed process left half a line."""
    file = log.open("a+", encoding="utf-8")
    file.seek(0)
    text = file.read()
    if text and not text.endswith("\n"):
        file.write("\n")
    return file


def restoring(root: Path, quarantine: Path) -> str:
    """Return the command that puts back what was moved."""
    return command("data", "audit", root, "--restore", "--quarantine", quarantine)


def restore(folder: Path, quarantine: Path) -> list[str]:
    """Put back what was moved out of `folder`. Files that are back already stay as they are.

    Returns:
        The paths that were put back.

    Raises:
        DataError: there is no log, or it has nothing of this folder; or some files could not be put back, since another
            file lies in their place, they were changed, or they are gone. All other files are put back first, and the
            message names each that was not.
    """
    files = [file for file in _read_log(quarantine / LOG) if Path(file.root).is_relative_to(folder.resolve())]
    if not files:
        raise DataError(f"{quarantine / LOG} names no file that was moved out of {folder.resolve()}. Give the "
                        "folder of the photos, and to --quarantine the folder that took them.")
    back, refused = [], []
    for file in files:
        refusal = _put_back(file, folder, quarantine)
        if refusal:
            refused.append(f"{file.source} ({refusal})")
        elif refusal is None:
            back.append(file.source)
    if refused:
        raise DataError(f"{len(back)} files were put back into {folder}; these were not: "
                        f"{'; '.join(dict.fromkeys(refused))}.")
    return back


def _put_back(file: MovedFile, folder: Path, quarantine: Path) -> str | None:
    """Put one file back. Returns None if that was done, "" if it is back already, else why it cannot be done."""
    source, moved = Path(file.root) / file.source, quarantine / file.destination
    if leads_out(source.parent, folder) or leads_out(moved.parent, quarantine):
        return "the log leads out of the folder"
    if not os.path.lexists(moved):
        return "" if os.path.lexists(source) else f"gone from {moved}"
    try:
        if os.path.lexists(source):
            is_back = _fingerprint(source) == file.sha256
            return "" if is_back else "another file lies there now; it was not overwritten"
        if _fingerprint(moved) != file.sha256:
            return f"{moved} is not what was moved"
        move_file(moved, source)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _read_log(log: Path) -> list[MovedFile]:
    with reading(log, "a quarantine log", DataError, "Give --quarantine the folder that took the photos."):
        lines = read_text(log, JSON_LIMIT).splitlines()
    files = []
    for line in lines:
        # Half a line is of a process that was killed before it moved the file.
        with suppress(ValueError, TypeError):
            file = MovedFile(**parse_json(line))
            if all(isinstance(text, str) and "\0" not in text for text in asdict(file).values()):
                files.append(file)
    return files


def _fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's content, or of the path that a link leads to."""
    return hashlib.sha256(os.fsencode(path.readlink())).hexdigest() if path.is_symlink() else checksum(path)


def is_reachable(file: Path) -> bool:
    """Return whether a file's content can be read, or is certainly gone (a link to nothing)."""
    try:
        with opened(file) as content:
            content.read(1)
    except UnreadableImageError as error:
        return file.is_symlink() if error.problem.kind == "missing" else (
            error.problem.kind == "unsupported" and file.is_file())
    return True


def leads_out(path: Path, root: Path) -> bool:
    """Return whether a path lies outside of `root`, also by way of links."""
    return not path.resolve().is_relative_to(root.resolve())


def refuse_inside(quarantine: Path, root: Path) -> None:
    """Raise DataError for a quarantine among the photos."""
    if not leads_out(quarantine, root):
        raise DataError(f"The quarantine {quarantine} lies inside {root}, so the next audit would read it. Give "
                        "--quarantine a folder outside of the photos.")


def move_file(source: Path, destination: Path) -> None:
    """Move a file or a link, also to another disk. At each moment it is whole in one of the two places."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with temporary_beside(destination) as partial:
            shutil.copy2(source, partial, follow_symlinks=False)
            partial.replace(destination)
        source.unlink()


def free_place(place: Path) -> Path:
    """Return `place`, or `place` with a number if something lies there."""
    number, free = 1, place
    while os.path.lexists(free):
        free, number = place.with_stem(f"{place.stem}-{number}"), number + 1
    return free
