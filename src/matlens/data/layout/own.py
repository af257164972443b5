"""Recognise the folders that matlens itself writes by what they hold: they are no classes of photos."""

from __future__ import annotations

from pathlib import Path

from matlens.data.layout.walk import Folder
from matlens.system.files import read_json
from matlens.system.untrusted import UNREADABLE

_MANIFESTS = {"run.json": {"format", "settings", "models"}, "series.json": {"format", "protocol"}}
"""The file that makes a folder that of a run or of a series, and keys that it has."""

_LOCK = ".lock"
_RUNS = "runs"
_FOLDERS = {"models", "reports", "logs", "states"}
_REMAINS = {*_FOLDERS, "split.json", "split_photos.npz", "report.html", "run.json"}


def is_run(folder: Folder) -> bool:
    """Return whether a folder is that of a run or of a series, begun or whole, or holds nothing but such folders."""
    if _is_one(folder):
        return True
    inside = folder.content.folders
    if not inside or folder.content.photos:
        return False
    return all(_is_one(inner) or (folder.name == _RUNS and _are_remains(inner)) for inner in inside)


def _is_one(folder: Folder) -> bool:
    content = folder.content
    if _LOCK in content.hidden and not (content.folders or content.photos or content.others):
        return True
    return any(name in content.others and _has_keys(Path(folder.path, name), keys)
               for name, keys in _MANIFESTS.items())


def _has_keys(file: Path, keys: set[str]) -> bool:
    try:
        manifest = read_json(file)
    except UNREADABLE:
        return False
    return isinstance(manifest, dict) and keys <= manifest.keys()


def _are_remains(folder: Folder) -> bool:
    """Return whether a folder holds nothing but what a run may have left: its manifest is gone."""
    names = {*(inner.name for inner in folder.content.folders), *folder.content.others}
    return bool(names & _FOLDERS) and names <= _REMAINS and not folder.content.photos
