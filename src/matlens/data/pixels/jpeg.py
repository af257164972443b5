"""Walk the segments of a JPEG before its first scan: its EXIF data, and the kind of its frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator

EXIF_MAGIC = b"Exif\x00\x00"

_EXIF, _SCAN, _END = 0xE1, 0xDA, 0xD9  # markers
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows
_ORIENTATION, _SHORT = 0x0112, 3  # the numbers that EXIF gives the tag and its type
_LOSSLESS_OR_DEEP = "a JPEG without loss, of arithmetic coding or of more than 8 bits"
_READ_FRAMES = (0xC0, 0xC1, 0xC2)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Give (marker, first byte after its length, end) of each segment before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and (marker := data[at + 1]) not in (_SCAN, _END):
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2:at + 4], "big")
        yield marker, at + 4, end
        at = end


def exif_of_jpeg(data: bytes) -> bytes:
    """Return the EXIF segment of a JPEG, from its magic on; empty without one. A file behind the photo has its own."""
    return next((data[start:end] for marker, start, end in _segments(data)
                 if marker == _EXIF and data.startswith(EXIF_MAGIC, start)), b"")


def frame_not_read(data: bytes) -> str | None:
    """Name a kind of JPEG that the decoders do not know, by its frame header; None for the others."""
    for marker, start, _ in _segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return None if marker in _READ_FRAMES and data[start:start + 1] == b"\x08" else _LOSSLESS_OR_DEEP
    return None


def orientation_of(exif: bytes) -> int:
    """Return 1 to 8; 1 (upright) where EXIF data does not say it or is damaged: the pixels may still be whole."""
    tiff = exif.removeprefix(EXIF_MAGIC)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
