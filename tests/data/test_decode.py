"""Reading single photos: every format the same way, every broken one named."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from matlens.data.pixels import decode as module
from matlens.data.pixels.decode import decode, resize
from matlens.data.pixels.problems import UnreadableImageError


def encoded(image: Image.Image, fmt: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


@pytest.fixture
def picture() -> Image.Image:
    """A smooth 40 x 30 gradient, red to the right, green downwards."""
    y, x = np.mgrid[0:30, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 8, 0 * x + 90], -1).astype(np.uint8))


def test_jpeg_is_what_pillow_decodes(picture):
    """Two decoders must not make two datasets."""
    data = encoded(picture, "JPEG", quality=90)
    by_pillow = np.asarray(Image.open(io.BytesIO(data)), dtype=int)
    assert np.abs(decode(data).astype(int) - by_pillow).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(picture, orientation):
    """A phone's photo must not be learnt lying on its side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(picture, "JPEG", exif=exif.tobytes(), quality=95)).astype(int)
    upright = np.asarray(picture, dtype=int)
    expected = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
                5: upright.transpose(1, 0, 2), 6: np.rot90(upright, -1), 7: np.rot90(upright, 2).transpose(1, 0, 2),
                8: np.rot90(upright, 1)}[orientation]
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 4


@pytest.mark.parametrize(("mode", "fmt"), [
    ("P", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"),
    ("L", "JPEG"), ("P", "GIF"), ("RGB", "WEBP"), ("RGB", "BMP")])
def test_every_mode_becomes_rgb(picture, mode, fmt):
    """Photos come as they come; a network takes three channels."""
    pixels = decode(encoded(picture.convert(mode), fmt))
    assert pixels.shape == (30, 40, 3)
    assert pixels.dtype == np.uint8
    allowed = {"RGB": 12, "RGBA": 1, "CMYK": 12, "P": 40}.get(mode)  # a palette is coarse
    if allowed is not None:
        assert np.abs(pixels.astype(int) - np.asarray(picture, int)).mean() < allowed


def test_sixteen_bit_greys_are_scaled_not_clipped():
    """Pillow's own conversion would turn a microscope's photo white."""
    grey = Image.fromarray(np.array([[0, 257 * 100, 65_535]], dtype=np.uint16))
    assert decode(encoded(grey, "PNG"))[0, :, 0].tolist() == [0, 100, 255]


def test_known_colours_come_out_of_every_mode():
    """Pure red, green and blue must stay what they are."""
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    np.testing.assert_array_equal(decode(encoded(palette, "PNG")), rgb)
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert decode(encoded(bits, "PNG")).tolist() == [[[0] * 3, [255] * 3]]
    ink = Image.fromarray(np.array([[[0, 255, 255, 0], [255, 255, 0, 0], [0, 0, 0, 255]]], np.uint8), "CMYK")
    assert decode(encoded(ink, "TIFF")).tolist() == [[[255, 0, 0], [0, 0, 255], [0, 0, 0]]]


SHAPE = np.array([[[9, 9, 9, 0], [255, 0, 0, 255], [0, 0, 255, 51]]], np.uint8)


@pytest.mark.parametrize(("image", "fmt", "options", "expected"), [
    (Image.fromarray(SHAPE), "PNG", {}, [[255] * 3, [255, 0, 0], [204, 204, 255]]),
    (Image.fromarray(SHAPE), "WEBP", {"lossless": True, "exact": True}, [[255] * 3, [255, 0, 0], [204, 204, 255]]),
    (Image.fromarray(SHAPE), "TIFF", {}, [[255] * 3, [255, 0, 0], [204, 204, 255]]),
    (Image.fromarray(SHAPE[:, :, 2:], "LA"), "PNG", {}, [[255] * 3, [0] * 3, [255] * 3]),
    (Image.fromarray(np.array([[0, 255, 100]], np.uint8)), "PNG", {"transparency": 0},
     [[255] * 3, [255] * 3, [100] * 3]),
    (Image.fromarray(np.array([[0, 255, 100]], np.uint8)).convert("P"), "GIF", {"transparency": 100},
     [[0] * 3, [255] * 3, [255] * 3]),
    (Image.fromarray(np.array([[0, 255, 100]], np.uint8)).convert("P"), "PNG", {"transparency": bytes([0] * 256)},
     [[255] * 3] * 3),
])
def test_transparent_pixels_show_white(image, fmt, options, expected):
    """Their own colours are what a program left there: black in one file, green in another, of one picture.

    By hand: alpha 51 is a fifth, so blue over white is (204, 204, 255).
    """
    assert decode(encoded(image, fmt, **options)).tolist() == [expected]


def png(depth: int, kind: int, row: bytes, transparent: bytes, width: int = 2) -> bytes:
    """A PNG of one row, of any number of bits, with the colour that is transparent."""
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
            + chunk(b"tRNS", transparent) * bool(transparent) + chunk(b"IDAT", zlib.compress(b"\0" + row))
            + chunk(b"IEND", b""))


@pytest.mark.parametrize(("depth", "kind", "row", "transparent", "expected"), [
    (1, 0, "40", "0000", [255, 255]), (1, 0, "40", "0001", [0, 255]), (2, 0, "60", "0001", [255, 170]),
    (4, 0, "5f", "0005", [255, 255]), (4, 0, "5a", "000a", [85, 255]), (8, 0, "0509", "0005", [255, 9]),
    (4, 0, "5a", "0055", [85, 170]), (16, 0, "40008000", "4000", [255, 128]), (16, 0, "40008000", "4001", [64, 128]),
    (8, 2, "010101 020202", "0001 0001 0001", [255, 2]), (8, 2, "010101 010102", "0001 0001 0003", None),
    (16, 2, "400040004000 800080008000", "4000 4000 4000", [255, 128]),
    (16, 2, "400040004001 800080008000", "4000 4000 4000", [64, 128]),
    (16, 2, "010001000100 800080008000", "0001 0001 0001", [1, 128]),
])
def test_the_transparent_colour_is_that_of_the_file(depth, kind, row, transparent, expected):
    """It is stated in the file's own bits: a grey of 4 bits counts to 15, a colour of 16 bits to 65,535. By hand."""
    pixels = decode(png(depth, kind, bytes.fromhex(row), bytes.fromhex(transparent)))
    assert pixels.tolist() == [[[1, 1, 1], [1, 1, 2]] if expected is None else [[grey] * 3 for grey in expected]]


@pytest.mark.parametrize(("top", "is_read"), [(65_535, True), (4112, True), (4095, False), (255, False)])
@pytest.mark.parametrize(("kind", "bands"), [(2, 3), (6, 4), (4, 2)])
def test_deep_colours_of_a_camera_of_12_bits_are_refused_and_not_black(top, is_read, kind, bands):
    """All its photos would look alike: nearly black. The top byte of 4112 is 16, by hand."""
    colour = [0] * bands * 2
    colour[bands] = top
    if bands != 3:
        colour[bands - 1] = colour[-1] = 65_535  # opaque
    data = png(16, kind, struct.pack(f">{2 * bands}H", *colour), b"")
    if is_read:
        assert decode(data).max() == top // 257
    else:
        with pytest.raises(UnreadableImageError) as caught:
            decode(data)
        assert caught.value.problem.kind == "unsupported"


def test_a_bitmap_with_an_empty_fourth_byte_is_no_transparent_one(picture):
    """Programs write BMPs of 32 bits with 0 in the byte that nobody reads: the photo must not turn white."""
    data = bytearray(encoded(picture.convert("RGBA"), "BMP"))
    start = int.from_bytes(data[10:14], "little")
    data[start + 3::4] = bytes(len(data[start + 3::4]))
    np.testing.assert_array_equal(decode(bytes(data)), np.asarray(picture))


GREYS = {"f": np.float32, "i": np.int32, "h": np.uint16}


@pytest.mark.parametrize(("values", "expected"), [
    ("f 0 0.2 1", [0, 51, 255]), ("f 0 0.002 0.01", [0, 1, 3]), ("f 0 51 255", [0, 51, 255]),
    ("f 0 13107 65535", [0, 51, 255]), ("f nan inf -inf 51 200", [0, 255, 0, 51, 200]), ("f 0 0 0", [0, 0, 0]),
    ("i 0 51 255", [0, 51, 255]), ("i 0 13107 65535", [0, 51, 255]), ("i 0 429496729 2147483647", [0, 51, 255]),
    ("h 0 13107 65535", [0, 51, 255]), ("h 0 257 4112", [0, 1, 16]), ("h 0 0 0", [0, 0, 0]),
    ("f -1 0 1", None), ("f 0 1 1.5", None), ("f 0 9 4000", None), ("f 0 1 1e9", None),
    ("h 0 9 4095", None), ("h 0 9 255", None), ("i -5 0 200", None), ("i 0 9 1000", None), ("i 0 9 5000000", None),
])
def test_deep_greys_are_scaled_by_what_is_white_or_refused(values, expected):
    """By hand: 1, 255, 65535 or the largest number of the type is white, the first that is not exceeded. A photo
    that is far darker than that, or has negative values, may be meant otherwise: a guess would be wrong in silence."""
    kind, *numbers = values.split()
    image = Image.fromarray(np.array([[float(number) for number in numbers]]).astype(GREYS[kind]))
    if expected is None:
        with pytest.raises(UnreadableImageError) as caught:
            decode(encoded(image, "TIFF"))
        assert caught.value.problem.kind == "unsupported"
    else:
        assert decode(encoded(image, "TIFF"))[0, :, 0].tolist() == expected


def test_a_deep_tiff_in_which_0_is_white_is_turned_round():
    """An X-ray's TIFF says so in a tag that Pillow heeds for eight bits alone."""
    data = encoded(Image.fromarray(np.array([[0, 13107, 65535]], np.uint16)), "TIFF", tiffinfo={262: 0})
    assert decode(data)[0, :, 0].tolist() == [255, 204, 0]


def test_a_cmyk_jpeg_is_not_inverted():
    """Adobe writes inks upside down; a print shop's white paper must not become black."""
    paper = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert decode(encoded(paper, "JPEG", quality=95)).min() >= 250


def test_a_large_jpeg_may_be_read_smaller_but_never_below_twice_the_size(picture):
    """Reading at a quarter saves time; reading too small would lose what the network should see."""
    data = encoded(picture.resize((800, 600)), "JPEG", quality=95)
    assert decode(data).shape == (600, 800, 3)
    height, width, _ = decode(data, min_size=(32, 32)).shape
    assert 64 <= height < 600 and 64 <= width < 800
    assert decode(data, min_size=(200, 200)).shape == (600, 800, 3)


def test_the_first_frame_of_an_animation_is_read(picture):
    """An animated GIF in a class folder is a photo like any other."""
    data = encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(180)])
    assert np.abs(decode(data).astype(int) - np.asarray(picture, int)).mean() < 12


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_truncated_files_are_refused(picture, fmt):
    """Half a photo must not slip into training."""
    data = encoded(picture.resize((200, 150)), fmt)
    with pytest.raises(UnreadableImageError):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("fmt", ["JPEG", "PNG"])
def test_truncated_photos_are_kept_on_request_and_only_then(picture, fmt):
    """The guide's LOAD_TRUNCATED_IMAGES: what is there is right, and the switch does not stay on."""
    large = picture.resize((200, 150))
    data = encoded(large, fmt)
    pixels = decode(data[: len(data) // 2], keep_truncated=True)
    assert pixels.shape == (150, 200, 3)
    assert np.abs(pixels[:20].astype(int) - np.asarray(large, int)[:20]).mean() < 5
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(UnreadableImageError):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(("data", "message"), [(b"", "empty"), (b"not a photo", "not an image"),
                                               (b"\xff\xd8\xff\xe0 text", "Truncated")])
def test_what_is_no_photo_is_refused(data, message):
    """Zero bytes and text under a photo's name."""
    with pytest.raises(UnreadableImageError, match=message):
        decode(data)


def test_too_many_pixels_are_refused_before_decoding(picture, monkeypatch):
    """A decompression bomb must not eat the memory."""
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    for fmt in ("JPEG", "PNG"):
        with pytest.raises(UnreadableImageError, match="too many"):
            decode(encoded(picture, fmt))


def test_resize_is_bilinear_with_half_pixel_centres():
    """TensorFlow's definition, by hand: 4 values to 3 are read at places 0.167, 1.5 and 2.833."""
    row = np.array([0, 60, 120, 180], np.uint8)
    pixels = np.repeat(np.tile(row, (4, 1))[:, :, None], 3, 2)
    assert resize(pixels, (4, 3))[0, :, 0].tolist() == [10, 90, 170]


def test_enlarging_clamps_at_the_edge_and_keeps_height_and_width_apart():
    """By hand: (0, 200) to four values is read at places -0.25, 0.25, 0.75 and 1.25; the size is (height, width)."""
    pixels = np.repeat(np.array([[0, 200]], np.uint8)[:, :, None], 3, 2)
    out = resize(pixels, (2, 4))
    assert out.shape == (2, 4, 3)
    assert out[:, :, 0].tolist() == [[0, 50, 150, 200]] * 2
    assert resize(pixels, (1, 2)) is pixels


def test_halving_is_the_mean_of_four():
    """By hand: at half the size, bilinear reads between two values and two rows."""
    pixels = np.repeat(np.array([[0, 40, 8, 16], [80, 120, 24, 32]] * 2, np.uint8)[:, :, None], 3, 2)
    assert resize(pixels, (2, 2))[:, :, 0].tolist() == [[60, 20]] * 2


def test_a_strong_reduction_averages():
    """Plain bilinear would skip pixels: a fine checkerboard is grey from afar, not black or white."""
    board = (np.indices((80, 80)).sum(0) % 2 * 255).astype(np.uint8)
    small = resize(np.repeat(board[:, :, None], 3, 2), (10, 10))
    assert np.abs(small.astype(int) - 127.5).max() <= 1


def test_a_photo_of_many_pixels_need_not_be_long_to_be_refused(picture):
    """A side beyond what formats of photos allow is a damaged header: Pillow would make gigabytes of it."""
    with pytest.raises(UnreadableImageError, match="65536 x 1 pixels are too many"):
        decode(encoded(Image.new("L", (65_536, 1)), "PNG"))
    assert decode(encoded(Image.new("L", (65_535, 1)), "PNG")).shape == (1, 65_535, 3)


def test_a_turned_photo_is_read_smaller_in_its_own_directions(picture):
    """The size that is asked for is that of the upright photo: 600 x 800 as stored, 800 x 600 as seen."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture.resize((800, 600)), "JPEG", exif=exif)
    assert decode(data, min_size=(100, 10)).shape == (200, 150, 3)
    assert decode(data, min_size=(10, 151)).shape == (800, 600, 3)


def turned(orientation: int, picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture, "JPEG", exif=exif)


@pytest.mark.parametrize("progressive", [False, True])
def test_exif_is_that_of_the_photo_itself(picture, progressive):
    """Phones put a second photo behind the first, and a comment may quote the letters Exif."""
    plain = encoded(picture, "JPEG", progressive=progressive)
    assert decode(plain + turned(6, picture)).shape == (30, 40, 3)
    comment = b"\xff\xfe\x00\x0aExif\x00\x00ab"
    data = turned(6, picture)
    assert decode(data[:2] + comment + data[2:]).shape == (40, 30, 3)
    assert decode(data[:2] + b"\xff" + comment + data[2:]).shape == (40, 30, 3)


def test_exif_is_found_behind_a_large_profile(picture):
    """Phones write EXIF first, converters may not: 128 kB of colour profile come before it here."""
    exif = Image.Exif()
    exif[0x0112] = 8
    data = encoded(picture, "JPEG", exif=exif)
    profile = b"\xff\xe2\xff\xff" + bytes(65_533)
    assert decode(data[:2] + 2 * profile + data[2:]).shape == (40, 30, 3)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"II*\x00\x08\x00\x00\x00\xff\xff",
                                  b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x09\x00\x00",
                                  b"junk" * 20])
def test_damaged_exif_does_not_cost_the_photo(picture, fmt, exif):
    """The pixels are whole, and a camera's maker may write what it likes beside them."""
    found = decode(encoded(picture, fmt, exif=b"Exif\x00\x00" + exif, quality=95)).astype(int)
    assert np.abs(found - np.asarray(picture, int)).mean() < 4


def test_formats_that_are_no_photos_are_not_opened(picture):
    """An EPS would start Ghostscript; a phone's HEIC under a JPEG's name needs converting, which is said."""
    with pytest.raises(UnreadableImageError, match="PostScript"):
        decode(encoded(picture, "EPS"))
    with pytest.raises(UnreadableImageError, match=r"HEIC.* convert it to JPEG"):
        decode(b"\x00\x00\x00\x18ftypheic" + bytes(100))


def test_damage_that_libtiff_passes_over_is_refused_in_silence(picture, capfd):
    """It would say so on the terminal and go on with what lay in the memory: another photo each time."""
    data = bytearray(encoded(picture.convert("1"), "TIFF", compression="group4"))
    data[12:20] = bytes(8)  # early in its one strip, which begins at 8
    with pytest.raises(UnreadableImageError, match="damaged TIFF"):
        decode(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_reading_in_threads_leaves_the_warnings_of_others_alone(picture):
    """Python's filters are one list for all threads: put back in another order they would silence a notebook."""
    data = encoded(picture.convert("P"), "PNG", transparency=b"\x00\x80\xff")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(decode, [data] * 200):
            assert warnings.filters == before
    assert warnings.filters == before
