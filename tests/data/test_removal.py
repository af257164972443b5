"""remove_corrupted_images: what is broken goes, and nothing else of the user's is touched."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import contents

from matlens import remove_corrupted_images
from matlens.data.pixels import decode as decode_module
from matlens.data.pixels import reader as reader_module
from matlens.data.pixels.files import content_of
from matlens.data.pixels.problems import UnreadableImageError, problem_of
from matlens.errors import DataError


def jpeg(number: int = 0) -> bytes:
    """A photo of noise: every piece of its file matters."""
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


BROKEN = {"wood/empty.jpg": b"", "wood/cut.jpg": jpeg(7)[:len(jpeg(7)) // 2], "brick/deep/text.jpg": b"not a photo"}
GOOD = {"wood/1.jpg": jpeg(1), "brick/2.jpg": jpeg(2), "brick/deep/3.jpeg": jpeg(3)}
OTHER = {"wood/notes.txt": b"", "brick/model.h5": b"weights", "wood/.hidden.jpg": b"",
         "wood/.ipynb_checkpoints/1.jpg": b"", "__MACOSX/wood/1.jpg": b""}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three broken photos among whole ones and files that are no photos."""
    for name, content in {**BROKEN, **GOOD, **OTHER}.items():
        write(tmp_path / "photos" / name, content)
    return tmp_path / "photos"


def test_broken_photos_are_removed_and_named_and_all_else_stays(photos):
    """Losing a whole photo, or a file that is none, is worse than keeping a broken one."""
    removed = remove_corrupted_images(photos)
    assert set(removed) == set(BROKEN)
    assert removed["wood/empty.jpg"] == "empty file"
    assert removed["brick/deep/text.jpg"] == "not an image"
    assert "truncated" in removed["wood/cut.jpg"]
    assert contents(photos) == {**GOOD, **OTHER}
    assert remove_corrupted_images(photos) == {}


def test_a_prepared_directory_is_cleaned_in_every_part(tmp_path):
    """The guide calls it on what is divided already."""
    for part in ("train", "val", "test"):
        write(tmp_path / part / "wood" / "1.jpg", jpeg(1))
        write(tmp_path / part / "wood" / "2.jpg", b"")
    assert set(remove_corrupted_images(tmp_path)) == {f"{part}/wood/2.jpg" for part in ("train", "val", "test")}
    assert set(contents(tmp_path)) == {f"{part}/wood/1.jpg" for part in ("train", "val", "test")}


def test_quarantine_keeps_paths_and_contents(photos, tmp_path):
    """Who doubts a verdict must find the photo again, as it was."""
    removed = remove_corrupted_images(photos, quarantine=tmp_path / "away" / "here")
    assert set(removed) == set(BROKEN)
    assert contents(tmp_path / "away" / "here") == BROKEN
    assert contents(photos) == {**GOOD, **OTHER}


def test_quarantine_overwrites_nothing(photos, tmp_path):
    """The second dataset's wood/empty.jpg must not take the place of the first's."""
    earlier = write(tmp_path / "away" / "wood" / "empty.jpg", b"of an earlier call")
    remove_corrupted_images(photos, quarantine=tmp_path / "away")
    assert earlier.read_bytes() == b"of an earlier call"
    moved = contents(tmp_path / "away")
    assert sorted(moved.values()) == sorted([*BROKEN.values(), b"of an earlier call"])
    write(photos / "wood" / "empty.jpg", b"")
    remove_corrupted_images(photos, quarantine=tmp_path / "away")
    assert len(contents(tmp_path / "away")) == 5


@pytest.mark.parametrize("inside", [".", "away", "wood/away", "../photos/away"])
def test_a_quarantine_among_the_photos_is_refused(photos, inside):
    """The next call would check the quarantine and move it into itself."""
    before = contents(photos)
    with pytest.raises(DataError, match="lies inside"):
        remove_corrupted_images(photos, quarantine=photos / inside)
    assert contents(photos) == before


def test_links_that_lead_outside_are_neither_read_nor_removed(photos, tmp_path):
    """What they lead to belongs to somebody else."""
    outside = write(tmp_path / "elsewhere" / "broken.jpg", b"not a photo")
    (photos / "wood" / "file.jpg").symlink_to(outside)
    (photos / "stone").symlink_to(outside.parent, target_is_directory=True)
    removed = remove_corrupted_images(photos)
    assert set(removed) == set(BROKEN)
    assert (photos / "wood" / "file.jpg").is_symlink()
    assert (photos / "stone").is_symlink()
    assert outside.read_bytes() == b"not a photo"


def test_a_broken_photo_linked_from_inside_goes_with_its_link(tmp_path):
    """A link that is left would lead nowhere, and training would fall over it."""
    target = write(tmp_path / "photos" / "wood" / "broken.jpg", b"")
    write(tmp_path / "photos" / "wood" / "1.jpg", jpeg(1))
    (tmp_path / "photos" / "wood" / "link.jpg").symlink_to(target)
    assert set(remove_corrupted_images(tmp_path / "photos")) == {"wood/broken.jpg", "wood/link.jpg"}
    assert [path.name for path in (tmp_path / "photos" / "wood").iterdir()] == ["1.jpg"]


@pytest.mark.parametrize("quarantined", [True, False])
def test_a_link_to_nothing_is_removed(tmp_path, quarantined):
    """There is no photo behind it, and there will be none."""
    write(tmp_path / "photos" / "wood" / "1.jpg", jpeg(1))
    link = tmp_path / "photos" / "wood" / "gone.jpg"
    link.symlink_to(tmp_path / "photos" / "wood" / "nothing.jpg")
    away = tmp_path / "away" if quarantined else None
    removed = remove_corrupted_images(tmp_path / "photos", quarantine=away)
    assert set(removed) == {"wood/gone.jpg"}
    assert not link.is_symlink()
    assert not quarantined or (tmp_path / "away" / "wood" / "gone.jpg").is_symlink()


def test_truncated_photos_may_be_kept(photos):
    """The guide's LOAD_TRUNCATED_IMAGES: half a photo is better than none."""
    assert set(remove_corrupted_images(photos, keep_truncated=True)) == set(BROKEN) - {"wood/cut.jpg"}
    assert (photos / "wood" / "cut.jpg").read_bytes() == BROKEN["wood/cut.jpg"]


def test_whole_photos_that_are_merely_not_read_stay(photos, monkeypatch, capsys):
    """Web servers name AVIF .jpg, a panorama has more pixels than are read: whole photos, gone for good."""
    kept = {}
    for name, fmt in (("avif.jpg", "AVIF"), ("jp2.jpg", "JPEG2000"), ("lab.tif", "TIFF"), ("panorama.png", "PNG"),
                      ("tga.jpg", "TGA"), ("pcx.jpg", "PCX"), ("im.jpg", "IM"), ("ppm.jpg", "PPM")):
        file, size = io.BytesIO(), (64, 64) if fmt == "PNG" else (8, 8)
        Image.new("RGB", size).convert("LAB" if name == "lab.tif" else "RGB").save(file, fmt)
        kept[f"wood/{name}"] = file.getvalue()
        write(photos / "wood" / name, file.getvalue())
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 2000)
    assert set(remove_corrupted_images(photos)) == set(BROKEN)
    assert contents(photos) == {**GOOD, **OTHER, **kept}
    said = capsys.readouterr().err
    assert all(name in said for name in kept)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ESTALE, "Stale file handle"),
                                   OSError(errno.EACCES, "Permission denied")])
def test_a_photo_that_this_machine_cannot_read_now_stays(photos, monkeypatch, error):
    """Memory was short for a moment, or the network disk was away."""
    def refuse(path: Path) -> bytes:
        if path.name == "1.jpg":
            raise UnreadableImageError(problem_of(error))
        return content_of(path)

    monkeypatch.setattr(reader_module, "content_of", refuse)
    assert set(remove_corrupted_images(photos)) == set(BROKEN)
    assert contents(photos) == {**GOOD, **OTHER}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_among_the_photos_is_neither_waited_for_nor_removed(photos):
    """It would never end."""
    os.mkfifo(photos / "wood" / "pipe.jpg")
    assert set(remove_corrupted_images(photos)) == set(BROKEN)
    assert (photos / "wood" / "pipe.jpg").is_fifo()


@pytest.mark.parametrize("name", ["nowhere", "photos/wood/1.jpg"])
def test_what_is_no_folder_is_refused(photos, tmp_path, name):
    """A mistyped path must not pass for a clean dataset."""
    with pytest.raises(DataError, match="No such folder"):
        remove_corrupted_images(tmp_path / name)


def test_what_cannot_be_removed_is_named_with_what_was(photos, monkeypatch):
    """A read-only dataset, as Kaggle's: nobody should believe that it was cleaned."""
    def refuse(path: Path, **_: object) -> None:
        if path.name == "empty.jpg":
            raise PermissionError(30, "Read-only file system")
        return unlink(path)

    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(DataError, match=r"empty\.jpg: Read-only file system") as caught:
        remove_corrupted_images(photos)
    gone = set(BROKEN) - set(contents(photos))
    assert gone == {"brick/deep/text.jpg", "wood/cut.jpg"}
    assert all(name in str(caught.value) for name in gone)
