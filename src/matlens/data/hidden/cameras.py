"""Read which camera took a photo, and when, from the EXIF data of a JPEG file."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from PIL import ExifTags, Image

from matlens.data.hidden.times import taken_at
from matlens.data.pixels.files import opened
from matlens.data.pixels.jpeg import exif_of_jpeg
from matlens.system.untrusted import UNREADABLE

_HEAD = 1 << 17
"""The bytes from a file's beginning that are read: EXIF data stand there and take at most 64 KiB."""

_THREADS = 4

_DAMAGED: tuple[type[Exception], ...] = (*UNREADABLE, SyntaxError, struct.error)
"""What Pillow raises on damaged EXIF data."""


def shots_of(root: Path, paths: Sequence[str]) -> Mapping[str, tuple[str, datetime]]:
    """Return the camera and the time of the photos whose files state both, by their paths relative to `root`."""
    with ThreadPoolExecutor(_THREADS) as pool:
        shots = pool.map(lambda path: shot_of(root / path), paths)
        return {path: shot for path, shot in zip(paths, shots, strict=True) if shot is not None}


def shot_of(path: Path) -> tuple[str, datetime] | None:
    """Return the camera and the time of a photo; None where they are not stated, or the file cannot be read."""
    try:
        with opened(path) as file:
            about = exif_of_jpeg(file.read(_HEAD))
        if not about:
            return None
        exif = Image.Exif()
        exif.load(about)
        taken = taken_at(str(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal, "")))
        camera = f"{exif.get(ExifTags.Base.Make, '')} {exif.get(ExifTags.Base.Model, '')}".strip()
    except _DAMAGED:  # what reads the pixels says what is wrong
        return None
    return None if taken is None else (camera, taken)
