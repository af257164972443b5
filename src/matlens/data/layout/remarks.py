"""Say what of a dataset is not used, or is reached by links: nothing is left out in silence."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from matlens.data.layout.listing import Kind, Unused
from matlens.system.console import Reporter, shell_word

if TYPE_CHECKING:
    from matlens.data.source.sources import Source

_SHOWN = 3

_SERIOUS: dict[Kind, tuple[str, str]] = {
    "folder": ("folder{s} cannot be read, so that photos may be missing", ". Change the permissions"),
    "deep": ("folder{s} lie{not_s} deeper than matlens reads", ". Move the photos up"),
    "nowhere": ("link{s} lead{not_s} nowhere, so that photos may be missing", ""),
    "special": ("entr{y} {is_are} no regular file{s} and {is_are} not read", ""),
    "format": ("picture{s} {is_are} in a format that matlens does not read, and {is_are} not used",
               ". Convert them to JPEG, for example, in the dataset's folder: {conversion}"),
    "placeholder": ("photo{s} {is_are} in iCloud and not on this disk", ". Download them: in the Finder, open the "
                    "folder's menu and choose Download Now"),
    "second name": ("class folder{s} lead{not_s} to a folder that is read as another class, and {is_are} no "
                    "class{es} of {its_their} own", ". Replace each link by a folder of photos, or remove it"),
    "loose": ("photo{s} lie{not_s} in no class folder and {is_are} not used", ""),
    "outside": ("photo{s} lie{not_s} in folders that are no part of the dataset, and {is_are} not used", "")}
"""The words for what a reader of results must know, after the number, and the way out."""

_HARMLESS: dict[Kind, str] = {
    "circle": "link{s} lead{not_s} back to a folder above and {is_are} not followed",
    "twice": "link{s} lead{not_s} to a folder that is read under another name",
    "hidden": "photo{s} {is_are} hidden by {its_their} name or folder and {is_are} not used",
    "run": "folder{s} of matlens' own runs {is_are} not read",
    "no class": "folder{s} hold{not_s} documents only and {is_are} no class{es}"}
"""The words for what needs no more than a line."""


def conversion_of(picture: str) -> str:
    """Return a command that converts a picture, and those beside it, to a format that matlens reads."""
    path = PurePath(picture)
    return f"magick mogrify -format jpg {shell_word(path.parent)}/*{shell_word(path.suffix)}"


def remarks_of(source: Source) -> tuple[str, ...]:
    """Return what a reader of results must know: photos that may be missing, and classes whose names were joined."""
    return (*source.naming, *(_counted(some, words) + way_out.format(conversion=conversion_of(in_utf8(some[0].path)))
                              for kind, (words, way_out) in _SERIOUS.items() if (some := _of(source, kind))))


def notes_of(source: Source) -> tuple[str, ...]:
    """Return what else is not used, or is reached by links."""
    notes = [_counted(some, words) for kind, words in _HARMLESS.items() if (some := _of(source, kind))]
    if source.linked:
        n, shown = sum(source.linked.values()), _some([f"{link}: {n}" for link, n in source.linked.items()])
        notes.append(f"{n} photo{'s' * (n != 1)} {'are' if n != 1 else 'is'} reached by links ({shown})")
    if source.other_files:
        words = ("file in a class folder is no photo by its name and is" if source.other_files == 1 else
                 "files in class folders are no photos by their names and are")
        notes.append(f"{source.other_files} {words} not used ({_some(source.others)})")
    return tuple(notes)


def tell_unused(source: Source, reporter: Reporter) -> None:
    """Warn of what may be missing, and print what else is not used."""
    for remark in remarks_of(source):
        reporter.warn(remark)
    for note in notes_of(source):
        reporter.say(note)


def _of(source: Source, kind: Kind) -> list[Unused]:
    return [unused for unused in source.unused if unused.kind == kind]


def _counted(some: Sequence[Unused], words: str) -> str:
    many = len(some) != 1
    named = ([f"{folder} ({n})" for folder, n in Counter(unused.detail for unused in some).items()]
             if some[0].kind == "outside" else [_named(unused) for unused in some])
    filled = words.format(s="s" * many, not_s="s" * (not many), is_are="are" if many else "is",
                          its_their="their" if many else "its", y="ies" if many else "y", es="es" * many)
    return f"{len(some)} {filled}: {_some(named)}"


def _named(unused: Unused) -> str:
    return f"{unused.path}{f' ({unused.detail})' if unused.detail else ''}"


def _some(words: Sequence[str]) -> str:
    more = len(words) - _SHOWN
    return in_utf8(", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else ""))


def in_utf8(path: str) -> str:
    """Return a path as text that any file can hold: bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
