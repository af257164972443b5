"""The setting `corrections`: which photos of a dataset have another label than their folder's, or are left out.

The setting holds what a file of decisions comes to, and not the file's name: a run that goes on agrees by content, and
a recorded run is repeated without the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from matlens.errors import SettingsError
from matlens.settings.corrections.decisions import HEADER, Decision, DecisionLog
from matlens.settings.declaration import SECOND_VERSION, Setting
from matlens.settings.panels import PHOTOS
from matlens.system.console import tell_once
from matlens.system.files import seal_of, whole_file
from matlens.system.ownership.places import expanded
from matlens.system.untrusted import quoted, reading, stays_inside

DECISIONS_FILE = "corrections.csv"
"""In a run's folder: the decisions that people made on the labels of its photos."""

APPLIED_FILE = "applied_corrections.csv"
"""In a run's folder: the corrections that the run applied."""

MOST = 50_000
"""Photos that are corrected: run.json holds them."""

_DIGEST = re.compile(r"[0-9a-f]{64}")

Correction = tuple[str, str, str]
"""SHA-256 of the photo's content, its label before, and after; the last is empty of a photo that is left out."""


def corrections_of(log: DecisionLog) -> dict[str, Correction]:
    """Return by path what the decisions come to; a photo whose label stays is not there."""
    by_path: dict[str, Correction] = {}
    for (path, digest), decisions in log.standing.items():
        by_path.pop(path, None)  # decided on before, when it had another content
        if decisions[-1].to != decisions[0].given:
            by_path[path] = (digest, decisions[0].given, decisions[-1].to)
    return dict(sorted(by_path.items()))


def read_corrections(given: str) -> dict[str, Correction]:
    """Return the corrections of the file that --corrections names. Raises SettingsError, which names file and line."""
    way_out = "Make one with: matlens review RUN"
    try:
        file = expanded(given)
    except ValueError as error:
        raise SettingsError(f"--corrections {quoted(given)} {error}. {way_out}") from None
    with reading(file, "a file of decisions on labels", SettingsError, way_out):
        log = DecisionLog.read(file)
    if log.torn:
        tell_once(f"The last line of {file} is not whole, as a process leaves it that is killed while it writes. It is "
                  "ignored; all decisions before it count.")
    corrections = corrections_of(log)
    if not corrections:
        tell_once(f"{file} holds {len(log.decisions)} decisions, and none of them changes a label.")
    return corrections


def _checked(value: Any) -> Any:
    """Take a table of paths and corrections."""
    if not isinstance(value, Mapping):
        raise ValueError("give a file of decisions with --corrections FILE; in other places the setting is a table of "
                         "path = [sha256, from, to]")
    if len(value) > MOST:
        raise ValueError(f"it corrects {len(value):,} photos, and at most {MOST:,} are corrected; move photos into "
                         "other class folders instead")
    for path, entry in value.items():
        if not (isinstance(path, str) and stays_inside(path) and isinstance(entry, Sequence) and len(entry) == 3
                and all(isinstance(word, str) for word in entry) and _DIGEST.fullmatch(entry[0]) and entry[1]
                and entry[1] != entry[2]):
            raise ValueError(f"{quoted(path)} = {quoted(entry)} is not path = [sha256, from, to]")
    return {path: tuple(value[path]) for path in sorted(value)}


def in_words(corrections: Mapping[str, Sequence[str]]) -> str:
    """Write '3 relabelled, 1 left out (4f1a9b20)': the last tells apart what else would read the same."""
    if not corrections:
        return "none"
    counts = Counter("relabelled" if entry[2] else "left out" for entry in corrections.values())
    words = ", ".join(f"{counts[kind]} {kind}" for kind in ("relabelled", "left out") if counts[kind])
    return f"{words} ({seal_of({path: list(entry) for path, entry in corrections.items()})[:8]})"


def refuse_unknown_labels(corrections: Mapping[str, Correction], class_names: Sequence[str]) -> None:
    """Raise SettingsError for a correction to a class that the dataset has not."""
    unknown = {path: to for path, (_, _, to) in corrections.items() if to and to not in class_names}
    if unknown:
        path, to = next(iter(unknown.items()))
        more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise SettingsError(f"The corrections label {quoted(path)} as {quoted(to)}{more}, which is no class of this "
                            f"data. Its classes are {', '.join(class_names[:20])}{' ...' * (len(class_names) > 20)}. "
                            "Undo those decisions with matlens review, or add a folder of that name with photos.")


def write_corrections(corrections: Mapping[str, Correction], run_dir: Path) -> None:
    """Leave corrections in the run's folder, as a file that --corrections takes. Raises WriteError."""
    if corrections:
        with whole_file(run_dir / APPLIED_FILE) as partial:
            partial.write_bytes(HEADER + b"".join(
                Decision("", path, digest, given, to, "relabel" if to else "leave_out").line()
                for path, (digest, given, to) in corrections.items()))


LabelCorrections = Annotated[dict[str, Correction], BeforeValidator(_checked), Setting(
    option="--corrections", panel=PHOTOS, given_as=str, metavar="FILE", resumed="must agree", since=SECOND_VERSION,
    shown="none", read=read_corrections, shown_as=in_words, written=lambda value: (APPLIED_FILE,) if value else None,
    help="A file of decisions on labels, as matlens review writes it: photos are trained and tested under their "
         "corrected labels, or left out. Parts are drawn from the labels before, so that they stay the same. What is "
         "applied is copied into the run's folder.")]
