"""Damaged photos by number, and processes that read them (test_fuzz_decode.py).

`python fuzzing.py FOLDER FIRST LAST` ends with 0 when each file was a photo or was refused with a reason, and
otherwise says what happened; in any case FOLDER/current holds the file that was read last, and FOLDER/current.txt
its number and what it was made of. `python fuzzing.py FILE` reads one file, and prints what became of it.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import resource
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS = 20
"""For one file, where a millisecond is usual."""

PIXELS = 1_000_000
"""The child's MAX_PIXELS: the bound on memory is by pixel, and small photos are read quickly."""

SPARE_BYTES = 64e6
"""What reading files of `PIXELS` may take beyond the memory that the imports took."""

EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)

Bytes = bytes | bytearray


def encoded(image: Image.Image, fmt: str, **options: object) -> bytes:
    """A file of a picture."""
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def whole_photos() -> dict[str, bytes]:
    """A small file in each way of writing one."""
    y, x = np.mgrid[0:36, 0:48]
    noise = np.random.default_rng(0).integers(0, 40, (36, 48))
    rgb = Image.fromarray(np.stack([x * 5, y * 6, noise + 90], -1).astype(np.uint8))
    deep = Image.fromarray((x * 900 + y * 500).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker of the camera"
    files = {
        "jpeg": encoded(rgb, "JPEG", quality=85), "jpeg progressive": encoded(rgb, "JPEG", progressive=True),
        "jpeg restarts": encoded(rgb, "JPEG", restart_marker_blocks=2), "jpeg grey": encoded(rgb.convert("L"), "JPEG"),
        "jpeg cmyk": encoded(rgb.convert("CMYK"), "JPEG"), "jpeg exif": encoded(rgb, "JPEG", exif=exif.tobytes()),
        "png": encoded(rgb, "PNG"), "png deep": encoded(deep, "PNG"), "png exif": encoded(rgb, "PNG", exif=exif),
        "png palette": encoded(rgb.convert("P"), "PNG", transparency=b"\x00\x80\xff"),
        "png alpha": encoded(rgb.convert("RGBA"), "PNG"), "png interlaced": _interlaced(rgb),
        "apng": encoded(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)]),
        "webp": encoded(rgb, "WEBP"), "webp lossless": encoded(rgb, "WEBP", lossless=True),
        "webp animated": encoded(rgb.convert("RGBA"), "WEBP", save_all=True, append_images=[rgb.rotate(90)], exif=exif),
        "gif": encoded(rgb.convert("P"), "GIF"),
        "gif animated": encoded(rgb.convert("P"), "GIF", save_all=True, append_images=[rgb.rotate(180).convert("P")]),
        "bmp": encoded(rgb, "BMP"), "bmp palette": encoded(rgb.convert("P"), "BMP"), "bmp runs": bmp_of_runs(
            48, 36, b"".join(bytes([48, 7 * row, 0, 0]) for row in range(36)) + b"\x00\x01"),
        "tiff pages": encoded(rgb, "TIFF", save_all=True, append_images=[rgb.convert("L")], exif=exif),
        "png grey alpha": encoded(rgb.convert("LA"), "PNG"), "tiff alpha": encoded(rgb.convert("RGBA"), "TIFF"),
        "tiff 32": encoded(Image.fromarray((x * 40_000_000).astype(np.int32)), "TIFF"),
        "tiff big": encoded(rgb, "TIFF", big_tiff=True),
        "tiff deep": encoded(deep, "TIFF"), "tiff float": encoded(Image.fromarray((x / 48).astype(np.float32)), "TIFF"),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd", "lzma"):
        files[f"tiff {compression}"] = encoded(rgb, "TIFF", compression=compression)
    files["tiff group4"] = encoded(rgb.convert("1"), "TIFF", compression="group4")
    return files


def chunk(kind: bytes, content: bytes) -> bytes:
    """One of a PNG, with its checksum."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png(width: int, height: int, content: bytes, *, color: int = 2, interlaced: int = 0, before: bytes = b"") -> bytes:
    """A PNG of eight bits with `content` compressed, whatever it says of its size; `before`: chunks before that."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, color, 0, 0, interlaced])
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(content))
            + chunk(b"IEND", b""))


def _interlaced(image: Image.Image) -> bytes:
    """Adam7: seven passes, each of rows with a filter byte before them (Pillow reads it and does not write it)."""
    pixels = np.asarray(image)
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    rows = (row for y, dy, x, dx in passes for row in pixels[y::dy, x::dx])
    return png(image.width, image.height, b"".join(b"\x00" + row.tobytes() for row in rows), interlaced=1)


def bmp_of_runs(width: int, height: int, runs: bytes) -> bytes:
    """A BMP of run lengths, whatever it says of its size (Pillow reads it and does not write it)."""
    plain = bytearray(encoded(Image.new("L", (1, 1)), "BMP"))
    start = int.from_bytes(plain[10:14], "little")
    plain[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    plain[30:34] = (1).to_bytes(4, "little")
    return bytes(plain[:start]) + runs


def size_fields(data: Bytes) -> Iterator[tuple[int, int, str]]:
    """Where a file says its sides, strips and tiles: (offset, bytes, byte order)."""
    if data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if (at := data.find(marker)) > 0:
                yield from ((at + 5, 2, "big"), (at + 7, 2, "big"))
    elif data.startswith(b"\x89PNG"):
        yield from ((16, 4, "big"), (20, 4, "big"))
    elif data.startswith(b"GIF"):
        yield from ((6, 2, "little"), (8, 2, "little"))
        if (at := data.find(b"\x2c\x00\x00\x00\x00")) > 0:
            yield from ((at + 1 + 2 * field, 2, "little") for field in range(4))
    elif data.startswith(b"RIFF"):
        extended = data[12:16] == b"VP8X"
        yield from ((24, 3, "little"), (27, 3, "little")) if extended else ((26, 2, "little"), (28, 2, "little"))
    elif data.startswith(b"BM"):
        yield from ((18, 4, "little"), (22, 4, "little"))
    elif data.startswith(b"II*\x00"):
        first = int.from_bytes(data[4:8], "little")
        for entry in range(first + 2, len(data) - 12, 12):
            if int.from_bytes(data[entry:entry + 2], "little") in (256, 257, 258, 277, 278, 279, 322, 323):
                yield entry + 8, 4, "little"


def _flip(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    for at in rng.integers(0, len(data), rng.integers(1, 9)):
        data[at] ^= 1 << rng.integers(8)
    return data


def _flip_early(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    for at in rng.integers(0, min(len(data), 64), rng.integers(1, 4)):
        data[at] = rng.integers(256)
    return data


def _splice(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    other = others[rng.integers(len(others))]
    start, length = rng.integers(len(other)), rng.integers(1, 64)
    at = rng.integers(len(data))
    data[at:at + length * rng.integers(2)] = other[start:start + length]
    return data


def _truncate(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    return data[:rng.integers(1, len(data) + 1)]


def _extreme(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    """A length, an offset or a count that is out of all proportion, somewhere."""
    size, order = (2, 4)[rng.integers(2)], ("little", "big")[rng.integers(2)]
    at = rng.integers(max(len(data) - size, 1))
    data[at:at + size] = (EXTREMES[rng.integers(len(EXTREMES))] % (1 << 8 * size)).to_bytes(size, order)
    return data


def _blow_up(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    fields = list(size_fields(data))
    for place in rng.integers(0, len(fields), 2) if fields else ():
        at, size, order = fields[place]
        value = int(2 ** rng.uniform(0, 32)) if rng.integers(2) else EXTREMES[rng.integers(len(EXTREMES))]
        data[at:at + size] = (value % (1 << 8 * size)).to_bytes(size, order)
    return data


def _shuffle(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    """Pieces behind the file's first ones in another order: cut where chunks or segments begin, or anywhere."""
    marks = {b"\x89": b"IDAT", b"\xff": b"\xff", b"R": b"VP8", b"G": b"\x2c"}.get(bytes(data[:1]), b"\x00\x00")
    offset = 4 if marks == b"IDAT" else 0
    cuts = [at - offset for at in range(12, len(data) - 4) if data[at:at + len(marks)] == marks][:40]
    if len(cuts) < 2 or not rng.integers(3):
        cuts = sorted(int(at) for at in rng.integers(8, max(len(data), 9), 4))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    order = rng.permutation(len(pieces) - 1) + 1
    return b"".join([pieces[0], *(pieces[place] for place in order)])


def _repeat(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    start, length = rng.integers(len(data)), rng.integers(1, 256)
    return data[:start] + data[start:start + length] * int(rng.integers(2, 50)) + data[start + length:]


def _concatenate(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    other = others[rng.integers(len(others))]
    return bytes(data) + other if rng.integers(2) else other[:rng.integers(1, len(other))] + bytes(data)


def _tail(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    """An archive behind the photo, as people hide one; or what seems to be the end of one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jpg", others[rng.integers(len(others))])
    return bytes(data) + out.getvalue()[-int(rng.integers(1, len(out.getvalue()))):]


def _loop(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> Bytes:
    """Offsets and lengths inside EXIF data, or a TIFF's directory, that lead back to a place before them."""
    start = max(data.find(b"Exif\x00\x00") + 6, 0) if b"Exif" in data else 0
    first = data.find(b"II*\x00", start)
    first = first if first >= 0 else max(data.find(b"MM\x00*", start), 0)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(first, min(first + 256, max(len(data) - 4, first + 1))))
        data[at:at + 4] = int(rng.integers(0, 64)).to_bytes(4, ("little", "big")[rng.integers(2)])
    return data


DAMAGES: tuple[Callable[[bytearray, np.random.Generator, list[bytes]], Bytes], ...] = (
    _flip, _flip_early, _splice, _truncate, _extreme, _blow_up, _shuffle, _repeat, _concatenate, _tail,
    _loop)


def sealed(data: Bytes) -> bytes:
    """A PNG with its checksums put right: else all that damage would be found out by them."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at:at + 4], "big")
        if end + 4 > len(out):
            break
        out[end:end + 4] = zlib.crc32(out[at + 4:end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def damaged(photos: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """File `number` and what it was made of: one to three damages to one of `photos`."""
    rng = np.random.default_rng(number)
    kind = list(photos)[number % len(photos)]
    data: Bytes = photos[kind]
    said = kind
    for place in rng.integers(0, len(DAMAGES), rng.integers(1, 4)):
        if data:
            data = DAMAGES[place](bytearray(data), rng, list(photos.values()))
            said += DAMAGES[place].__name__.replace("_", " ", 1)
    return said, sealed(data) if data.startswith(b"\x89PNG") and rng.integers(4) else bytes(data)


def is_tiff(data: bytes) -> bool:
    """Of a damaged fax, or a JPEG that is smaller than its TIFF says, libtiff leaves a part as memory was, unsaid."""
    return data.startswith((b"II", b"MM"))


def complaint(data: bytes, **options: object) -> str:
    """What is wrong with how a file was read, or an empty text."""
    from matlens.data.pixels import decode as module
    from matlens.data.pixels.problems import UnreadableImageError

    try:
        pixels = module.resize(module.decode(data, **options), (32, 32))
        whole = module.decode(data)
        if not (is_tiff(data) or np.array_equal(whole, module.decode(data))):
            return "is another photo each time"
    except UnreadableImageError as error:
        kind = error.problem.kind
        return "" if str(error).strip() and kind in ("damaged", "unsupported") else f"refused as {kind}: {error}"
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is to be told with the file's number
        return f"raised {error!r}"
    right = all(a.dtype == np.uint8 and a.ndim == 3 and a.shape[2] == 3 for a in (pixels, whole))
    return "" if right and 0 < whole.shape[0] * whole.shape[1] <= module.MAX_PIXELS else f"gave {whole.shape}"


def peak_bytes() -> int:
    """Of this process so far (Linux; getrusage would begin with what the parent had when it forked)."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def read_damaged(folder: Path, first: int, last: int) -> str:
    """Read the files; what went wrong, if something did."""
    from matlens.data.pixels import decode as module

    module.MAX_PIXELS = PIXELS
    photos = whole_photos()
    for data in photos.values():
        module.decode(data)
    base = peak_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (base + 6_000_000_000, resource.RLIM_INFINITY))  # spares the machine
    with (folder / "current").open("wb", buffering=0) as current, (folder / "current.txt").open("wb", 0) as about:
        for number in range(first, last):
            made_of, data = damaged(photos, number)
            for file, content in ((current, data), (about, f"file {number} ({made_of})".encode())):
                file.seek(0)
                file.truncate()
                file.write(content)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            said = complaint(data, **({"min_size": (8, 8)} if number % 2 else {"keep_truncated": number % 3 == 0}))
            faulthandler.cancel_dump_traceback_later()
            if (grown := peak_bytes() - base) > SPARE_BYTES:
                said = said or f"took {grown / 1e6:.0f} MB"
            if os.fstat(2).st_size:
                said = said or "made a library write to standard error"
            if said:
                return said
    return ""


def read_one(file: Path) -> list[object]:
    """What became of a file, its shape or why it was refused, and the bytes that this took at the peak."""
    from matlens.data.pixels.decode import decode
    from matlens.data.pixels.problems import UnreadableImageError

    decode(whole_photos()["png"])
    data, base = file.read_bytes(), peak_bytes()
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        outcome: object = decode(data).shape
    except UnreadableImageError as error:
        outcome = str(error)
    return [outcome, peak_bytes() - base]


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(read_one(Path(sys.argv[1]))))
    else:
        sys.exit(read_damaged(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])) or None)
