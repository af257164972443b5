"""Files as broken disks, downloads and strangers leave them: each is a photo, or is refused with a reason.

MATLENS_FUZZ_FILES=200000 python -m pytest tests/data/test_fuzz_decode.py reads more of them.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import fuzzing
import numpy as np
import pytest
from fuzzing import bmp_of_runs, encoded, png, whole_photos
from PIL import Image

from matlens.data.pixels.decode import MAX_SCANNED
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.store import hash_photos, prepare_store
from scale import rounds

FILES = int(os.environ.get("MATLENS_FUZZ_FILES", "0")) or rounds(2_000, 10_000)
BYTES_A_PIXEL = 20
"""What `decode` promises."""

pytestmark = [pytest.mark.slow, pytest.mark.attacks,
              pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")]


def read(*arguments: str | Path, stderr: Path) -> subprocess.CompletedProcess[str]:
    with stderr.open("wb") as file:
        return subprocess.run([sys.executable, fuzzing.__file__, *arguments], stdout=subprocess.PIPE, stderr=file,
                              text=True, check=False)


def test_no_damage_crashes_hangs_floods_or_escapes(tmp_path):
    """One photo in 57,500 must not end a night's run, fill the memory, or bury the terminal in a library's words."""
    done = read(tmp_path, "0", str(FILES), stderr=tmp_path / "said")
    said = (tmp_path / "said").read_text(errors="replace")[-3000:]
    current = (tmp_path / "current.txt").read_text()
    assert done.returncode == 0, (f"{current}, kept as {tmp_path / 'current'}: ended with {done.returncode} (below 0: "
                                  f"a signal; 1 with a thread's stack: more than {fuzzing.SECONDS} s)\n{said}")
    assert current.startswith(f"file {FILES - 1} ")


def tiff(tags: dict[int, tuple[int, int, int | None]], content: bytes) -> bytes:
    """A TIFF of one directory: number: (type, count, value; None: where `content` begins)."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, kind, count, start if value is None else value)
                       for tag, (kind, count, value) in sorted(tags.items()))
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + content


def tags_of_one_place(size: int = 400_000) -> bytes:
    """Thousands of tags, each of which claims the whole file: their sum is 13 GB."""
    tags = {256: (4, 1, 8), 257: (4, 1, 8)} | dict.fromkeys(range(33_000, 65_000), (1, size, 9))
    return tiff(tags, bytes(size))


def one_huge_tile(side: int = 24_576) -> bytes:
    """A picture of 64 pixels a side in the corner of a tile of 600 MB."""
    packer = zlib.compressobj(9)
    content = b"".join(packer.compress(bytes(side)) for _ in range(side)) + packer.flush()
    grey = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: None, 325: len(content)}
    return tiff({tag: (4, 1, value) for tag, value in grey.items()}, content)


def many_scans(side: int = 4096) -> bytes:
    """A progressive JPEG whose last scan is repeated until all of them are more work than is done."""
    data = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda"):-2]
    return data[:-2] + last * (MAX_SCANNED // side**2) + data[-2:]


def with_size(kind: str, *values: int) -> bytes:
    """A photo that says it is as large as that."""
    data = bytearray(whole_photos()[kind])
    for (at, size, order), value in zip(fuzzing.size_fields(data), values, strict=False):
        data[at:at + size] = value.to_bytes(size, order)
    return fuzzing.sealed(data) if kind == "png" else bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "jpeg size": lambda: with_size("jpeg", 65_500, 65_500),
    "jpeg scans": many_scans,
    "png size": lambda: with_size("png", 2**31 - 1, 2**31 - 1),
    "png texts": lambda: png(8, 8, bytes(200), before=fuzzing.chunk(
        b"zTXt", b"k\x00\x00" + zlib.compress(bytes(1_000_000))) * 300),
    "png profile": lambda: png(8, 8, bytes(200), before=fuzzing.chunk(
        b"iCCP", b"k\x00\x00" + zlib.compress(bytes(200_000_000)))),
    "png exif": lambda: png(8, 8, bytes(200), before=fuzzing.chunk(b"eXIf", tags_of_one_place())),
    "jpeg exif": lambda: b"\xff\xd8" + b"".join(
        b"\xff\xe1\xff\xffExif\x00\x00" + tags_of_one_place()[at:at + 65_527] for at in range(0, 393_162, 65_527)
        ) + whole_photos()["jpeg cmyk"][2:],
    "webp size": lambda: with_size("webp animated", 2**14 - 1, 2**14 - 1),
    "gif frame": lambda: with_size("gif", 48, 36, 65_535, 65_535),
    "bmp size": lambda: with_size("bmp", 2**31 - 1, 2**31 - 1),
    "bmp jump": lambda: bmp_of_runs(100_000_000, 1, b"\x00\x02\x00\xff"),  # up by 255 rows: 25 GB
    "tiff size": lambda: with_size("tiff tiff_lzw", 2**31 - 1, 2**31 - 1),
    "tiff strip": lambda: with_size("tiff tiff_lzw", 48, 36, 8, 1, 3, 2**31 - 1),
    "tiff tile": one_huge_tile,
    "tiff tags": tags_of_one_place,
}
WHOLE = {"png exif", "jpeg exif"}
"""The pixels are as good as ever."""


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_into_gigabytes_does_not(name, tmp_path):
    """A file of kilobytes that takes gigabytes would take the machine down with it."""
    (tmp_path / "bomb").write_bytes(BOMBS[name]())
    done = read(tmp_path / "bomb", stderr=tmp_path / "said")
    assert done.returncode == 0, (tmp_path / "said").read_text(errors="replace")[-3000:]
    outcome, taken = json.loads(done.stdout)
    assert taken < 150e6
    assert isinstance(outcome, list) == (name in WHOLE), outcome
    assert not (tmp_path / "said").read_bytes()


def test_memory_is_in_proportion_to_the_pixels(tmp_path):
    """So that MAX_PIXELS bounds it: 4 million pixels, whatever way they were written."""
    side = 2048
    coarse = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8)
    rgb = Image.fromarray(coarse.repeat(8, 0).repeat(8, 1))
    exif = Image.Exif()
    exif[0x0112] = 7
    deep = Image.fromarray(np.asarray(rgb)[:, :, 0].astype(np.uint16) * 257)
    for name, data in {
            "jpeg": encoded(rgb, "JPEG", progressive=True, subsampling=0, exif=exif),
            "cmyk": encoded(rgb.convert("CMYK"), "JPEG", progressive=True, exif=exif),
            "png": encoded(rgb.convert("RGBA"), "PNG", compress_level=1, exif=exif),
            "deep": encoded(deep, "PNG", compress_level=1),
            "webp": encoded(rgb, "WEBP", method=0, exif=exif),
            "tiff": encoded(Image.fromarray(np.asarray(deep, np.float32)), "TIFF", compression="packbits")}.items():
        (tmp_path / name).write_bytes(data)
        done = read(tmp_path / name, stderr=tmp_path / "said")
        outcome, taken = json.loads(done.stdout)
        assert outcome == [side, side, 3], name
        assert 2 * side**2 < taken < BYTES_A_PIXEL * side**2 + 8e6, f"{name}: {taken / side**2:.1f} bytes a pixel"


def test_a_folder_of_damaged_files_is_divided_into_photos_and_named_problems(tmp_path):
    """Whatever cannot be read is named, and nothing is lost on the way into the store."""
    photos = whole_photos()
    paths = [f"files/{number:03d}.jpg" for number in range(200)]
    (tmp_path / "files").mkdir()
    for number, path in enumerate(paths):
        (tmp_path / path).write_bytes(fuzzing.damaged(photos, number)[1])
    reader = PhotoReader((16, 16))
    readable = {path for path in paths if reader.read_or_none(tmp_path / path) is not None}
    hashes, unopened = hash_photos(tmp_path, paths)
    store = prepare_store(tmp_path, hashes, (16, 16), tmp_path / "cache")
    assert not unopened and set(hashes) == set(paths)
    assert {path for path in paths if hashes[path] in store.rows} == readable
    assert {path for path in paths if hashes[path] in store.problems} == set(paths) - readable
    assert all(reason.strip() for reason in store.problems.values())
    assert 20 < len(readable) < 180
    for path in readable:
        if fuzzing.is_tiff((tmp_path / path).read_bytes()):
            continue
        np.testing.assert_array_equal(store.photo(store.rows[hashes[path]]), reader.read(tmp_path / path))
