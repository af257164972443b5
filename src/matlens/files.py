"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL_SUFFIX = ".partial"


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


def _partial(path: Path) -> Path:
    # The suffix stays last, since writers such as Keras choose the format by it.
    return path.with_name(f".{path.stem}.{os.getpid()}{PARTIAL_SUFFIX}{path.suffix}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `path` to write to; it takes `path`'s place if the block ends well.

    The old file, if any, stays as it was until then. Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
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
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _sync(file)
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
