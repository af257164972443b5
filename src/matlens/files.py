"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL_SUFFIX = ".partial"

_MANY = 1000
"""Files, from which on all that the system has to write is flushed at once: one by one, 57,500 took three minutes."""

_PARTIAL_NAME = re.compile(rf"\.(.+)\.\d+{re.escape(PARTIAL_SUFFIX)}(\..+)?")


def _sync(path: Path) -> None:
    """Flush a file or a folder entry to disk, where the platform can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows refuses to open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_below(folder: Path) -> None:
    """The same for all files in a folder."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    if len(files) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for file in files:
        _sync(file)


def partial_of(path: Path) -> Path:
    """The temporary neighbour that this process writes to."""
    # The suffix stays last, since writers such as Keras choose the format by it.
    return path.with_name(f".{path.stem}.{os.getpid()}{PARTIAL_SUFFIX}{path.suffix}")


def whole_of(partial: Path) -> Path | None:
    """What a temporary neighbour, of any process, is to become; None if it is none."""
    match = _PARTIAL_NAME.fullmatch(partial.name)
    return match and partial.with_name(match[1] + (match[2] or ""))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `path` to write to; it takes `path`'s place if the block ends well.

    The old file, if any, stays as it was until then. Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same for a folder: written beside `path`, then put in its place, replacing what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _sync_below(partial)
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def checksum(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, content: Any) -> Path:
    """Write JSON (UTF-8, two spaces, no NaN), whole or not at all."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON. Raises OSError or json.JSONDecodeError (a ValueError)."""
    return json.loads(path.read_text(encoding="utf-8"))
