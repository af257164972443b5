"""Why a photo cannot be read, in four kinds: the one place that tells damage from everything else.

    damaged      its content is broken: bytes are missing, changed, or never were a photo
    unsupported  it may be whole, but matlens does not read its format, its size or that kind of file
    missing      there is no file: a link that leads nowhere, a name on a list
    trouble      this machine could not read it now: memory, a disk, a network, a permission

The first two are facts about the content, so they may be kept. Only a damaged photo may be removed on request. Trouble
says nothing about the photo: whoever meets it stops with an error, and nothing is kept.
"""

from __future__ import annotations

import errno
import re
from typing import Literal

Kind = Literal["damaged", "unsupported", "missing", "trouble"]

_MISSING = {errno.ENOENT, errno.ENOTDIR}
_NO_PHOTO = {errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.ENXIO, errno.ENODEV}
_NO_MEMORY = re.compile(r"out of memory|insufficient memory|cannot allocate|failed to allocate", re.IGNORECASE)
_NOT_READ = re.compile(
    r"(un|not |n't )support|unknown (pixel mode|compression|data organization|raw mode)|cannot handle|no decoder"
    r"|not (configured|implemented|available)|too (large|much)", re.IGNORECASE)
"""The words in which Pillow, libjpeg and libtiff say that they know no way to read what may be whole."""

_READ = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"BM": "BMP", b"II*\x00": "TIFF",
         b"MM\x00*": "TIFF", b"II+\x00": "TIFF", b"MM\x00+": "TIFF", b"II\x00*": "TIFF", b"MM*\x00": "TIFF"}

_FTYP = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "a camera's raw file (CR3)",
         **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC")}

_SIGNATURES = (
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"), (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"), (0, b"\xff\x0a", "JPEG XL"), (0, b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (0, b"II\xbc\x01", "JPEG XR"), (0, b"II\xbc\x00", "JPEG XR"), (12, b"CgBI", "Apple's own kind of PNG (CgBI)"),
    (0, b"8BPS", "Photoshop (PSD)"), (0, b"gimp xcf", "GIMP (XCF)"), (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"), (0, b"%PDF", "PDF"), (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"), (0, b"DDS ", "DDS"), (0, b"qoif", "QOI"), (0, b"BPG\xfb", "BPG"),
    (0, b"SIMPLE  =", "FITS"), (128, b"DICM", "DICOM"), (0, b"\x89HDF", "HDF5"), (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x00\x00\x01\x00", "an icon (ICO)"), (0, b"icns", "an icon (ICNS)"), (0, b"FORM", "IFF"),
    (0, b"P4\n", "PBM"), (0, b"P5\n", "PGM"), (0, b"P6\n", "PPM"), (0, b"P7\n", "PAM"), (0, b"Pf\n", "PFM"),
    (0, b"PF\n", "PFM"), (0, b"\x01\xda", "SGI"), (0, b"\x59\xa6\x6a\x95", "Sun raster"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"), (0, b"IIRO", "a camera's raw file (ORF)"),
    (0, b"IIRS", "a camera's raw file (ORF)"), (0, b"IIU\x00", "a camera's raw file (RW2)"),
    (0, b"FOVb", "a camera's raw file (X3F)"), (0, b"\x1aE\xdf\xa3", "a film"), (8, b"AVI ", "a film"),
    (0, b"<svg", "SVG"), (0, b"PK\x03\x04", "a zip archive"), (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"), (0, b"Rar!", "a rar archive"),
)
"""Files that people keep under a photo's name, as (offset, bytes, name). Formats are recognised, never opened."""

_LOSSLESS_OR_DEEP = "a JPEG without loss, of arithmetic coding or of more than 8 bits"
_READ_FRAMES = (0xC0, 0xC1, 0xC2)

_NOT_OURS = "which matlens does not read: convert it to JPEG or PNG"


class Problem(str):
    """Why a photo cannot be read, in words without the file, and the `kind` of the reason."""

    __slots__ = ("kind",)
    kind: Kind

    def __new__(cls, reason: str, kind: Kind = "damaged") -> Problem:
        problem = super().__new__(cls, reason)
        problem.kind = kind
        return problem

    @property
    def is_of_the_photo(self) -> bool:
        """Return whether the reason is the same on each machine, so that it may be kept."""
        return self.kind in ("damaged", "unsupported")


class UnreadableImageError(ValueError):
    """Bytes that are no photo that matlens reads, or a file that cannot be read. problem: why, without the file."""

    def __init__(self, reason: str, kind: Kind = "damaged") -> None:
        self.problem = reason if isinstance(reason, Problem) else Problem(reason, kind)
        super().__init__(str(self.problem))


def format_of(head: bytes) -> str:
    """Return the format, by Pillow's name, of content that matlens reads, by its first 256 bytes.

    Raises:
        UnreadableImageError: it is of another format, or no photo.
    """
    if not head:
        raise UnreadableImageError("empty file")
    if (other := other_format(head)) is not None:
        raise UnreadableImageError(f"{other}, {_NOT_OURS}", "unsupported")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    for magic, name in _READ.items():
        if head.startswith(magic):
            return name
    raise UnreadableImageError("not an image")


def other_format(head: bytes) -> str | None:
    """Name the format of a file that matlens does not read, by its first 256 bytes; None for any other content."""
    if head[4:8] == b"ftyp":
        return _FTYP.get(head[8:12], "a film or a phone's photo (MP4 and its relatives)")
    return next((name for offset, magic, name in _SIGNATURES if head.startswith(magic, offset)), None)


def says_not_read(words: str) -> bool:
    """Return whether a decoder's words say that it knows no way to read something, and not that it is broken."""
    return _NOT_READ.search(words) is not None


def frame_not_read(jpeg: bytes) -> str | None:
    """Name a kind of JPEG that the decoders do not know, by its frame header; None for the others."""
    at = 2
    while at + 9 < len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return None if marker in _READ_FRAMES and jpeg[at + 4] == 8 else _LOSSLESS_OR_DEEP
        at += 2 + int.from_bytes(jpeg[at + 2:at + 4], "big")
    return None


def problem_of(error: BaseException) -> Problem:
    """Say what kind of problem an error is that opening, reading or decoding a photo raised."""
    if isinstance(error, UnreadableImageError):
        return error.problem
    reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    if number in _MISSING:
        return Problem("missing file", "missing")
    if number in _NO_PHOTO:
        return Problem(reason, "unsupported")
    if number is not None:
        return Problem(reason, "trouble")
    if isinstance(error, MemoryError) or _NO_MEMORY.search(reason):
        return Problem("there is not enough memory for it", "trouble")
    if isinstance(error, NotImplementedError) or says_not_read(reason):
        return Problem(f"{reason.rstrip('.')}, {_NOT_OURS}", "unsupported")
    return Problem(reason)
