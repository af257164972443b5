"""The page of a run: `report.html`, one file that needs no network, no script and no other file.

It is made from what the run left on disk, so it can be made again at any time. What is missing or damaged is
named on the page; the rest is shown.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from matlens.comparison.markdown import NOT_THE_SAME_PHOTOS
from matlens.comparison.row import UNKNOWN, Row, percent
from matlens.comparison.table import Comparison, compare
from matlens.errors import RunFolderError
from matlens.evaluation.results import Results
from matlens.files import read_json
from matlens.report.second_look import second_look
from matlens.report.templating import write_page

DEFAULT_TITLE = "What the models see in materials"
PAGE_NAME = "report.html"
LEFT_OUT_SHOWN = 50
FILES_SHOWN = 200
WORST_SHOWN = 3
PICTURES = {
    "training_curves": ("Training curves", "What was learnt in each epoch; the star marks the one kept."),
    "confusion_matrix": ("Confusion matrix", "Rows are true classes, columns are answers."),
    "roc_curves": ("ROC curves", "How many photos of a class are found for how many false alarms."),
    "gradcam": ("Grad-CAM", "Where in a photo the answer comes from: warm is much, cold is little."),
}


@dataclass(frozen=True)
class Picture:
    """A PNG on the page: content in base64, size in pixels, and `alt` for those who cannot see it."""

    kind: str
    title: str
    caption: str
    alt: str
    base64: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page to be read."""
        return self.kind in ("training_curves", "gradcam") or self.width > 1500


@dataclass(frozen=True)
class Section:
    """One judged model: `mistakes` are (true class, answer, photos), `weakest` (class, F1), worst first."""

    results: Results
    row: Row
    pictures: tuple[Picture, ...]
    absent: tuple[str, ...]
    mistakes: tuple[tuple[str, str, int], ...]
    weakest: tuple[tuple[str, float], ...]


def _read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        content = read_json(path)
        if isinstance(content, dict):
            return content
        problems.append(f"{path.name} is damaged: it holds no JSON object.")
    except FileNotFoundError:
        problems.append(f"{path.name} is missing.")
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} is damaged: {error}")
    return {}


def _read_results(run_dir: Path, asked: list[str], problems: list[str]) -> list[Results]:
    """The results of the run's models, each under the name that its files have."""
    found, suffix = [], "_results.json"
    for path in sorted((run_dir / "reports").glob(f"*{suffix}")):
        try:
            results = dataclasses.replace(Results.read(path), model_name=path.name.removesuffix(suffix))
            Row.from_results(results)
            found.append(results)
        except RunFolderError as error:
            problems.append(str(error))
    judged = {results.model_name for results in found}
    problems += [f"{name} was asked for and has no results: it was not trained or not judged to the end."
                 for name in asked if name not in judged]
    return found


def _read_picture(run_dir: Path, kind: str, results: Results) -> Picture | None:
    try:
        content = (run_dir / "reports" / f"{results.model_name}_{kind}.png").read_bytes()
    except OSError:
        return None
    if len(content) < 24 or not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    title, caption = PICTURES[kind]
    known = {
        "training_curves": f"best epoch {results.best_epoch or UNKNOWN} of {results.epochs or UNKNOWN}",
        "confusion_matrix": f"{_percent(results.accuracy)} of {results.n_test:,} test photos are right",
        "roc_curves": f"macro average area {_percent(results.roc_auc.get('macro'))}",
        "gradcam": "heat maps laid over test photos",
    }
    width, height = struct.unpack(">II", content[16:24])  # PNG specification, 11.2.1: IHDR comes first
    return Picture(kind, title, caption, f"{title} of {results.model_name}: {known[kind]}.",
                   base64.b64encode(content).decode("ascii"), width, height)


def _section(run_dir: Path, results: Results, row: Row) -> Section:
    pictures = {kind: _read_picture(run_dir, kind, results) for kind in PICTURES}
    names = results.class_names
    mistakes = [(names[i], names[j], count) for i, line in enumerate(results.confusion_matrix)
                for j, count in enumerate(line) if i != j and count]
    scored = [(name, score["f1"]) for name, score in results.per_class.items() if score["support"]]
    return Section(results, row, tuple(picture for picture in pictures.values() if picture),
                   tuple(PICTURES[kind][0] for kind, picture in pictures.items() if not picture),
                   tuple(sorted(mistakes, key=lambda mistake: -mistake[2])[:WORST_SHOWN]),
                   tuple(sorted(scored, key=lambda pair: pair[1])[:WORST_SHOWN]))


def _percent(share: float | None) -> str:
    return percent(share).replace(" ", "\u00a0")


def _plus_minus(row: Row) -> str:
    """'86.3 % ± 1.7'; without the error where none can be told (no photo, or not one mistake)."""
    return _percent(row.accuracy) + (f"\u00a0±\u00a0{100 * row.error:.1f}" if row.error else "")


def verdict(comparison: Comparison, best: Results) -> tuple[str, list[str]]:
    """A headline, and what a reader needs before believing it; `best` is the first row's model."""
    first, *others = comparison.rows
    if not comparison.same_photos:
        return "These models cannot be ranked", [NOT_THE_SAME_PHOTOS]
    headline = f"{first.model} is right on {_plus_minus(first)} of {first.n_test:,} test photos"
    sentences = []
    if lead := comparison.lead():
        ahead, error = (100 * value for value in lead)
        sentences.append(
            f"It comes first of {len(comparison.rows)} models, {ahead:.1f} points ahead of {others[0].model} "
            f"({_plus_minus(others[0])})." if ahead else
            f"It shares the first place of {len(comparison.rows)} models with {others[0].model}.")
        if ahead > 2 * error:
            sentences.append("The lead is more than two standard errors of the difference "
                             f"({2 * error:.1f} points).")
        elif ahead:
            sentences.append("The lead may be chance: two standard errors of the difference are "
                             f"{2 * error:.1f} points.")
    support = {name: score["support"] for name, score in best.per_class.items()}
    if total := sum(support.values()):
        common = max(support, key=support.__getitem__)
        share = support[common] / total
        clear = first.accuracy - share > 2 * (first.error or 0.0)
        sentences.append(f"Always answering \u201c{common}\u201d, the most frequent class, would be right on "
                         f"{_percent(share)}{'' if clear else ', which is not clearly less'}.")
    if first.error:
        sentences.append("\u00b1 is one standard error, in percentage points.")
    return headline, sentences


def _data(split: Mapping[str, Any]) -> dict[str, Any]:
    """Photos by class and part, and what was left out, from the content of split.json."""
    photos, left_out = split.get("photos", []), split.get("left_out", [])
    counts = Counter((photo["class"], photo["part"]) for photo in photos)
    parts = [part for part in ("train", "val", "test") if any(key[1] == part for key in counts)]
    table = [(name, [counts[name, part] for part in parts]) for name in split.get("class_names", [])]
    return {"parts": parts, "table": table,
            "totals": [sum(column) for column in zip(*(counted for _, counted in table), strict=True)],
            "left_out": [(left["path"], left["reason"]) for left in left_out[:LEFT_OUT_SHOWN]],
            "left_out_more": max(len(left_out) - LEFT_OUT_SHOWN, 0),
            "reasons": Counter(left["reason"] for left in left_out).most_common()}


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _files(run_dir: Path) -> list[tuple[str, str, int | None]]:
    """(relative path, link, bytes or None for a folder) of what the run left."""
    places = [run_dir / name for name in ("reports", "models", "logs")]
    found = [path for place in (run_dir, *places) if place.is_dir() for path in sorted(place.iterdir())
             if path not in places and path != run_dir / PAGE_NAME and not path.name.startswith(".")]
    return [(shown := path.relative_to(run_dir).as_posix() + ("/" if path.is_dir() else ""),
             "./" + quote(os.fsencode(shown)), None if path.is_dir() else path.stat().st_size)
            for path in found]


def _duration(seconds: float | None) -> str:
    """4.2 s, 48 s, 3 min 12 s, 2 h 05 min."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _size(count: float | None) -> str:
    """Bytes as 512 B, 3.4 kB, 94.6 MB or 1.2 GB (powers of 1000)."""
    if count is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _millions(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count / 1e6:,.1f} M"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def write_report(run_dir: Path | str, title: str | None = None) -> Path:
    """Write `run_dir`/report.html, whole or not at all, from the files of the run.

    `title` is by default the one in run.json. Raises RunFolderError if `run_dir` is no folder.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise RunFolderError(f"{run_dir} is not a folder. Name the one that was given to matlens run --out.")
    problems: list[str] = []
    run, split = (_read_object(run_dir / name, problems) for name in ("run.json", "split.json"))
    found = _read_results(run_dir, run.get("models", []), problems)
    judged = {results.model_name: results for results in found}
    comparison = compare(judged.values()) if judged else None
    sections = [_section(run_dir, judged[row.model], row) for row in comparison.rows] if comparison else []
    problems += [f"{section.results.model_name}: no picture of {', '.join(section.absent)}."
                 for section in sections if section.absent]
    problems += [f"{results.model_name} was judged on another split than the one in split.json."
                 for results in found if results.split_hash != split.get("hash", results.split_hash)]
    headline, sentences = (verdict(comparison, sections[0].results) if comparison else
                           ("No model has been judged yet", ["The same command goes on from here."]))
    look = second_look(run_dir, run, problems) if comparison else None
    versions = dict(run.get("versions", {}))
    for results in judged.values():
        versions = results.versions | versions
    files = _files(run_dir)
    return write_page(
        run_dir / PAGE_NAME, "page.html.j2",
        {"percent": _percent, "plus_minus": _plus_minus, "duration": _duration, "size": _size, "number": _number,
         "millions": _millions},
        title=title or run.get("title") or DEFAULT_TITLE, headline=headline, sentences=sentences,
        problems=problems, comparison=comparison, sections=sections, look=look, split=split, data=_data(split),
        settings=dict(_flat(run.get("settings", {}))), versions=versions,
        files=files[:FILES_SHOWN], files_more=max(len(files) - FILES_SHOWN, 0))
