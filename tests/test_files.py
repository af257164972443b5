"""Files are there whole or not at all, whatever happens while they are written; and what went wrong is told."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest

from attacks import at_once
from matlens.errors import WriteError
from matlens.system.files import (
    appending,
    make_folder,
    read_json,
    refuse_unwritable,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)
from matlens.system.ownership.locks import CONTENT, LOCK_NAME
from matlens.system.ownership.temporary import sweep, temporary_beside
from matlens.system.untrusted_arrays import read_arrays


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def fail(error: BaseException) -> None:
    raise error


def test_a_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    """The figures of yesterday are not lost to a crash of today."""
    write_text(tmp_path / "a.json", "old")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a.json") as partial:
        partial.write_text("half")
        fail(KeyboardInterrupt())
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    """An export that fails must not cost the artifact that was there."""
    with whole_folder(tmp_path / "m.artifact") as partial:
        (partial / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "m.artifact") as partial:
        (partial / "a").write_text("half")
        fail(KeyboardInterrupt())
    assert names(tmp_path) == ["m.artifact", "m.artifact/a"]
    assert (tmp_path / "m.artifact" / "a").read_text() == "old"
    with whole_folder(tmp_path / "m.artifact") as partial:
        (partial / "b").write_text("new")
    assert names(tmp_path) == ["m.artifact", "m.artifact/b"]


def test_readers_never_see_half_a_folder_while_it_is_replaced(tmp_path, monkeypatch):
    """Removing the old folder file by file, with the name still on it, would show half of it."""
    for content in ("old", "new"):
        seen = []
        replace = Path.replace

        def watch(self, target, seen=seen, replace=replace):
            done = replace(self, target)
            seen.append(names(tmp_path / "f") if (tmp_path / "f").exists() else None)
            return done

        monkeypatch.setattr(Path, "replace", watch)
        with whole_folder(tmp_path / "f") as partial:
            for number in range(3):
                (partial / f"{content}{number}").touch()
        monkeypatch.setattr(Path, "replace", replace)
        whole = ["new0", "new1", "new2"] if content == "new" else ["old0", "old1", "old2"]
        assert seen in ([whole], [None, whole])


KILLED = """
import os, signal, sys; from pathlib import Path
from matlens.system.files import whole_file, whole_folder
with whole_{kind}(Path(sys.argv[1])) as partial:
    partial.joinpath(*["x"] * partial.is_dir()).write_text("half")
    {then}
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def killed_while_writing(path: Path, kind: str) -> None:
    """A process that is killed cleans nothing up itself."""
    done = subprocess.run([sys.executable, "-c", KILLED.format(kind=kind, then=KILL), str(path)], check=False)
    assert done.returncode < 0


def temporary(path: Path) -> list[Path]:
    return [folder for folder in path.parent.glob(".*.partial") if (folder / LOCK_NAME).exists()]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_swept(tmp_path, kind):
    """In a folder that is matlens' own; the user's own file there stays, whatever it is called."""
    killed_while_writing(tmp_path / "deep" / "m.h5", kind)
    (tmp_path / ".hidden.txt").write_text("the user's")
    (tmp_path / ".draft.12.partial.txt").write_text("the user's")
    assert len(temporary(tmp_path / "deep" / "m.h5")) == 1
    sweep(tmp_path, ("deep",))
    assert names(tmp_path) == [".draft.12.partial.txt", ".hidden.txt", "deep"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_writing_removes_what_a_killed_one_left_beside_it_at_once(tmp_path, kind):
    """In any folder, such as a notebook's models/."""
    for _ in range(2):
        killed_while_writing(tmp_path / "m.h5", kind)
    killed_while_writing(tmp_path / "other.h5", kind)
    assert len(temporary(tmp_path / "m.h5")) == 2  # the second one removed that of the first
    write_text(tmp_path / "m.h5", "whole")
    assert [path.name.split(".")[1] for path in temporary(tmp_path / "m.h5")] == ["other"]
    assert (tmp_path / "m.h5").read_text() == "whole"


def test_what_a_living_process_is_writing_stays(tmp_path):
    """Two at once on one file: the last one wins, and neither loses what it writes to."""
    code = KILLED.format(kind="file", then="print(partial, flush=True); sys.stdin.readline()")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.json")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        theirs = Path(other.stdout.readline().strip())
        write_json(tmp_path / "a.json", {})
        assert theirs.read_text() == "half"
        other.stdin.write("\n")
    assert names(tmp_path) == ["a.json"] and (tmp_path / "a.json").read_text() == "half"


@pytest.mark.parametrize("content", [None, b"data", CONTENT + b"more", CONTENT[:-1]])
def test_a_folder_that_is_not_marked_is_nobodys_to_remove(tmp_path, content):
    """Of the user's own, and named as one of matlens' is."""
    mine = tmp_path / ".a.json.7.partial"
    mine.mkdir()
    (mine / "a.json").write_text("the user's")
    if content is not None:
        (mine / LOCK_NAME).write_bytes(content)
    (tmp_path / ".a.1.partial.json").write_text("the user's")
    os.utime(tmp_path / ".a.1.partial.json", (0, 0))
    before = names(tmp_path)
    write_json(tmp_path / "a.json", {})
    assert names(tmp_path) == sorted([*before, "a.json"])
    assert content is None or (mine / LOCK_NAME).read_bytes() == content


@pytest.mark.parametrize("place", [".m.artifact.4242.partial/m.artifact.replaced", "in/.m.4242.replaced.artifact"],
                         ids=["today", "earlier version"])
def test_a_folder_that_had_made_room_is_put_back(tmp_path, place):
    """The moment between two renames is short, but a kill may fall into it."""
    for number in range(2):
        aside = tmp_path / "in" / place.removeprefix("in/")
        aside.mkdir(parents=True)
        (aside / "a").write_text("old" if number == 0 else "older")
        if aside.parent.name.endswith("partial"):
            (aside.parent / LOCK_NAME).write_bytes(CONTENT)
        sweep(tmp_path, ("in",), ("m",))
        assert names(tmp_path / "in") == ["m.artifact", "m.artifact/a"]
        assert (tmp_path / "in" / "m.artifact" / "a").read_text() == "old"


def test_a_name_as_long_as_the_system_takes_can_be_written_and_swept(tmp_path):
    """The temporary folder's name must not be longer."""
    for name in ("x" * 255, "ü" * 127):
        killed_while_writing(tmp_path / name, "file")
        write_text(tmp_path / name, "whole")
        assert names(tmp_path) == [name]
        (tmp_path / name).unlink()


def test_adding_to_a_file_changes_no_other_one(tmp_path):
    """A stranger's logs/x.log may be a link to the user's own file, a second name of it, or a pipe."""
    mine = tmp_path / "mine.txt"
    mine.write_text("the user's\n")
    (tmp_path / "linked.log").symlink_to(mine)
    (tmp_path / "hard.log").hardlink_to(mine)
    os.mkfifo(tmp_path / "pipe.log")
    for name in ("linked.log", "pipe.log"):
        with pytest.raises(WriteError, match=name), appending(tmp_path / name):
            pytest.fail("opened")
    for name in ("hard.log", "new/new.log"):
        for _ in range(2):
            with appending(tmp_path / name) as file:
                file.write(b"a line\n")
    assert mine.read_text() == "the user's\n"
    assert (tmp_path / "hard.log").read_text() == "the user's\na line\na line\n"
    assert (tmp_path / "new" / "new.log").read_text() == "a line\na line\n"


def in_the_way(place: Path, what: str) -> None:
    """Something that is no file, or no folder, where one is to be written."""
    if what.startswith("link"):
        target = place.parent / "target"
        target.mkdir() if what == "link to a folder" else target.write_text("mine")
        place.symlink_to("nowhere" if what == "link to nowhere" else target)
    elif what == "pipe":
        os.mkfifo(place)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(place))
    elif what == "folder":
        place.mkdir()
    else:
        place.write_text("mine")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("what", ["link to a file", "link to a folder", "link to nowhere", "pipe", "socket", "folder",
                                  "file"])
def test_what_is_of_another_kind_is_refused_and_stays_what_it_is(tmp_path, monkeypatch, what, when):
    """A file in the place of /dev/null, of a pipe or of a link cuts others off from what was there."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "x"
    if when == "before":
        in_the_way(place, what)
        for kind in (whole_folder,) if what == "file" else (whole_file, refuse_unwritable):
            with at_once(), pytest.raises(WriteError, match="/x"), kind(place) if kind is not refuse_unwritable else (
                    nullcontext(kind(place))):
                pytest.fail("the work was begun")
    else:
        with at_once(), pytest.raises(WriteError, match="/x"), (
                whole_folder if what == "file" else whole_file)(place) as partial:
            partial.write_text("new") if what != "file" else (partial / "a").write_text("new")
            in_the_way(place, what)
    there = place.lstat().st_mode
    assert {"link": stat.S_ISLNK, "pipe": stat.S_ISFIFO, "socket": stat.S_ISSOCK, "folder": stat.S_ISDIR,
            "file": stat.S_ISREG}[what.split()[0]](there)
    assert set(names(tmp_path)) <= {"x", "target"}
    for mine in ("x" if what == "file" else "target",) * (what in ("file", "link to a file")):
        assert (tmp_path / mine).read_text() == "mine"


@pytest.mark.parametrize("digits", ["2024", "1234567890123"])
@pytest.mark.parametrize("content", ["nothing", "an empty lock"])
def test_an_empty_folder_of_the_users_stays_and_one_of_a_killed_start_goes(tmp_path, digits, content):
    """A kill may come before the lock has content. A folder in which nothing is may be anybody's."""
    left = tmp_path / f".thesis.{digits}.partial"
    left.mkdir()
    if content == "an empty lock":
        (left / LOCK_NAME).touch()
    for _ in range(2):
        write_text(tmp_path / "thesis", "text")
        sweep(tmp_path, ())
    assert left.exists() == (digits == "2024" or content == "nothing")


def test_in_a_folder_of_matlens_own_an_empty_one_of_a_killed_start_goes(tmp_path):
    """The caller of `sweep` knows the folder, and the names that matlens writes there."""
    ours, others = (tmp_path / f".{name}.1234567890123.partial" for name in ("run.json", "thesis"))
    for folder in (ours, others):
        folder.mkdir()
    sweep(tmp_path, ["run.json"])
    assert (ours.exists(), others.exists()) == (False, True)


def test_a_new_temporary_folder_has_a_number_by_which_it_is_known(tmp_path, monkeypatch):
    """Also where the random number is small."""
    monkeypatch.setattr("os.urandom", lambda n: bytes(n))
    with temporary_beside(tmp_path / "a") as partial:
        assert partial.parent.name == ".a.0000000000000.partial"


@pytest.mark.parametrize(("number", "way_out"), [
    (errno.ENOSPC, "Make room"), (errno.EDQUOT, "Make room"), (errno.EROFS, "can be written"),
    (errno.EACCES, "permissions"), (errno.EFBIG, "ulimit -f")])
def test_what_the_system_refuses_is_told_with_the_file_and_the_way_out(tmp_path, number, way_out):
    """A write on a full disk carries no file name."""
    with pytest.raises(WriteError) as caught, whole_file(tmp_path / "model.h5"):
        fail(OSError(number, os.strerror(number)))
    for words in (str(tmp_path / "model.h5"), os.strerror(number), way_out):
        assert words in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.errno == number


@pytest.mark.parametrize("error", [
    OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
    RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file data/0: file write"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1442048 vs 1441944"),
    RuntimeError("basic_ios::clear: iostream error"), OSError("4096 requested and 128 written")],
    ids=["HDF5", "PyTorch", "PyTorch, closing", "OpenVINO", "NumPy"])
def test_libraries_that_hide_the_reason_are_understood(tmp_path, error):
    """As each of them words a full disk."""
    with pytest.raises(WriteError, match="Make room"), whole_file(tmp_path / "model"):
        fail(error)


@pytest.mark.parametrize("error", [
    ValueError("errno = 28"), RuntimeError("shape mismatch"), FileNotFoundError(errno.ENOENT, "-", "/elsewhere/photo"),
    PermissionError(errno.EACCES, "-", "/elsewhere/photo")])
def test_a_defect_or_an_unreadable_source_is_not_taken_for_a_full_disk(tmp_path, error):
    """It would send the user to tidy up."""
    with pytest.raises(type(error)) as caught, whole_file(tmp_path / "model"):
        fail(error)
    assert caught.value is error


def test_what_failed_first_is_told(tmp_path):
    """Closing a file that cannot be written fails once more, in other words."""
    with pytest.raises(WriteError, match=r"File too large.*ulimit"), whole_file(tmp_path / "m.pth"):
        try:
            fail(OSError(errno.EFBIG, os.strerror(errno.EFBIG)))
        finally:
            fail(RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1442048 vs 1441944"))


def test_a_file_where_a_folder_should_be(tmp_path):
    """The parents are made, so what hinders that is told too."""
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/inside/a\.json.*A file lies where a folder should be"):
        write_json(tmp_path / "file" / "inside" / "a.json", {})


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the file system that makes no folders is Linux's")
def test_a_place_that_takes_no_folder_is_not_taken_for_one_that_was_removed(tmp_path):
    """Of these, the same command would make it again."""
    with pytest.raises(WriteError) as never:
        make_folder(Path("/proc/x"))
    with pytest.raises(WriteError) as removed, whole_file(tmp_path / "in" / "a") as partial:
        partial.write_text("new")
        shutil.rmtree(tmp_path / "in")
    assert never.value.errno == removed.value.errno == errno.ENOENT
    assert ("same command" in str(never.value), "same command" in str(removed.value)) == (False, True)


def test_the_temporary_neighbour_keeps_the_suffix(tmp_path):
    """Keras chooses the format by it."""
    with whole_file(tmp_path / "m.h5") as partial:
        assert partial.suffix == ".h5"
        partial.touch()


def test_arrays_in_a_damaged_archive_are_refused(tmp_path):
    """Each byte of a compressed .npz in turn: zip, deflate and NumPy each have errors of their own."""
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(60, dtype=np.float32))
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "a.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1:])
        with suppress(ValueError, OSError):  # a few bytes, such as those of the date, mean nothing
            np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz", {"x": ("f", 1)})["x"], np.arange(60))


def test_json_is_read_back(tmp_path):
    """With names of any language."""
    content = {"class": "Ziegel ü 煉瓦", "n": [1, 2.5, None]}
    assert read_json(write_json(tmp_path / "a.json", content)) == content
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == content
