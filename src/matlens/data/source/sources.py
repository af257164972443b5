"""Find the photos of a dataset, and recognise how its folder is laid out. No photo is opened or changed."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matlens.errors import DataError
from matlens.system.untrusted import JSON_LIMIT, read_text, reading

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_ENDINGS = tuple(IMAGE_SUFFIXES)
PARTS = ("train", "val", "test")

Layout = Literal["folders", "minc", "prepared"]

_PART_FOLDERS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "valid": "val",
                 "test": "test"}
LISTS = {"train": "train", "validate": "val", "test": "test"}
"""The part that each of MINC-2500's lists belongs to, by the list's name."""

_LIST_NAME = re.compile(r"(train|validate|test)(\d+)\.txt")


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
        (train/ val/ test/ of class folders).
    class_names: sorted. Every class folder counts, also an empty one.
    split_numbers: the official splits whose train, validate and test lists are all there.
    other_files: how many files in class folders have names that are not those of photos.
    """

    root: Path
    layout: Layout
    class_names: tuple[str, ...]
    photos: tuple[Listed, ...]
    split_numbers: tuple[int, ...] = ()
    other_files: int = 0


def open_source(folder: Path) -> Source:
    """Recognise the dataset in `folder`, or in the single folder inside it (as unpacked archives have).

    Raises:
        DataError: there is no such folder, or it has no photos or fewer than two classes.
    """
    if not folder.exists():
        raise DataError(f"No such folder: {folder}. Name the dataset's folder with --data.")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; --data takes a folder with one subfolder of photos per class.")
    root = folder
    for _ in range(4):
        layout = _layout(root)
        if layout is not None:
            return _checked(_READERS[layout](root))
        inner = subfolders(root)
        if len(inner) != 1:
            break
        root = inner[0]
    raise DataError(
        f"No photos found in {folder}. Expected one of: class folders ({folder.name}/wood/*.jpg, "
        f"{folder.name}/brick/*.jpg, ...); train/ val/ test/ of class folders; or MINC-2500's layout "
        "(images/<class>/*.jpg with labels/train1.txt, validate1.txt, test1.txt).")


def _checked(source: Source) -> Source:
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
    names = "\n".join(photo.path for photo in source.photos)
    try:
        names.encode()
    except UnicodeEncodeError as error:
        name = names[names.rfind("\n", 0, error.start) + 1:].partition("\n")[0]
        raise DataError(f"The file name {os.fsencode(name)!r} in {source.root} is not UTF-8. "
                        "Rename that file.") from error


def subfolders(folder: Path) -> list[Path]:
    """Return the visible subfolders by name. Hidden ones (.ipynb_checkpoints, __MACOSX) are no classes."""
    return sorted((folder / entry.name for entry in entries(folder) if is_folder(entry) and not is_hidden(entry.name)),
                  key=lambda entry: unicodedata.normalize("NFC", entry.name))


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the content of a folder. Raises DataError if it cannot be read."""
    try:
        with os.scandir(folder) as content:
            return list(content)
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error.strerror}. Change its permissions, or name another "
                        "folder.") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_hidden(name: str) -> bool:
    """Return whether the name of a folder or file says that it is no part of a dataset."""
    return name.startswith((".", "__MACOSX", "__pycache__"))


def _layout(root: Path) -> Layout | None:
    folders = subfolders(root)
    named = layout_by_names(root, folders)
    if named is None and any(_has_photo(folder) for folder in folders):
        return "folders" if not _is_wrapper(folders) else None
    return named


def layout_by_names(root: Path, folders: Sequence[Path]) -> Layout | None:
    """Return `minc` or `prepared` if the names of `root`'s subfolders show it, without looking for photos; else None.

    Raises:
        DataError: a folder cannot be read.
    """
    if {"images", "labels"} <= {folder.name for folder in folders} and _split_numbers(root / "labels"):
        return "minc"
    divided = {folder: _PART_FOLDERS[folder.name.lower()] for folder in folders if folder.name.lower() in _PART_FOLDERS}
    parts = set(divided.values())
    if "train" in parts and len(parts) > 1 and any(subfolders(folder) for folder in divided):
        return "prepared"
    return None


def _is_wrapper(folders: list[Path]) -> bool:
    """Return whether this is a single folder whose photos all lie in subfolders: it holds the classes and is none."""
    return len(folders) == 1 and not _is_class_folder(folders[0])


def _is_class_folder(folder: Path) -> bool:
    return any(is_photo(entry.name) and not is_folder(entry) for entry in entries(folder))


def is_photo(name: str) -> bool:
    """Return whether a file's name is that of a photo."""
    return name.lower().endswith(_ENDINGS) and not is_hidden(name)


def _has_photo(folder: Path) -> bool:
    return any(is_photo(name) for _, _, names in os.walk(folder) for name in names)


def _walk(root: Path, folder: Path) -> tuple[list[str], int]:
    """Return the photos below `folder` as sorted paths relative to `root`, and the number of other files."""
    photos, others = [], 0
    for place, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not is_hidden(name)]
        relative = Path(place).relative_to(root).as_posix()
        for name in names:
            if is_photo(name):
                photos.append(f"{relative}/{name}")
            elif not is_hidden(name):
                others += 1
    return sorted(photos), others


def _read_folders(root: Path) -> Source:
    photos: list[Listed] = []
    classes, others = [], 0
    for folder in subfolders(root):
        paths, other = _walk(root, folder)
        classes.append(folder.name)
        photos += [Listed(path, folder.name) for path in paths]
        others += other
    return Source(root, "folders", tuple(classes), tuple(photos), other_files=others)


def _read_prepared(root: Path) -> Source:
    photos: list[Listed] = []
    classes: set[str] = set()
    others = 0
    for part_folder in subfolders(root):
        part = _PART_FOLDERS.get(part_folder.name.lower())
        if part is None:
            continue
        for folder in subfolders(part_folder):
            paths, other = _walk(root, folder)
            classes.add(folder.name)
            photos += [Listed(path, folder.name, part) for path in paths]
            others += other
    return Source(root, "prepared", tuple(sorted(classes)), tuple(photos), other_files=others)


def _read_minc(root: Path) -> Source:
    photos: list[Listed] = []
    classes, others = [], 0
    for folder in subfolders(root / "images"):
        paths, other = _walk(root, folder)
        classes.append(folder.name)
        photos += [Listed(path, folder.name) for path in paths]
        others += other
    if not classes:
        raise DataError(f"{root / 'images'} holds no class folders. Put a folder of photos for each class there.")
    return Source(root, "minc", tuple(classes), tuple(photos), _split_numbers(root / "labels"), others)


_READERS = {"folders": _read_folders, "prepared": _read_prepared, "minc": _read_minc}


def _split_numbers(labels: Path) -> tuple[int, ...]:
    lists = Counter(int(match[2]) for entry in entries(labels) if (match := _LIST_NAME.fullmatch(entry.name)))
    return tuple(sorted(number for number, count in lists.items() if count == len(LISTS)))


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
