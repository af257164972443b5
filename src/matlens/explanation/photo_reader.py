"""Read a photo for a model."""

from __future__ import annotations

from pathlib import Path

from matlens.data.pixels.decode import UnreadableImageError, read_photo
from matlens.errors import DataError
from matlens.types import Pixels


def photo_at(path: Path, size: tuple[int, int], *, keep_truncated: bool = False) -> Pixels:
    """Read a photo at (height, width), as (H, W, 3) uint8. Raises DataError, which names the file."""
    try:
        return read_photo(path, size, keep_truncated=keep_truncated)
    except UnreadableImageError as error:
        raise DataError(f"Cannot read {path}: {error}") from error
