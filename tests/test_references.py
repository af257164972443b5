"""Sentences that name a file or a module of the project name one that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from matlens.settings.schema import Settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "matlens"
PLACES = (ROOT, PACKAGE, ROOT / "tests")
"""What paths in sentences are relative to."""
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__")
A_FILE = re.compile(r"(?<![\w/.~*<>{}-])(?![ab]/)((?:[\w-]+/)+[\w-]+\.py)\b")
"""A path of code; `a/` and `b/` begin those of a diff."""
A_MODULE = re.compile(rf"`((?:matlens\.)?(?:{'|'.join(ROOMS)})(?:\.\w+)+)[`(]")
FOR_READERS = re.compile(r'"""(?s:.*?)"""|#.*')
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CODE = sorted(path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def sentences(path: Path) -> str:
    """The text of a page; of code its docstrings, strings under names, and comments."""
    text = path.read_text("utf-8")
    return text if path.suffix == ".md" else "\n".join(FOR_READERS.findall(text))


def lost(path: Path) -> Iterator[str]:
    """Yield what a page or a file of code names and the project does not have."""
    text = sentences(path)
    for file in A_FILE.findall(text):
        if not any((place / file).is_file() for place in (*PLACES, path.parent)):
            yield file
    for name in A_MODULE.findall(text):
        parts = name.removeprefix("matlens.").split(".")
        if parts[-1] not in ("py", "json", "html", "png", "npy", "md") and not is_in_the_package(parts):
            yield name


def is_in_the_package(parts: list[str]) -> bool:
    """Return whether there is a module of this name, or one that has such a name inside; or a setting."""
    if parts[0] == "settings" and parts[1] in Settings.model_fields:
        return True
    for length in range(len(parts), 0, -1):
        place = PACKAGE.joinpath(*parts[:length])
        module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if module.is_file():
            names = parts[length:length + 1]
            return all(re.search(rf"\b{name}\b", module.read_text("utf-8")) for name in names)
    return False


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_names_files_that_are_there(path: Path) -> None:
    """Whoever follows a page must find what it speaks of."""
    assert sorted(set(lost(path))) == []


def test_docstrings_and_comments_name_files_that_are_there() -> None:
    """What was moved or renamed is easily forgotten where it is only spoken of."""
    assert {str(path.relative_to(ROOT)): names for path in CODE if (names := sorted(set(lost(path))))} == {}
