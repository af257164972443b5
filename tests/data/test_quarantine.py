"""Quarantine: what was taken out of a dataset can be put back, whatever happened meanwhile."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from planted import HOSTILE, contents, fresh, plant, save

from matlens.data.audit import photo_facts
from matlens.data.audit import quarantine as quarantine_module
from matlens.data.audit.audit import audit
from matlens.data.audit.quarantine import LOG, move_out, plan_removal, restore
from matlens.data.pixels.files import content_of
from matlens.data.pixels.problems import UnreadableImageError
from matlens.data.source.sources import open_source
from matlens.errors import DataError


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """A copy of the drawn photos with a fault of each kind."""
    root = Path(shutil.copytree(drawn, tmp_path / "photos"))
    plant(root)
    return root


@pytest.fixture
def away(tmp_path: Path) -> Path:
    return tmp_path / "away"


def log_of(away: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (away / LOG).read_text().splitlines()]


OUT = {"brick/cut.jpg", HOSTILE, "brick/zero.png", "wood/png.jpg", "wood/other.img", "wood/noending",
       "brick/copy.jpg", "foliage/foliage_000002.jpg", "sky/wood.jpg", "wood/wood_000003.jpg", "sky/blank.png",
       "wood/dark.jpg", "wood/bright.jpg", "brick/blurred.jpg", "brick/padded.jpg"}


def test_what_was_found_goes_and_comes_back_as_it_was(photos, away, matlens):
    """Of duplicates one stays, of two classes none; what is merely unusual stays, and so does the small class."""
    before = contents(photos)
    code, out, _ = matlens("data", "audit", photos, "--quarantine", away)
    assert code == 0
    assert set(before) - set(contents(photos)) == OUT
    moved = contents(away)
    assert {path: moved[path] for path in OUT} == {path: before[path] for path in OUT}
    assert {entry["source"]: entry["kind"] for entry in log_of(away)}["brick/copy.jpg"] == "exact_duplicate"
    assert "moved brick/blurred.jpg (blurred)" in out
    assert "left brick/brick_000002.jpg: the one that stays of 2 (exact_duplicate)" in out
    assert "left sky/small.jpg: odd_size is taken out with --kind odd_size only" in out
    code, out, _ = matlens("data", "audit", photos, "--restore", "--quarantine", away)
    assert (code, out.splitlines()[-1]) == (0, f"{len(OUT)} files put back into {photos}")
    assert contents(photos) == before
    assert matlens("data", "audit", photos, "--restore", "--quarantine", away)[1].startswith("0 files put back")
    assert contents(photos) == before


def test_what_is_unusual_goes_if_it_is_named(photos, away, matlens):
    """--kind says that the user has looked."""
    before = contents(photos)
    assert matlens("data", "audit", photos, "--kind", "odd_size", "--quarantine", away)[0] == 0
    assert set(before) - set(contents(photos)) == {"sky/small.jpg"}


@pytest.mark.parametrize("moves", [0, 1, 7])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_in_between_loses_nothing(photos, away, monkeypatch, moves, when):
    """Whether it strikes before a move that is logged, or after it; the next call then takes out the rest."""
    before, move_file, done = contents(photos), quarantine_module.move_file, 0

    def killed(source: Path, destination: Path) -> None:
        nonlocal done
        if done < moves or when == "after":
            move_file(source, destination)
        if done == moves:
            raise KeyboardInterrupt
        done += 1

    found = audit(open_source(photos))
    with monkeypatch.context() as patch:
        patch.setattr(quarantine_module, "move_file", killed)
        away.mkdir()
        with pytest.raises(KeyboardInterrupt):
            list(move_out(photos, plan_removal(found), away))
    with (away / LOG).open("a") as log:
        log.write('{"root": "/half a li')
    assert len(restore(photos, away)) == moves + (when == "after")
    assert contents(photos) == before
    assert {moved.source for moved in move_out(photos, plan_removal(found), away)} == OUT
    assert set(before) - set(contents(photos)) == OUT
    restore(photos, away)
    assert contents(photos) == before


def test_restoring_overwrites_nothing_and_tells_what_is_not_as_it_was(photos, away, matlens):
    """Another photo in the old place, a changed one, a lost one: each is named, all others come back."""
    before = contents(photos)
    matlens("data", "audit", photos, "--quarantine", away)
    (photos / "brick/copy.jpg").write_bytes(b"a new photo")
    (away / "wood/dark.jpg").write_bytes(b"changed")
    (away / "sky/blank.png").unlink()
    code, _, message = matlens("data", "audit", photos, "--restore", "--quarantine", away)
    assert code == 2
    assert "brick/copy.jpg (another file lies there now; it was not overwritten)" in message
    assert "wood/dark.jpg" in message and "is not what was moved" in message
    assert "sky/blank.png (gone from" in message
    lost = {"wood/dark.jpg", "sky/blank.png"}
    assert contents(photos) == {path: content for path, content in before.items() if path not in lost} | {
        "brick/copy.jpg": b"a new photo"}


def test_a_photo_of_the_test_part_is_the_one_that_is_kept(tmp_path, drawn):
    """Otherwise the test score could not be compared with that of others."""
    for part, number in (("train", 1), ("val", 2), ("test", 3)):
        for name in ("sky", "wood"):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            shutil.copy(drawn / name / f"{name}_00000{number}.jpg", tmp_path / "photos" / part / name / "1.jpg")
    for part, name in (("train", "sky"), ("val", "sky"), ("train", "wood")):
        kept = "test" if name == "sky" else "val"
        shutil.copy(tmp_path / f"photos/{kept}/{name}/1.jpg", tmp_path / f"photos/{part}/{name}/2.jpg")
    plan = plan_removal(audit(open_source(tmp_path / "photos")))
    assert set(plan.out) == {"train/sky/2.jpg", "val/sky/2.jpg", "train/wood/2.jpg"}
    assert set(plan.left) == {"test/sky/1.jpg", "val/wood/1.jpg"}


def test_links_that_lead_out_are_left_and_links_inside_go_before_their_photos(tmp_path, drawn):
    """What is behind the first belongs to somebody else; the second would lead nowhere without the photo."""
    root = Path(shutil.copytree(drawn, tmp_path / "photos"))
    (tmp_path / "elsewhere.jpg").write_bytes(b"not a photo")
    (root / "sky/out.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    (root / "sky/a.jpg").symlink_to("sky_000001.jpg")
    plan = plan_removal(audit(open_source(root)))
    assert set(plan.out) == {"sky/a.jpg"}
    assert plan.left["sky/out.jpg"] == "a link that leads out of the dataset"
    (tmp_path / "away").mkdir()
    assert len(list(move_out(root, plan, tmp_path / "away"))) == 1
    assert restore(root, tmp_path / "away") == ["sky/a.jpg"]
    assert (root / "sky/a.jpg").readlink() == Path("sky_000001.jpg")


def test_another_disk_is_as_good(photos, away, monkeypatch):
    """Renaming does not work between disks."""
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    before = contents(photos)
    monkeypatch.setattr(Path, "rename", refuse)
    away.mkdir()
    assert len(list(move_out(photos, plan_removal(audit(open_source(photos))), away))) == len(OUT)
    assert set(contents(away)) == OUT | {LOG}
    restore(photos, away)
    assert contents(photos) == before


def test_deleting_takes_its_word_and_a_kind(photos, matlens, tmp_path):
    """Nothing is lost unawares."""
    before = contents(photos)
    for options in (("--delete",), ("--delete", "--kind", "empty", "--quarantine", tmp_path / "away"),
                    ("--restore",), ("--restore", "--quarantine", tmp_path / "away", "--strict")):
        code, _, message = matlens("data", "audit", photos, *options)
        assert (code, options[0] in message) == (2, True)
    assert contents(photos) == before
    code, out, _ = matlens("data", "audit", photos, "--delete", "--kind", "empty", "--kind", "exact_duplicate")
    assert code == 0
    assert "deleted brick/zero.png (empty)" in out
    assert set(before) - set(contents(photos)) == {"brick/zero.png", "brick/copy.jpg", "wood/wood_000003.jpg"}


def test_a_quarantine_without_a_log_or_among_the_photos_is_refused(photos, matlens, tmp_path):
    """A mistyped folder must not pass for one from which all was put back."""
    (tmp_path / "away").mkdir()
    code, _, message = matlens("data", "audit", photos, "--restore", "--quarantine", tmp_path / "away")
    assert code == 2 and LOG in message
    code, _, message = matlens("data", "audit", photos, "--quarantine", photos / "away")
    assert code == 2 and "lies inside" in message
    (tmp_path / "away" / LOG).touch()
    with pytest.raises(DataError, match=LOG):
        restore(photos, tmp_path / "away")


def test_of_two_poor_copies_none_is_kept(tmp_path, drawn):
    """One of a group stays only if it has no fault of its own."""
    root = Path(shutil.copytree(drawn, tmp_path / "photos"))
    save(root / "brick/dark1.jpg", fresh("brick", 50) // 9)
    shutil.copy(root / "brick/dark1.jpg", root / "brick/dark2.jpg")
    assert set(plan_removal(audit(open_source(root))).out) == {"brick/dark1.jpg", "brick/dark2.jpg"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_what_is_merely_not_read_is_moved_if_it_is_named_and_never_deleted(tmp_path, drawn, matlens, away):
    """A whole photo in another format: the next version may read it. A pipe and a photo out of reach stay at all."""
    root = Path(shutil.copytree(drawn, tmp_path / "photos"))
    save(root / "sky/web.jpg", fresh("sky", 60), "AVIF")
    os.mkfifo(root / "sky/pipe.jpg")
    source = open_source(root)
    found = audit(source)
    assert [finding.paths for finding in found.of("unsupported")] == [("sky/web.jpg",)]
    assert [(entry.path, entry.kind) for entry in source.unused] == [("sky/pipe.jpg", "special")]
    assert not found.of("unreadable")
    assert dict(plan_removal(found).out) == {}
    assert matlens("data", "audit", root, "--delete", "--kind", "unsupported")[0] == 0
    assert (root / "sky/web.jpg").exists() and (root / "sky/pipe.jpg").exists()
    assert matlens("data", "audit", root, "--quarantine", away, "--kind", "unsupported")[0] == 0
    assert (away / "sky/web.jpg").exists() and (root / "sky/pipe.jpg").is_fifo()


def test_what_this_machine_cannot_read_now_is_told_and_stays(tmp_path, drawn, monkeypatch):
    """The photo may be whole, whatever the user asks for."""
    monkeypatch.setattr(photo_facts, "content_of", lambda path: out_of_reach(path))
    root = Path(shutil.copytree(drawn, tmp_path / "photos"))
    found = audit(open_source(root))
    assert {finding.paths for finding in found.of("unreachable")} == {("sky/sky_000001.jpg",)}
    for for_good in (True, False):
        plan = plan_removal(found, ("unreachable", "unreadable"), for_good=for_good)
        assert not plan.out and set(plan.left) == {"sky/sky_000001.jpg"}


def out_of_reach(path: Path) -> bytes:
    if path.name == "sky_000001.jpg":
        raise UnreadableImageError("Stale file handle", "trouble")
    return content_of(path)
