"""Show on the page what it takes to repeat the run: commands, settings, versions, and the machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matlens.evaluation.results import Results
from matlens.report.contents import Contents, mapping
from matlens.report.sections.applied import applied_settings
from matlens.report.words import text_of
from matlens.settings.repetition import run_command


@dataclass(frozen=True)
class Repeat:
    """What it takes to repeat a run.

    command: the plain `matlens run`, or None. unsaid: the settings that it cannot state.
    tables: (title, (name, value) ...) of settings, versions, and the machine.
    starts: how many of them run.json records.
    """

    command: str | None
    unsaid: tuple[str, ...]
    tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    starts: int


def view_repeat(contents: Contents) -> Repeat:
    """Gather it from run.json, and from the versions that results name."""
    run = contents.run
    settings, starts = mapping(run.get("settings")), run.get("starts")
    last = mapping(starts[-1]) if isinstance(starts, list) and starts else {}
    versions = _versions(contents.results) | mapping(last.get("frameworks")) | mapping(run.get("versions"))
    machine = {key: last[key] for key in ("hardware", "git", "environment") if last.get(key)}
    command, unsaid = run_command(settings)
    applied = dict(applied_settings(settings, contents.results))
    tables = [("Settings", _flat(applied)), ("Versions", _flat(versions)), ("Machine and code", _flat(machine))]
    return Repeat(command, unsaid, tuple((title, rows) for title, lines in tables if (rows := tuple(lines))),
                  len(starts) if isinstance(starts, list) else 0)


def _versions(results: Iterable[Results]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for result in results:
        versions = result.versions | versions
    return versions


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", text_of(value)
