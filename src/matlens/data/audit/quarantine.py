"""Take files out of a dataset so that they can be put back: moved under the same names, each move logged before it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path, PurePosixPath

from matlens.data.audit.audit import Audit
from matlens.data.audit.checks import Finding
from matlens.errors import DataError
from matlens.system.files import checksum, partial_of

LOG = "quarantine.jsonl"
"""In the quarantine's folder: one JSON object a line, an `Entry`."""

ONLY_IF_NAMED = ("odd_size", "odd_mode")
"""Kinds that say that a photo is unusual, not that it is bad."""

_NO_FILES = ("missing", "class_imbalance")
_ALL_BUT_ONE = ("exact_duplicate", "near_duplicate", "leak")
_KEEP_FIRST = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True)
class Entry:
    """One move: `source` relative to `root`, `destination` to the quarantine, `sha256` of the content (of a link: of
    where it leads)."""

    root: str
    source: str
    destination: str
    kind: str
    detail: str
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What is to be taken out, and by which finding; and what is left of what was found, and why."""

    out: Mapping[str, Finding]
    left: Mapping[str, str]


def plan_removal(audit: Audit, named: tuple[str, ...] = ()) -> Plan:
    """Choose the files to take out; `named`: the kinds that were asked for by name.

    A photo that is itself at fault goes, and so does every photo of a group under two classes. Of other groups one
    stays: of the test part, else the validation part, else the training part, so that the figures of others on the
    same test part stay comparable; there the first by path. The first division counts where there are several.
    """
    out: dict[str, Finding] = {}
    left: dict[str, str] = {}
    for finding in audit.findings:
        if finding.kind in ONLY_IF_NAMED and finding.kind not in named:
            left |= dict.fromkeys(finding.paths, f"{finding.kind} is taken out with --kind {finding.kind} only")
        elif finding.kind not in _NO_FILES and finding.kind not in _ALL_BUT_ONE:
            out |= {path: finding for path in finding.paths if path not in out}
    parts_of = next(iter(audit.divisions.values()), {})

    def preference(path: str) -> tuple[bool, int, str]:
        # A link to a photo that is taken out would lead nowhere.
        is_link = (audit.root / path).is_symlink()
        return is_link, min((_KEEP_FIRST[part] for part in parts_of.get(path, ())), default=3), path

    # The largest group first: what stays of it then stays of the smaller ones inside it, too.
    groups = [finding for finding in audit.findings if finding.kind in _ALL_BUT_ONE]
    for finding in sorted(groups, key=lambda finding: -len(finding.paths)):
        staying = sorted((path for path in finding.paths if path not in out), key=preference)
        out |= dict.fromkeys(staying[1:], finding)
        left |= {path: f"the one that is kept of {len(finding.paths)} ({finding.kind})" for path in staying[:1]}
    for path in list(out):
        if leads_out(audit.root / path, audit.root):
            left[path] = "a link that leads out of the dataset"
            del out[path]
        elif not is_reachable(audit.root / path):
            left[path] = "it cannot be opened, and may be whole"
            del out[path]
    return Plan(dict(sorted(out.items())), {path: why for path, why in sorted(left.items()) if path not in out})


def move_out(root: Path, plan: Plan, quarantine: Path) -> Iterator[Entry]:
    """Move the files of a plan to `quarantine`, one each time the iterator is asked.

    Raises DataError where a file cannot be moved; what was moved before is in the log.
    """
    with _appending(quarantine / LOG) as log:
        for path, finding in plan.out.items():
            place = free_place(quarantine / path)
            try:
                entry = Entry(str(root.resolve()), path, place.relative_to(quarantine).as_posix(), finding.kind,
                              finding.detail, _fingerprint(root / path))
                log.write(json.dumps(asdict(entry)) + "\n")
                log.flush()
                os.fsync(log.fileno())
                move_file(root / path, place)
            except OSError as error:
                raise DataError(f"Cannot move {root / path} to {place}: {error.strerror or error}. What was moved "
                                f"before it can be put back: matlens data audit {root} --restore --quarantine "
                                f"{quarantine}") from error
            yield entry


def delete_out(root: Path, plan: Plan) -> Iterator[str]:
    """Delete the files of a plan, one each time the iterator is asked. Raises DataError where one cannot be."""
    for path in plan.out:
        try:
            (root / path).unlink()
        except OSError as error:
            raise DataError(f"Cannot delete {root / path}: {error.strerror or error}.") from error
        yield path


def _appending(log: Path) -> TextIOWrapper:
    """The log, ready for whole lines even if a killed process left half of one."""
    file = log.open("a+", encoding="utf-8")
    file.seek(0)
    text = file.read()
    if text and not text.endswith("\n"):
        file.write("\n")
    return file


def restore(folder: Path, quarantine: Path) -> list[str]:
    """Put back what was moved out of `folder`; what is back already stays as it is.

    Returns:
        The paths that were put back.

    Raises:
        DataError: no log, or none of this folder; or, after all others were put back, what could not be: another file
            lies in its place, it was changed, or it is gone. Each is named.
    """
    entries = [entry for entry in _read_log(quarantine / LOG)
               if Path(entry.root).is_relative_to(folder.resolve())]
    if not entries:
        raise DataError(f"{quarantine / LOG} tells of nothing that was moved out of {folder.resolve()}.")
    back, refused = [], []
    for entry in entries:
        source, moved = Path(entry.root) / entry.source, quarantine / entry.destination
        if not all(_stays_inside(path) for path in (entry.source, entry.destination)):
            refused.append(f"{entry.source} (the log leads out of the folder)")
        elif not os.path.lexists(moved):
            if not os.path.lexists(source):
                refused.append(f"{entry.source} (gone from {moved})")
        elif os.path.lexists(source):
            if _fingerprint(source) != entry.sha256:
                refused.append(f"{entry.source} (another file lies there now; it was not overwritten)")
        elif _fingerprint(moved) != entry.sha256:
            refused.append(f"{entry.source} ({moved} is not what was moved)")
        else:
            try:
                move_file(moved, source)
            except OSError as error:
                refused.append(f"{entry.source} ({error.strerror or error})")
            else:
                back.append(entry.source)
    if refused:
        raise DataError(f"{len(back)} files were put back into {folder}; these were not: "
                        f"{'; '.join(dict.fromkeys(refused))}.")
    return back


def _read_log(log: Path) -> list[Entry]:
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {log}: {error}. Name the folder that was given to --quarantine.") from error
    entries = []
    for line in lines:
        try:
            entries.append(Entry(**json.loads(line)))
        except (ValueError, TypeError):  # half a line of a killed process, which had not moved anything then
            continue
    return entries


def _stays_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts


def _fingerprint(path: Path) -> str:
    """SHA-256 of a file's content, or of where a link leads."""
    return hashlib.sha256(os.fsencode(path.readlink())).hexdigest() if path.is_symlink() else checksum(path)


def is_reachable(file: Path) -> bool:
    """Whether a file's content can be read, or is surely gone (a link to nothing)."""
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except FileNotFoundError:
        return file.is_symlink()
    except OSError:
        return False
    return True


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path below `root` is, or lies behind, a link to somewhere else."""
    return not path.resolve().is_relative_to(root.resolve())


def refuse_inside(quarantine: Path, root: Path) -> None:
    """Raise DataError for a quarantine among the photos."""
    if not leads_out(quarantine, root):
        raise DataError(f"The quarantine {quarantine} lies inside {root}; name a folder outside of it.")


def move_file(source: Path, destination: Path) -> None:
    """Move a file or a link, also to another disk; at each moment it is whole in one of the two places."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        partial = partial_of(destination)
        shutil.copy2(source, partial, follow_symlinks=False)
        partial.replace(destination)
        source.unlink()


def free_place(place: Path) -> Path:
    """`place`, or the same with a number where something lies there."""
    number, free = 1, place
    while os.path.lexists(free):
        free, number = place.with_stem(f"{place.stem}-{number}"), number + 1
    return free
