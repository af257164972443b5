"""The page's section of downloads: the run's files, as links that work while the page lies in the run's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

FILES_SHOWN = 200
PAGE_NAME = "report.html"

_NOT_LISTED = frozenset({PAGE_NAME, "states"})


@dataclass(frozen=True)
class File:
    """A file or folder of the run: its path in the run's folder, a link to it, and its bytes."""

    shown: str
    link: str
    size: int


@dataclass(frozen=True)
class Downloads:
    """The run's files under titles; `more`: how many are not listed."""

    groups: tuple[tuple[str, tuple[File, ...]], ...]
    more: int


def view_downloads(run_dir: Path) -> Downloads:
    """List what lies in the run's folder, as links from its page; not the page itself."""
    places = [run_dir / name for name in ("reports", "models", "logs")]
    files = [path for place in (*places, run_dir) if place.is_dir() for path in sorted(place.iterdir())
             if path not in places and path.name not in _NOT_LISTED and not path.name.startswith(".")]
    groups: dict[str, list[File]] = {title: [] for title in ("Results and tables", "Pictures", "Models", "The run",
                                                             "Logs")}
    for path in files[:FILES_SHOWN]:
        groups[_title(path, run_dir)].append(_file(run_dir, path))
    return Downloads(tuple((title, tuple(listed)) for title, listed in groups.items() if listed),
                     max(len(files) - FILES_SHOWN, 0))


def _title(path: Path, run_dir: Path) -> str:
    if path.parent == run_dir:
        return "The run"
    if path.parent.name == "reports":
        return "Pictures" if path.suffix in (".png", ".svg") else "Results and tables"
    return path.parent.name.capitalize()


def _file(run_dir: Path, path: Path) -> File:
    shown = path.relative_to(run_dir).as_posix() + ("/" if path.is_dir() else "")
    size = (sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir()
            else path.stat().st_size)
    return File(shown, link_to(shown), size)


def link_to(shown: str) -> str:
    """Make a link from the page to a file of the run, whatever letters its name has."""
    return f"./{quote(os.fsencode(shown))}"
