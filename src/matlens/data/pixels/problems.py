"""Why a photo cannot be read, in four kinds: the one place that tells damage from everything else.

    damaged      its content is broken: it begins as a photo that matlens reads and its bytes are missing or changed, or
                 it is empty, one byte all over, or text (a page of a web server)
    unsupported  it may be whole, but matlens does not read its format, its size or that kind of file; so is all that
                 is not known to be damaged, since no list of formats is complete
    missing      there is no file: a link that leads nowhere, a name on a list
    trouble      this machine could not read it now: memory, a disk, a network, a permission

The first two are facts about the content, so they may be kept. Only a damaged photo may be removed on request. Trouble
says nothing about the photo: whoever meets it stops with an error, and nothing is kept.
"""

from __future__ import annotations

import codecs
import errno
import itertools
import re
from collections.abc import Iterable
from typing import Literal

HEAD = 256
"""The bytes that tell a format."""

Kind = Literal["damaged", "unsupported", "missing", "trouble"]

_MISSING = {errno.ENOENT, errno.ENOTDIR}
_NO_PHOTO = {errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR}
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
    (0, b"\x01\xda", "SGI"), (0, b"\x59\xa6\x6a\x95", "Sun raster"), (0, b"Image type:", "IM"),
    (0, b"/* XPM", "XPM"), (0, b"#define ", "XBM"), (0, b"{\\rtf", "RTF"), (0, b"data:", "a data URL"),
    (0, b"/9j/", "a JPEG in Base64"), (0, b"iVBORw0KGgo", "a PNG in Base64"), (0, b"begin ", "uuencoded data"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"), (0, b"IIRO", "a camera's raw file (ORF)"),
    (0, b"IIRS", "a camera's raw file (ORF)"), (0, b"IIU\x00", "a camera's raw file (RW2)"),
    (0, b"FOVb", "a camera's raw file (X3F)"), (0, b"\x1aE\xdf\xa3", "a film"), (8, b"AVI ", "a film"),
    (0, b"PK\x03\x04", "a zip archive"), (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"), (0, b"Rar!", "a rar archive"),
)
"""Files that people keep under a photo's name, as (offset, bytes, name). Formats are recognised, never opened."""

_NETPBM = re.compile(rb"P([1-7fF])\s")
_NETPBM_NAMES = {b"1": "PBM", b"2": "PGM", b"3": "PPM", b"4": "PBM", b"5": "PGM", b"6": "PPM", b"7": "PAM"}
_MARKUP_OF_A_SERVER = re.compile(rb"<!doctype html|<(html|head|body|title|error)\b", re.IGNORECASE)
_POINTER = b"version https://git-lfs.github.com/spec/"
_LONGEST_PAGE = 1 << 20
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

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


def format_of(head: bytes, rest: Iterable[bytes] = ()) -> str:
    """Return the format, by Pillow's name, of content that matlens reads, by its first HEAD bytes.

    Args:
        rest: the bytes that follow, read only where they tell whether the content is damaged.

    Raises:
        UnreadableImageError: it is of another format, or no photo. It is damaged only if it is empty, one byte all
            over or text; what begins in any other way may be whole, in a format that no list here names.
    """
    if not head:
        raise UnreadableImageError("empty file")
    if head.startswith(_POINTER):
        raise UnreadableImageError("a pointer of Git LFS in place of the photo: fetch the photos with git lfs pull",
                                   "unsupported")
    if (other := other_format(head)) is not None:
        raise UnreadableImageError(f"{other}, {_NOT_OURS}", "unsupported")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    for magic, name in _READ.items():
        if head.startswith(magic):
            return name
    if _is_one_byte(head, rest) if head.count(head[:1]) == len(head) else _is_text(head, rest):
        raise UnreadableImageError("not an image")
    raise UnreadableImageError(f"it begins like no kind of picture that is known here, {_NOT_OURS}", "unsupported")


def other_format(head: bytes) -> str | None:
    """Name the format of a file that matlens does not read, by its first 256 bytes; None for any other content."""
    if head[4:8] == b"ftyp":
        return _FTYP.get(head[8:12], "a film or a phone's photo (MP4 and its relatives)")
    if (found := _NETPBM.match(head)) is not None:
        return _NETPBM_NAMES.get(found[1], "PFM")
    if (markup := head.removeprefix(b"\xef\xbb\xbf").lstrip()).startswith(b"<"):
        return _markup(markup)
    return next((name for offset, magic, name in _SIGNATURES if head.startswith(magic, offset)), None)


def _markup(head: bytes) -> str | None:
    """Name a drawing or a document in markup; None for a page or an error of a web server, and for other text."""
    if b"<svg" in head or b"<!DOCTYPE svg" in head:
        return "SVG"
    is_document = head.startswith((b"<?xml", b"<!--")) and _MARKUP_OF_A_SERVER.search(head) is None
    return "XML (perhaps SVG)" if is_document else None


def _is_one_byte(head: bytes, rest: Iterable[bytes]) -> bool:
    return all(block.count(head[:1]) == len(block) for block in rest)


def _is_text(head: bytes, rest: Iterable[bytes]) -> bool:
    """Return whether content is text in UTF-8 of a page's size; some pictures begin with lines of text."""
    decoder, left = codecs.getincrementaldecoder("utf-8")(), _LONGEST_PAGE
    try:
        for block in itertools.chain((head,), rest):
            left -= len(block)
            if left < 0 or _CONTROLS.search(decoder.decode(block)) is not None:
                return False
    except UnicodeDecodeError:
        return False
    return True


def says_not_read(words: str) -> bool:
    """Return whether a decoder's words say that it knows no way to read something, and not that it is broken."""
    return _NOT_READ.search(words) is not None


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
