"""Recognise how a folder of photos is laid out, and refuse what is no dataset of classes as what it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from matlens.data.layout.doubts import (
    MARKS,
    PICTURES,
    holds_classes,
    refuse_boxes,
    refuse_parts_and_datasets,
    unwrapped,
)
from matlens.data.layout.listing import Listing, Unused, holds_photos, join, may_be_class
from matlens.data.layout.naming import ClassFolder
from matlens.data.layout.own import is_run
from matlens.data.layout.parts import parts_among
from matlens.data.layout.walk import Folder
from matlens.errors import DataError
from matlens.system.console import shell_word

Layout = Literal["folders", "minc", "prepared"]

LISTS = {"train": "train", "validate": "val", "test": "test"}
"""The part that each of MINC-2500's lists belongs to, by the list's name."""

_LIST_NAME = re.compile(r"(train|validate|test)(\d+)\.txt")

def layout_by_names(place: Folder) -> Layout | None:
    """Return `minc` or `prepared` if the names of a folder's subfolders show it, without looking for photos; else None.

    Raises:
        DataError: the folder, or that of the lists, cannot be read.
    """
    folders = readable(place).content.folders
    if {"images", "labels"} <= {folder.name for folder in folders} and split_numbers(place):
        return "minc"
    parts = parts_among(folders)
    return "prepared" if any(folder.content.folders for folder in parts) else None


def layout_of(place: Folder) -> Layout | None:
    """Return the layout of a folder, or None if it is no dataset, though one may lie deeper.

    Raises:
        DataError: a folder cannot be read; the photos are divided or marked, but not by classes; or there are several
            datasets.
    """
    named = layout_by_names(place)
    if named == "minc":
        return named
    for folder in (place, *(parts_among(place.content.folders) if named == "prepared" else ())):
        _refuse_marked(folder)
    if named == "prepared":
        return named
    _refuse_parts_without_classes(place)
    classes = candidates(place)
    holders = [folder for folder in classes if holds_photos(folder)]
    if not holders or (len(classes) == 1 and holds_classes(classes[0])):
        return None
    divided = [folder for folder in holders if has_parts_inside(folder)] if len(holders) > 1 else []
    if len(divided) == len(holders):
        return "prepared"
    if divided:
        whole = next(folder for folder in holders if folder not in divided)
        parts = ", ".join(part.name for part in parts_among(divided[0].content.folders))
        raise DataError(f"The class {divided[0].name} in {place.path} is divided into parts ({parts}), and the class "
                        f"{whole.name} is not. Divide all classes so, or move the photos of each class into one "
                        "folder.")
    inner = [dataset for folder in holders if len(holders) > 1
             if layout_by_names(dataset := unwrapped(folder)) is not None]
    if inner:
        raise DataError(f"{place.path} holds {'datasets of their own' if len(inner) > 1 else 'a dataset of its own'} "
                        f"beside other folders: {', '.join(folder.name for folder in inner[:5])}. Name one of them, "
                        f"for example: {shell_word(inner[0].path)}, or move it elsewhere.")
    refuse_parts_and_datasets(place, holders)
    refuse_boxes(holders)
    return "folders"


def candidates(place: Folder) -> list[Folder]:
    """Return the subfolders that may be classes, in the order of their names."""
    return [folder for folder in place.content.folders if not is_run(folder) and may_be_class(folder)]


def has_parts_inside(folder: Folder) -> bool:
    """Return whether the photos of a class lie in parts: brick/train/1.jpg."""
    parts = parts_among(folder.content.folders)
    return bool(parts) and sum(len(part.content.photos) for part in parts) > len(folder.content.photos) and all(
        inner in parts and inner.content.photos for inner in folder.content.folders if holds_photos(inner))


def readable(folder: Folder) -> Folder:
    """Return a folder that could be read. Raises DataError for others."""
    if folder.content.problem:
        raise DataError(f"Cannot read the folder {folder.path}: {folder.content.problem}. Change its permissions, or "
                        "name another folder.")
    return folder


def split_numbers(root: Folder) -> tuple[int, ...]:
    """Return the official splits of which all lists are in labels/. Raises DataError if that cannot be read."""
    labels = next(folder for folder in root.content.folders if folder.name == "labels")
    lists = Counter(int(match[2]) for name in readable(labels).content.others
                    if (match := _LIST_NAME.fullmatch(name)))
    return tuple(sorted(number for number, count in lists.items() if count == len(LISTS)))


def _refuse_marked(place: Folder) -> None:
    """Raise DataError for photos with boxes or masks (YOLO, VOC): these say where things are, not of which class."""
    named = {folder.name.lower(): folder for folder in place.content.folders}
    for pictures in (named[name] for name in sorted(PICTURES & named.keys())):
        for marks in (named[name] for name in sorted(MARKS & named.keys())):
            if not _is_flat(pictures):
                continue
            raise DataError(f"{place.path} is laid out for finding things in photos (as for YOLO or VOC): "
                            f"{pictures.name}/ holds photos in no class folders, and {marks.name}/ what is in them. "
                            "matlens learns one class for each photo. Put the photos of each class into a folder of "
                            f"its own, such as {place.path}/wood/1.jpg.")


def _is_flat(pictures: Folder) -> bool:
    """Return whether photos lie in a folder directly, or in parts without class folders."""
    folders = pictures.content.folders
    return (not any(holds_photos(folder) for folder in folders) and bool(pictures.content.photos)) or any(
        part.content.photos and not part.content.folders for part in parts_among(folders))


def _refuse_parts_without_classes(place: Folder) -> None:
    parts = parts_among(place.content.folders)
    if len(set(parts.values())) > 1 and any(part.content.photos for part in parts):
        names = " and ".join(f"{folder.name}/" for folder in parts)
        one = next(iter(parts))
        raise DataError(f"The folders {names} in {place.path} are parts by their names, and no classes, but they hold "
                        f"no class folders. Put the photos of each class into a folder of its own in each part, such "
                        f"as {one.path}/wood/1.jpg.")


def class_folders(root: Folder, layout: Layout, listing: Listing) -> Iterator[ClassFolder]:
    """Give the class folders of a dataset, and note what lies beside them."""
    listing.note_loose(root, "")
    if layout == "folders":
        yield from _classes_in(root, "", None, listing)
    elif layout == "minc":
        for folder in root.content.folders:
            if folder.name == "images":
                listing.note_loose(folder, "images")
                yield from _classes_in(folder, "images", None, listing)
            elif folder.name != "labels":
                listing.note_outside(folder, folder.name)
    elif layout_by_names(root) == "prepared":
        yield from _classes_of_parts(root, listing)
    else:
        for folder in root.content.folders:
            if not has_parts_inside(folder):
                listing.note_outside(folder, folder.name)
                continue
            listing.note_loose(folder, folder.name)
            for place, part in parts_among(folder.content.folders).items():
                yield ClassFolder(place, f"{folder.name}/{place.name}", part, folder.name)


def _classes_of_parts(root: Folder, listing: Listing) -> Iterator[ClassFolder]:
    parts = parts_among(root.content.folders)
    names = {inner.name for folder in parts if len(folder.content.folders) > 1 for inner in folder.content.folders}
    for folder in root.content.folders:
        if folder not in parts:
            listing.note_outside(folder, folder.name)
            continue
        place, path = folder, folder.name
        listing.note_loose(place, path)
        while (deeper := _only_wrapper(place, names)) is not None:
            for other in place.content.folders:
                if other is not deeper:
                    listing.note_outside(other, join(path, other.name))
            place, path = deeper, join(path, deeper.name)
            listing.note_loose(place, path)
        yield from _classes_in(place, path, parts[folder], listing)


def _only_wrapper(place: Folder, class_names: set[str]) -> Folder | None:
    """Return the folder that holds all class folders of a part, as in seg_train/seg_train/forest; else None."""
    holders = [folder for folder in place.content.folders if may_be_class(folder)]
    if len(holders) != 1 or holders[0].content.photos or holders[0].name in class_names:
        return None
    return holders[0] if any(map(holds_photos, holders[0].content.folders)) else None


def _classes_in(place: Folder, path: str, part: str | None, listing: Listing) -> Iterator[ClassFolder]:
    upper = {folder.identity for folder in (place, *place.ancestors)}
    taken: dict[tuple[int, int], str] = {}
    for folder in place.content.folders:
        here = join(path, folder.name)
        if is_run(folder):
            listing.unused.append(Unused(here, "run"))
        elif folder.identity is not None and folder.identity in upper:
            listing.unused.append(Unused(here, "circle"))
        elif folder.identity is not None and folder.identity in taken:
            listing.unused.append(Unused(here, "second name", taken[folder.identity]))
        elif not may_be_class(folder):
            listing.unused.append(Unused(here, "no class"))
        else:
            if folder.identity is not None:
                taken[folder.identity] = here
            yield ClassFolder(folder, here, part, folder.name)
