"""Why a photo cannot be read: damage, a format or a size that is not read, nothing there, or trouble of the machine."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matlens import is_image_valid
from matlens.data.pixels import decode as decode_module
from matlens.data.pixels import files as files_module
from matlens.data.pixels.decode import decode
from matlens.data.pixels.files import content_of, digest_of
from matlens.data.pixels.problems import Problem, UnreadableImageError, problem_of
from matlens.data.pixels.reader import PhotoReader
from matlens.errors import DataError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def encoded(fmt: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.convert(mode).save(file, fmt, **options)
    return file.getvalue()


def frame(marker: int, bits: int) -> bytes:
    """A JPEG whose frame header says another process, or more bits, than any decoder here knows."""
    data = bytearray(encoded("JPEG"))
    at = data.find(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    return bytes(data)


def tiff_of(compression: int, bands: int = 3) -> bytes:
    """A whole TIFF, but of another compression or of more bands: what a microscope, a scanner or a satellite writes."""
    tags = [(256, 4, 8), (257, 4, 8), (258, 3, 8), (259, 3, compression), (262, 3, 1), (273, 4, 200), (277, 3, bands),
            (278, 4, 8), (279, 4, 64 * bands)]
    body = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", tag, kind, 1, value)
                                                                    for tag, kind, value in tags) + bytes(4)
    return body.ljust(200, b"\x00") + bytes(range(64)) * bands


WHOLE = {
    "AVIF": encoded("AVIF"), "JPEG 2000": encoded("JPEG2000"), "JPEG 2000 stream": encoded("JPEG2000", no_jp2=True),
    "LAB": encoded("TIFF", "LAB"), "PostScript": encoded("EPS"), "icon": encoded("ICO"), "PPM": encoded("PPM"),
    "JPEG XL": b"\xff\x0a" + bytes(99), "raw": b"FUJIFILMCCD-RAW " + bytes(99), "film": b"\x00\x00\x00\x20ftypmp42" +
    bytes(99), "Photoshop": b"8BPS" + bytes(99), "DICOM": bytes(128) + b"DICM" + bytes(99),
    "JPEG without loss": frame(0xC3, 8), "JPEG of 12 bits": frame(0xC1, 12),
    "TIFF of five bands": tiff_of(1, 5), "TIFF of JPEG 2000": tiff_of(33_005), "TIFF of JBIG": tiff_of(34_661),
    "floats without a scale": b"", "CgBI": b"", "TGA": encoded("TGA"), "PCX": encoded("PCX"), "IM": encoded("IM"),
    "PPM in one line": b"P6 64 48 255 " + encoded("PPM")[13:], "PPM in letters": b"P3\n1 1\n255\n1 2 3\n",
    "SVG": b'<svg width="9"/>', "SVG behind a declaration": b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg width="9"/>',
    "SVG behind a long comment": b'<?xml version="1.0"?>\n<!-- ' + 300 * b"x" + b" --><svg/>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * b"a" + b"\nsize 12345\n",
    "Base64": base64.b64encode(encoded("JPEG")), "data URL": b"data:image/png;base64," + base64.b64encode(b"x" * 99),
    "a format that no list knows": b"SOMECAM\x02" + bytes(range(256)), "noise": np.random.default_rng(3).bytes(4000),
    "grey levels alone": bytes(300) + bytes(range(256)) * 9, "a head of text": b"NX = 9\n" * 99 + bytes(range(256)),
    "a long table": b"1 2 3 4\n" * 200_000,
}
WHOLE["CgBI"] = encoded("PNG")[:8] + b"\x00\x00\x00\x04CgBI\x50\x00\x20\x02" + bytes(4) + encoded("PNG")[8:]


def floats() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)).save(file, "TIFF")
    return file.getvalue()


WHOLE["floats without a scale"] = floats()
DAMAGED = {"empty": b"", "text": b"not a photo", "page": b"<!doctype html><html>404</html>", "zeros": bytes(4096),
           "ones": 9999 * b"\xff",
           "answer of a server": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
           "page in XHTML": b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN"><html/>',
           "page that ends within a letter": "<p>Seite nicht gefunden: ü</p>".encode()[:-5], "JSON": b'{"error": 404}',
           "page in many letters": "<p>ü</p>".encode() * 999,
           **{f"half a {fmt}": encoded(fmt)[:-len(encoded(fmt)) // 2] for fmt in ("JPEG", "PNG", "TIFF", "GIF", "BMP")},
           "half a WEBP": encoded("WEBP", lossless=True)[:2000],
           "a changed PNG": encoded("PNG")[:200] + b"\x00\x01\x02" + encoded("PNG")[203:],
           "head of a JPEG": encoded("JPEG")[:30]}


@pytest.mark.parametrize("name", [*WHOLE, *DAMAGED])
def test_damage_is_told_from_what_is_merely_not_read(name, tmp_path):
    """The first may be removed on request; a whole photo in another format would be lost."""
    file = tmp_path / "photo.jpg"
    file.write_bytes({**WHOLE, **DAMAGED}[name])
    problem = PhotoReader().attempt(file)
    assert isinstance(problem, Problem) and problem.strip()
    assert problem.kind == ("unsupported" if name in WHOLE else "damaged"), problem
    assert problem.is_of_the_photo and not is_image_valid(file)


def test_sizes_beyond_the_bounds_are_no_damage(tmp_path, monkeypatch):
    """A panorama is whole, and so is a slide of gigabytes; none of it is read."""
    (tmp_path / "large.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 1000)
    assert PhotoReader().attempt(tmp_path / "large.png").kind == "unsupported"
    with (tmp_path / "slide.tif").open("wb") as file:
        file.truncate(60 * 10**9)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    assert PhotoReader().attempt(tmp_path / "slide.tif").kind == "unsupported"
    with pytest.raises(UnreadableImageError):
        digest_of(tmp_path / "slide.tif")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EACCES, errno.EPERM, errno.EMFILE,
                                    errno.ENOMEM, errno.EHOSTDOWN, errno.ENOTCONN,
                                    errno.ENODEV, errno.ENXIO])
def test_trouble_of_the_machine_says_nothing_of_the_photo(number, tmp_path, monkeypatch):
    """A network disk that is away for a moment, or memory: it is an error that names the file, and no verdict."""
    (tmp_path / "photo.jpg").write_bytes(encoded("JPEG"))
    calls = []

    def refuse(*_: object) -> int:
        calls.append(1)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(files_module, "_PAUSES", (0, 0))
    problem = PhotoReader().attempt(tmp_path / "photo.jpg")
    assert problem.kind == "trouble" and os.strerror(number) in problem
    assert len(calls) == (3 if number in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM) else 1)
    for read in (PhotoReader().read, PhotoReader().read_or_none, is_image_valid):
        with pytest.raises(DataError, match=r"photo\.jpg"):
            read(tmp_path / "photo.jpg")


def test_a_disk_that_stumbles_once_costs_a_moment(tmp_path, monkeypatch):
    """A stale handle is gone when the file is opened anew."""
    (tmp_path / "photo.jpg").write_bytes(encoded("JPEG"))
    opening, calls = os.open, []

    def stumble(*arguments: object) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return opening(*arguments)

    monkeypatch.setattr(os, "open", stumble)
    monkeypatch.setattr(files_module, "_PAUSES", (0,))
    assert PhotoReader().read(tmp_path / "photo.jpg").shape == (48, 64, 3)


def test_a_name_that_leads_nowhere_is_missing(tmp_path):
    """A listed photo that is not there is left out; a link in a circle is no photo either."""
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    kinds = {name: PhotoReader().attempt(tmp_path / name).kind for name in ("gone.jpg", "link.jpg", "circle.jpg",
                                                                           "a\0b.jpg", "x" * 300 + ".jpg", ".")}
    assert kinds == {"gone.jpg": "missing", "link.jpg": "missing", **dict.fromkeys(
        ("circle.jpg", "a\0b.jpg", "x" * 300 + ".jpg", "."), "unsupported")}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("make", [os.mkfifo if hasattr(os, "mkfifo") else None,
                                  lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("/dev/tty")])
def test_pipes_and_devices_are_never_opened(make, tmp_path, monkeypatch):
    """Opening a pipe waits for ever, and a device may do something."""
    make(tmp_path / "photo.jpg")
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    for read in (content_of, digest_of):
        with pytest.raises(UnreadableImageError) as caught:
            read(tmp_path / "photo.jpg")
        assert caught.value.problem.kind == "unsupported"


def test_a_file_that_does_not_know_how_long_it_is_is_bounded(tmp_path, monkeypatch):
    """Files of a system say 0 bytes and may go on for ever."""
    (tmp_path / "photo.jpg").write_bytes(encoded("JPEG"))
    monkeypatch.setattr(files_module, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(os, "open", lambda path, flags, opening=os.open: opening("/dev/zero", flags))
    monkeypatch.setattr(os, "fstat", lambda number: (tmp_path / "photo.jpg").stat())
    monkeypatch.setattr(files_module, "format_of", lambda head, rest: "JPEG")
    for read in (content_of, digest_of):
        with pytest.raises(UnreadableImageError) as caught:
            read(tmp_path / "photo.jpg")
        assert caught.value.problem.kind == "unsupported"


@pytest.mark.parametrize("size", [1, 255, 256, 257, (1 << 20) - 1, (1 << 20) + 1])
def test_a_file_is_read_whole_in_blocks(size, tmp_path):
    """Its SHA-256 is that of all its bytes, and so is its content."""
    content = (b"\xff\xd8\xff" + np.random.default_rng(size).bytes(size))[:max(size, 3)]
    (tmp_path / "photo").write_bytes(content)
    assert content_of(tmp_path / "photo") == content
    assert digest_of(tmp_path / "photo") == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory error when reading image file")])
def test_want_of_memory_is_trouble(error):
    """However a decoder puts it."""
    assert problem_of(error).kind == "trouble"


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.decode import decode
decode(Path(sys.argv[2]).read_bytes())
used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 30_000_000, resource.RLIM_INFINITY))
print(PhotoReader().attempt(Path(sys.argv[1])).kind)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux' means")
@pytest.mark.parametrize(("fmt", "options"), [("JPEG", {}), ("PNG", {"compress_level": 0}), ("WEBP", {"method": 0}),
                                              ("TIFF", {"compression": "tiff_lzw"})])
def test_a_whole_photo_that_memory_does_not_hold_now_is_not_damaged(fmt, options, tmp_path):
    """Decoders report it as broken data; a photo was then lost for good."""
    image = Image.new("RGB", (4000, 4000), (9, 99, 200))
    image.save(tmp_path / "large", fmt, **options)
    (tmp_path / "small").write_bytes(encoded("PNG"))
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY, tmp_path / "large", tmp_path / "small"], text=True,
                          capture_output=True, check=False)
    assert done.stdout == "trouble\n", done.stderr[-2000:]


def test_a_problem_travels_between_processes():
    """The audit reads many photos in processes of their own."""
    problem = pickle.loads(pickle.dumps(Problem("too large", "unsupported")))
    assert (problem, problem.kind) == ("too large", "unsupported")


def test_what_fails_once_for_want_of_memory_is_decoded_again(monkeypatch):
    """Another thread's photo may have held it."""
    data, attempt, calls = encoded("PNG"), decode_module._attempt, []

    def stumble(*arguments: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 1:
            raise UnreadableImageError(problem_of(MemoryError()))
        return attempt(*arguments)

    monkeypatch.setattr(decode_module, "_attempt", stumble)
    np.testing.assert_array_equal(decode(data), np.asarray(PICTURE))


def test_want_of_memory_for_one_photo_is_never_a_fact_about_it(monkeypatch):
    """It fails twice, since other programs hold the memory: it may be read tomorrow, so nothing may be kept of it."""
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode_module, "to_rgb", fail)
    with pytest.raises(UnreadableImageError) as caught:
        decode(encoded("PNG"))
    assert caught.value.problem.kind == "trouble"


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENXIO, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG])
def test_what_the_system_says_of_a_photo_that_was_hashed_is_no_fact_about_its_content(number, tmp_path, monkeypatch):
    """A disk that is unplugged between hashing and decoding: the photo was left out of every later run."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(encoded("JPEG"))

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    digest = digest_of(file)[0]
    monkeypatch.setattr(os, "open", refuse)
    problem = PhotoReader().attempt(file, digest)
    assert isinstance(problem, Problem) and problem.kind == "trouble"


@pytest.mark.parametrize("content", [b"<html>404</html>", b"", WHOLE["AVIF"]])
def test_what_lies_there_instead_of_a_photo_that_was_hashed_is_no_fact_about_it(content, tmp_path):
    """A download that replaces it: the verdict on the one would be kept under the SHA-256 of the other."""
    (tmp_path / "photo.jpg").write_bytes(content)
    other = PhotoReader().attempt(tmp_path / "photo.jpg", hashlib.sha256(encoded("JPEG")).hexdigest())
    own = PhotoReader().attempt(tmp_path / "photo.jpg", hashlib.sha256(content).hexdigest())
    assert (other.kind, own.is_of_the_photo) == ("trouble", True)


def test_a_file_under_a_photos_name_is_found_out_by_its_first_bytes(tmp_path, monkeypatch):
    """A film of a gigabyte is not read whole to learn that it is none."""
    with (tmp_path / "film.jpg").open("wb") as file:
        file.write(b"\x00\x00\x00\x20ftypmp42")
        file.truncate(10**9)

    def blocks(*_: object) -> Iterator[bytes]:
        pytest.fail("it was read")
        yield b""

    monkeypatch.setattr(files_module, "_blocks", blocks)
    assert PhotoReader().attempt(Path(tmp_path / "film.jpg")).kind == "unsupported"
