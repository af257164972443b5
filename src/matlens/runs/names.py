"""Short names that tell several folders apart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def distinct_names(folders: Iterable[Path]) -> dict[Path, str]:
    """Return the shortest end of each folder's path that no other folder's path has: `a/run` and `b/run`.

    A folder that is given twice, or through a link, is there once, as it was given first.
    """
    given: dict[tuple[str, ...], Path] = {}
    for folder in folders:
        given.setdefault(folder.resolve().parts, folder)
    return {folder: _shortest(own, [other for other in given if other != own]) for own, folder in given.items()}


def _shortest(own: tuple[str, ...], others: list[tuple[str, ...]]) -> str:
    length = next((n for n in range(1, len(own)) if not any(other[-n:] == own[-n:] for other in others)), len(own))
    return str(Path(*own[-length:]))
