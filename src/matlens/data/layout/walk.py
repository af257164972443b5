"""Read folders of photos, each once, and tell photos by their names. No other code lists the files of a dataset."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_ENDINGS = tuple(IMAGE_SUFFIXES)

OTHER_PICTURES = (".heic", ".heif", ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl", ".dng", ".cr2", ".cr3", ".nef",
                  ".arw", ".orf", ".rw2", ".raf", ".psd", ".svg", ".exr", ".hdr", ".tga", ".ppm", ".pgm", ".pnm",
                  ".ico")
"""Endings of pictures in formats that matlens does not read."""

DOCUMENTS = (
    ".csv", ".tsv", ".json", ".jsonl", ".xml", ".txt", ".md", ".rst", ".pdf", ".htm", ".html", ".yaml", ".yml", ".toml",
    ".ini", ".cfg", ".log", ".py", ".ipynb", ".sh", ".m", ".mat", ".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5",
    ".keras", ".pt", ".pth", ".onnx", ".ckpt", ".tflite", ".safetensors", ".pb", ".whl", ".zip", ".tar", ".gz", ".tgz",
    ".7z", ".rar", ".xls", ".xlsx", ".doc", ".docx", ".ppt", ".pptx", ".db", ".sqlite", ".parquet", ".tfrecord",
    ".bib", ".tex", ".url", ".mp4", ".avi", ".mov", ".mp3", ".wav")
"""Endings of files that are no pictures: a folder of nothing else is no class."""

_HIDDEN = (".", "__macosx", "__pycache__", "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "$recycle.bin",
           "system volume information", "lost+found", "thumbs.db", "ehthumbs", "desktop.ini", "icon\r", "~$")
"""How the names begin, in lower case, that systems and other programs give to files of their own."""

@dataclass(frozen=True)
class Content:
    """The entries of a folder, each kind sorted by name.

    folders: the visible ones, those that links lead to last. photos, others: files by their names. hidden: folders
    and files that are no part of a dataset. special: what is neither a file nor a folder, with what it is. problem: why
    the folder cannot be read in full, or "".
    """

    folders: tuple[Folder, ...] = ()
    photos: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    hidden: tuple[Folder | str, ...] = ()
    special: tuple[tuple[str, str], ...] = ()
    problem: str = ""


class Folder:
    """A folder, read once, when something of it is first asked for. above: the folder that it was found in."""

    def __init__(self, path: str | Path, above: Folder | None = None, linked: bool = False) -> None:
        self.path, self.above, self.linked = str(path), above, linked
        self.name = os.path.basename(self.path)  # noqa: PTH119 - pathlib is too slow for tens of thousands of paths

    @cached_property
    def identity(self) -> tuple[int, int] | None:
        """Return the device and the number of the real folder; None if it is out of reach."""
        try:
            about = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return None
        return about.st_dev, about.st_ino

    @cached_property
    def content(self) -> Content:
        """Read the folder. What cannot be read is in `problem`."""
        entries: list[os.DirEntry[str]] = []
        problem = ""
        try:
            with os.scandir(self.path) as listing:
                entries.extend(listing)
        except OSError as error:
            problem = error.strerror or str(error)
        folders: list[Folder] = []
        photos: list[str] = []
        others: list[str] = []
        hidden: list[Folder | str] = []
        special: list[tuple[str, str]] = []
        for entry in entries:
            name, what = entry.name, _what_is(entry)
            if is_hidden(name):
                hidden.append(Folder(entry.path, self, entry.is_symlink()) if what == _FOLDER else name)
            elif what == _FILE:
                (photos if has_photo_ending(name) else others).append(name)
            elif what == _FOLDER:
                folders.append(Folder(entry.path, self, entry.is_symlink()))
            elif entry.is_symlink() and has_photo_ending(name) and not what.startswith(SPECIAL):
                photos.append(name)  # a photo that is gone: whoever reads it says so
            else:
                special.append((name, what))
        hidden.sort(key=lambda entry: entry if isinstance(entry, str) else entry.name)
        folders.sort(key=lambda folder: (folder.linked, unicodedata.normalize("NFC", folder.name)))
        return Content(tuple(folders), tuple(sorted(photos)), tuple(sorted(others)), tuple(hidden),
                       tuple(sorted(special)), problem)

    @property
    def ancestors(self) -> Iterator[Folder]:
        """Give the folders above it, the nearest first."""
        place = self.above
        while place is not None:
            yield place
            place = place.above


_FILE, _FOLDER, SPECIAL = "file", "folder", "no regular file"
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def _what_is(entry: os.DirEntry[str]) -> str:
    """Return _FILE, _FOLDER, or in words what an entry is instead. Most entries take no call to the system."""
    try:
        if entry.is_file():
            return _FILE
        if entry.is_dir():
            return _FOLDER
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "a link that leads nowhere"
    except OSError as error:  # a link to itself, or to where this user may not look
        return error.strerror or str(error)
    return f"{SPECIAL}: {_KINDS.get(stat.S_IFMT(mode), 'of an unknown kind')}"


def is_hidden(name: str) -> bool:
    """Return whether the name of a folder or file says that it is no part of a dataset."""
    return name.lower().startswith(_HIDDEN)


def has_photo_ending(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def is_placeholder(name: str) -> bool:
    """Return whether a file stands for a photo that iCloud has moved off this disk: .1.jpg.icloud."""
    stem, dot, ending = name.lower().rpartition(".")
    return bool(dot) and ending == "icloud" and stem.endswith((*_ENDINGS, *OTHER_PICTURES))


def is_photo(name: str) -> bool:
    """Return whether a file's name is that of a photo."""
    return has_photo_ending(name) and not is_hidden(name)


def rooted(path: Path) -> Folder:
    """Return a folder that knows all folders above it, so that links to these are seen to lead in a circle."""
    above = None
    for place in reversed(Path(os.path.realpath(path)).parents):
        above = Folder(place, above)
    return Folder(path, above)
