"""List what the folders of a dataset hold: links are followed but never in circles, and what is not used is noted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from matlens.data.layout.own import is_run
from matlens.data.layout.walk import DOCUMENTS, OTHER_PICTURES, SPECIAL, Folder, has_photo_ending, is_placeholder

_DEEPEST = 64
"""How many folders deep a class folder is read."""

_TITLE = re.compile(r"[A-Z]+(?:[_-][A-Z]+)*")
"""The names of documents without an ending: README, LICENSE, THIRD-PARTY. A camera's photo without one has a number."""

Kind = Literal["folder", "deep", "circle", "twice", "nowhere", "special", "format", "hidden", "loose", "outside", "run",
               "no class", "second name", "placeholder"]
"""Why something is not used; `matlens.data.layout.remarks` has the words."""


@dataclass(frozen=True)
class Unused:
    """A file or a folder of a dataset that is not used. detail: the system's reason, or the folder that it lies in."""

    path: str
    kind: Kind
    detail: str = ""


def below(top: Folder, unused: list[Unused], prefix: str = "", seen: set[tuple[int, int]] | None = None,
          hidden: bool = False) -> Iterator[tuple[Folder, str]]:
    """Give `top` and each visible folder below it, with its path below `prefix`, each real folder once.

    Links are followed when all real folders were given, so that a photo has its shortest name without links. What is
    not followed is added to `unused`, as is what cannot be read.

    Args:
        prefix: the path of `top` as it shall be named.
        seen: the real folders that were given before, which are not given again; it grows.
        hidden: also give hidden folders.
    """
    seen = set() if seen is None else seen
    upper = {place.identity for place in top.ancestors}
    waiting: list[tuple[Folder, str, int]] = [(top, prefix, 0)]
    links: list[tuple[Folder, str, int]] = []
    while waiting or links:
        folder, path, depth = waiting.pop() if waiting else links.pop(0)
        if reason := _reason_against(folder, depth, upper, seen):
            unused.append(Unused(path, reason))
            continue
        if folder.identity is not None:
            seen.add(folder.identity)
        if folder.content.problem:
            unused.append(Unused(path, "folder", folder.content.problem))
        yield folder, path
        folders = [*folder.content.folders, *(place for place in folder.content.hidden
                                              if hidden and isinstance(place, Folder))]
        inside = [(child, join(path, child.name), depth + 1) for child in folders]
        waiting += [entry for entry in reversed(inside) if not entry[0].linked]
        links += [entry for entry in inside if entry[0].linked]


def _reason_against(folder: Folder, depth: int, upper: set[tuple[int, int] | None], seen: set[tuple[int, int]],
                    ) -> Kind | None:
    if folder.identity is not None and folder.identity in upper:
        return "circle"
    if folder.identity in seen:
        return "twice"
    if depth > _DEEPEST:
        return "deep"
    return "run" if is_run(folder) else None


def join(path: str, name: str) -> str:
    """Return the path of an entry of a folder, which is "" for the root."""
    return f"{path}/{name}" if path else name


def holds_photos(folder: Folder) -> bool:
    """Return whether a photo lies in a folder or below it."""
    return any(place.content.photos for place, _ in below(folder, []))


def may_be_class(folder: Folder) -> bool:
    """Return whether a folder may be a class: it holds photos, or nothing, or what photos may have become."""
    documents = False
    for place, _ in below(folder, []):
        if place.content.photos or place.content.problem:
            return True
        if any(not _is_document(name) for name in place.content.others) or placeholders_in(place):
            return True
        documents = documents or bool(place.content.others)
    return not documents


def stem_of(name: str) -> str:
    """Return a file name in lower case without its ending."""
    return name.lower().rpartition(".")[0]


def _is_document(name: str) -> bool:
    return name.lower().endswith(DOCUMENTS) or _TITLE.fullmatch(name) is not None


def placeholders_in(place: Folder) -> list[str]:
    """Return the names of the files that stand for photos which iCloud keeps elsewhere."""
    return [name for name in place.content.hidden if isinstance(name, str) and is_placeholder(name)]


@dataclass
class Listing:
    """What the folders of a dataset hold, with paths relative to its root; it grows folder by folder.

    others: files in class folders that are no photos by their names. linked: how many photos lie in folders that links
    lead to, by the path of the link.
    """

    others: list[str] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)
    linked: Counter[str] = field(default_factory=Counter)

    def photos_of(self, folder: Folder, prefix: str, seen: set[tuple[int, int]]) -> list[str]:
        """Return the paths of the photos of a class folder, sorted, and note whatever else lies there.

        seen: the real folders of this class that were read before; it grows.
        """
        photos: list[str] = []
        for place, path in below(folder, self.unused, prefix, seen):
            here = [f"{path}/{name}" for name in place.content.photos]
            photos += here
            stems = {stem_of(name) for name in place.content.photos}
            for name in place.content.others:
                if name.lower().endswith(OTHER_PICTURES) and stem_of(name) not in stems:  # a phone's IMG.HEIC, IMG.JPG
                    self.unused.append(Unused(f"{path}/{name}", "format"))
                else:
                    self.others.append(f"{path}/{name}")
            self._note_odd(place, path)
            if here and (link := _link_to(place, path)):
                self.linked[link] += len(here)
        return sorted(photos)

    def note_loose(self, place: Folder, path: str) -> None:
        """Note the photos that lie directly in a folder of class folders, and whatever is odd there."""
        content = place.content
        self.unused += [Unused(join(path, name), "loose") for name in (
            *content.photos, *(name for name in content.others if name.lower().endswith(OTHER_PICTURES)))]
        self._note_odd(place, path)
        if content.problem:
            self.unused.append(Unused(path, "folder", content.problem))

    def note_outside(self, folder: Folder, path: str) -> None:
        """Note the photos in and below a folder that is no part of the dataset."""
        if is_run(folder):
            self.unused.append(Unused(path, "run"))
            return
        for place, inside in below(folder, self.unused, path):
            self.unused += [Unused(f"{inside}/{name}", "outside", path) for name in place.content.photos]
            self._note_odd(place, inside)

    def _note_odd(self, place: Folder, path: str) -> None:
        """Note what is neither a file nor a folder, and hidden photos."""
        self.unused += [Unused(join(path, name), "special" if what.startswith(SPECIAL) else "nowhere", what)
                        for name, what in place.content.special]
        for entry in place.content.hidden:
            if isinstance(entry, Folder):
                if entry.linked:
                    continue
                for inner, inside in below(entry, [], join(path, entry.name), hidden=True):
                    names = [*inner.content.photos, *(name for name in inner.content.hidden if isinstance(name, str))]
                    self.unused += [Unused(f"{inside}/{name}", "hidden") for name in names if has_photo_ending(name)]
            elif is_placeholder(entry):
                self.unused.append(Unused(join(path, entry), "placeholder"))
            elif has_photo_ending(entry):
                self.unused.append(Unused(join(path, entry), "hidden"))


def _link_to(place: Folder, path: str) -> str:
    """Return the uppermost link by which a folder is reached inside of `path`, or ""."""
    link, words = "", path.split("/")
    for depth, folder in zip(range(len(words)), (place, *place.ancestors), strict=False):
        if folder.linked:
            link = "/".join(words[:len(words) - depth])
    return link
