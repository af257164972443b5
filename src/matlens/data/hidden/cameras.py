"""Read which camera took a photo, and when, from the EXIF data of a JPEG file."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from matlens.data.conclusions import Conclusion, concluded, place_of
from matlens.data.hidden.times import taken_at
from matlens.data.pixels.files import opened
from matlens.data.pixels.jpeg import exif_of_jpeg
from matlens.data.pixels.problems import UnreadableImageError
from matlens.system.caches import Say, silent
from matlens.system.untrusted import UNREADABLE

Shot = tuple[str, datetime]
"""A camera, and the time at which it took a photo."""

_RULES = "1"
"""Part of the key in the cache: a change of what is read of a file must raise it."""

_HEAD = 1 << 17
"""The bytes from a file's beginning that are read: EXIF data stand there and take at most 64 KiB."""

_THREADS = 4

_DAMAGED: tuple[type[Exception], ...] = (*UNREADABLE, SyntaxError, struct.error)
"""What Pillow raises on damaged EXIF data."""


def kept_shots(root: Path, hashes: Mapping[str, str], cache_dir: Path, say: Say = silent) -> Mapping[str, Shot]:
    """Return the shots of photos as `shots_of` does, from the cache if the same photos were asked before.

    Args:
        hashes: SHA-256 by path relative to `root`.
    """
    path_of = {digest: path for path, digest in sorted(hashes.items(), reverse=True)}

    def conclude() -> Conclusion:
        shots, unread = _read(root, sorted(path_of.values()))
        stated = {digest: [shots[path][0], shots[path][1].isoformat()] for digest, path in path_of.items()
                  if path in shots}
        return Conclusion({"photos": len(path_of), "shots": stated}, is_sound=not unread)

    def shots_in(content: Mapping[str, Any]) -> dict[str, Shot]:
        return {digest: (str(camera), datetime.fromisoformat(taken))
                for digest, (camera, taken) in content["shots"].items()}

    place = place_of(cache_dir, "shots", _RULES, path_of)
    shots = concluded(place, "the times at which photos were taken", conclude, shots_in, say)
    return {path: shots[digest] for path, digest in hashes.items() if digest in shots}


def shots_of(root: Path, paths: Sequence[str]) -> Mapping[str, Shot]:
    """Return the camera and the time of the photos whose files state both, by their paths relative to `root`."""
    return _read(root, paths)[0]


def _read(root: Path, paths: Sequence[str]) -> tuple[dict[str, Shot], list[str]]:
    """Return the shots by path, and the paths of files that cannot be read now."""
    with ThreadPoolExecutor(_THREADS) as pool:
        heads = pool.map(lambda path: _head_of(root / path), paths)
        shots, unread = {}, []
        for path, head in zip(paths, heads, strict=True):
            if head is None:
                unread.append(path)
            elif (shot := _shot_in(head)) is not None:
                shots[path] = shot
    return shots, unread


def shot_of(path: Path) -> Shot | None:
    """Return the camera and the time of a photo; None where they are not stated, or the file cannot be read."""
    head = _head_of(path)
    return None if head is None else _shot_in(head)


def _head_of(path: Path) -> bytes | None:
    try:
        with opened(path) as file:
            return file.read(_HEAD)
    except UnreadableImageError:  # what reads the pixels says what is wrong
        return None


def _shot_in(head: bytes) -> Shot | None:
    try:
        about = exif_of_jpeg(head)
        if not about:
            return None
        exif = Image.Exif()
        exif.load(about)
        taken = taken_at(str(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal, "")))
        camera = f"{exif.get(ExifTags.Base.Make, '')} {exif.get(ExifTags.Base.Model, '')}".strip()
    except _DAMAGED:
        return None
    return None if taken is None else (camera, taken)
