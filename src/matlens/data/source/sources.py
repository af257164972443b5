"""Find the photos of a dataset, and recognise how its folder is laid out. No photo is opened or changed."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from matlens.data.layout.doubts import doubts_about, refuse_masks
from matlens.data.layout.layouts import LISTS as LISTS
from matlens.data.layout.layouts import Layout, candidates, class_folders, layout_of, readable, split_numbers
from matlens.data.layout.listing import Listing, Unused, holds_photos
from matlens.data.layout.naming import ClassFolder, class_names_of
from matlens.data.layout.parts import PARTS as PARTS
from matlens.data.layout.parts import part_named
from matlens.data.layout.walk import IMAGE_SUFFIXES, Folder, rooted
from matlens.data.layout.walk import is_hidden as is_hidden
from matlens.data.layout.walk import is_photo as is_photo
from matlens.errors import DataError
from matlens.system.console import shell_word
from matlens.system.registry import folders_near
from matlens.system.untrusted import JSON_LIMIT, read_text, reading

_WRAPPERS = 4
"""How many folders around a dataset are looked through, as unpacked archives have them."""


@dataclass(frozen=True)
class Listed:
    """A photo by its name. path: relative to the dataset's root, with forward slashes."""

    path: str
    class_name: str
    part: str | None = None


@dataclass(frozen=True)
class Source:
    """A dataset as it lies on disk.

    layout: `folders` (class folders), `minc` (images/<class>/ and labels/train1.txt ...), or `prepared`
        (train/ val/ test/ of class folders, or class folders of these parts).
    class_names: sorted. Every class folder counts, also an empty one.
    split_numbers: the official splits whose train, validate and test lists are all there.
    folders: the folders of each class, relative to the root.
    others: the files in class folders whose names are not those of photos, sorted.
    unused: everything else that is not read, and why. linked: how many photos are reached by each link to a folder.
    naming: what to say about class folders whose names are nearly equal, or which may be no classes.
    """

    root: Path
    layout: Layout
    class_names: tuple[str, ...]
    photos: tuple[Listed, ...]
    split_numbers: tuple[int, ...] = ()
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    unused: tuple[Unused, ...] = ()
    linked: Mapping[str, int] = field(default_factory=dict)
    naming: tuple[str, ...] = ()

    @property
    def other_files(self) -> int:
        """Return how many files in class folders have names that are not those of photos."""
        return len(self.others)


def open_source(folder: Path) -> Source:
    """Recognise the dataset in `folder`, or in the single folder of photos inside it (as unpacked archives have).

    Raises:
        DataError: there is no such folder, or it has no photos or fewer than two classes, or its photos are laid out
            for something else.
    """
    if not folder.exists() and (match := re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(folder))):
        raise DataError(f"An address ({match[0]}/...) stands where a folder is read. matlens run, train and matlens "
                        "data find, counts, audit, samples and split take addresses: matlens run --data ADDRESS. A "
                        "dataset of Kaggle is downloaded with: matlens data fetch OWNER/NAME")
    if not folder.exists():
        raise DataError(f"No such folder: {folder}.{folders_near(folder) or ' Name the folder that holds the photos.'}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, and a dataset is a folder with one subfolder of photos for each class.")
    return source_in(rooted(folder))


def source_in(top: Folder) -> Source:
    """Recognise the dataset in a folder that may have been read in part. Raises DataError as `open_source` does."""
    place = top
    for _ in range(_WRAPPERS):
        layout = layout_of(place)
        if layout is not None:
            return _checked(_source(place, layout))
        inner = [folder for folder in candidates(place) if holds_photos(folder)]
        if len(inner) != 1:
            break
        place = inner[0]
    raise DataError(f"{_no_dataset(place, top)} Expected one of: class folders ({top.name or top.path}/wood/*.jpg, "
                    "...); train/ val/ test/ of class folders; or MINC-2500's layout (images/<class>/*.jpg with "
                    "labels/train1.txt, validate1.txt, test1.txt).")


def _no_dataset(place: Folder, top: Folder) -> str:
    """Say what a folder without class folders of photos holds instead."""
    loose = readable(place).content.photos
    if loose:
        part = " It is a part by its name, so each class needs a folder in it." if part_named(place.name) else ""
        return (f"{place.path} holds {len(loose):,} photo{'s' * (len(loose) != 1)} in no class folder, such as "
                f"{loose[0]}.{part} Put the photos of each class into a folder of its own.")
    files = [f"{folder.name}/{name}" for folder in place.content.folders for name in folder.content.others]
    if files:
        endings = sorted({PurePath(name).suffix.lower() or "no ending" for name in files})
        return (f"No photos found in {top.path}: its folders hold {len(files)} files, such as {files[0]}, and none has "
                f"the ending of a photo (they end in {', '.join(endings[:5])}; photos end in "
                f"{', '.join(sorted(IMAGE_SUFFIXES))}). Convert them.")
    return f"No photos found in {top.path}."


def _source(root: Folder, layout: Layout) -> Source:
    listing = Listing()
    places = list(class_folders(root, layout, listing))
    refuse_masks(places)
    class_of, naming = class_names_of(places)
    seen: dict[tuple[str, str | None], set[tuple[int, int]]] = defaultdict(set)
    photos = {place.path: listing.photos_of(place.folder, place.path, seen[class_of[place.name], place.part])
              for place in sorted(places, key=lambda place: place.folder.linked)}
    folders: dict[str, list[str]] = {class_of[place.name]: [] for place in places}
    for place in sorted(places, key=lambda place: PARTS.index(place.part) if place.part else 0):
        folders[class_of[place.name]].append(place.path)
    return Source(
        Path(root.path), layout, _in_order(folders, layout),
        tuple(Listed(path, class_of[place.name], place.part)
              for place in sorted(places, key=_place_order) for path in photos[place.path]),
        split_numbers(root) if layout == "minc" else (), {name: tuple(paths) for name, paths in folders.items()},
        tuple(sorted(listing.others)), tuple(listing.unused), dict(listing.linked), (*naming, *doubts_about(places)))


def _place_order(place: ClassFolder) -> list[str]:
    return unicodedata.normalize("NFC", place.path).split("/")


def _in_order(class_names: Mapping[str, object], layout: Layout) -> tuple[str, ...]:
    if layout == "prepared":
        return tuple(sorted(class_names))
    return tuple(sorted(class_names, key=lambda name: unicodedata.normalize("NFC", name)))


def _checked(source: Source) -> Source:
    if not source.class_names:
        raise DataError(f"{source.root} holds no class folders. Put a folder of photos for each class there.")
    if len(source.class_names) < 2 and part_named(source.class_names[0]):
        name = source.class_names[0]
        raise DataError(f"{source.root} holds one folder, {name}, which is a part by its name and holds no class "
                        f"folders. Put the photos of each class into a folder of its own, such as "
                        f"{source.root / name}/wood/1.jpg.")
    if len(source.class_names) < 2:
        raise DataError(f"{source.root} holds one class only ({source.class_names[0]}); "
                        "telling materials apart takes at least two class folders.")
    if not source.photos:
        raise DataError(f"The {len(source.class_names)} class folders in {source.root} hold no photos "
                        f"({', '.join(sorted(IMAGE_SUFFIXES))}).")
    _refuse_undecodable(source)
    return source


def _refuse_undecodable(source: Source) -> None:
    """Raise DataError for names in another encoding, as in old archives: no manifest or report could hold them."""
    names = "\n".join([*source.class_names, *(photo.path for photo in source.photos)])
    try:
        names.encode()
    except UnicodeEncodeError as error:
        name = names[names.rfind("\n", 0, error.start) + 1:].partition("\n")[0]
        raise DataError(f"The name {os.fsencode(name)!r} in {source.root} is not UTF-8. Rename that file or folder."
                        ) from error


def refuse_among_photos(out: Path, source: Source) -> None:
    """Raise DataError if a folder to write to lies where a dataset's photos do: what is written would pass for some."""
    root, target = source.root.resolve(), out.resolve()
    tops = {root} if source.layout == "folders" else {root / path.split("/")[0] for paths in source.folders.values()
                                                      for path in paths}
    linked = {(root / link).resolve() for link in source.linked}
    if any(target.is_relative_to(place) for place in tops | linked):
        raise DataError(f"{out} lies among the photos of {root}, and what a run writes would pass for photos. Name a "
                        f"folder outside, for example: --out {shell_word(root.parent / 'runs' / target.name)}")


def read_official_split(source: Source, number: int) -> tuple[Listed, ...]:
    """Return the photos of official split `number`, in the order train, val, test and then of the lists.

    Raises:
        DataError: there is no such split, or a list cannot be read, names no photo of a class folder, or lists a photo
            twice.
    """
    if number not in source.split_numbers:
        have = ", ".join(f"minc:{n}" for n in source.split_numbers) or "none"
        raise DataError(f"{source.root} has no official split minc:{number}; there are: {have}. Name one with "
                        "--protocol.")
    photos: dict[str, Listed] = {}
    for listing, part in LISTS.items():
        file = source.root / "labels" / f"{listing}{number}.txt"
        for path in listed_in(file):
            pieces = path.split("/")
            if len(pieces) != 3 or pieces[0] != "images" or pieces[1] not in source.class_names or ".." in pieces:
                raise DataError(f"{file}: the line '{path}' does not name a photo as images/<class>/<file>. Correct "
                                "the list, or use --protocol random.")
            if path in photos:
                raise DataError(f"{file}: {path} is listed twice in split {number} (also as {photos[path].part}). "
                                "Correct the list, or use --protocol random.")
            photos[path] = Listed(path, pieces[1], part)
    return tuple(photos.values())


def listed_in(file: Path) -> list[str]:
    """Return the paths that one of MINC's lists names. Raises DataError if the list cannot be read."""
    with reading(file, "a list of photos", DataError, "Get the labels folder again, or use --protocol random."):
        return list(filter(None, map(str.strip, read_text(file, JSON_LIMIT).splitlines())))
