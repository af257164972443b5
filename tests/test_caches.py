"""The cache folder: one process makes an entry, what is used stays, the rest keeps to a limit, the dead bar nobody."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders import FIRST_VERSION, begin_run
from matlens.cli import main as cli
from matlens.errors import CacheError
from matlens.jobs.run import keep_to_limit
from matlens.settings.schema import Settings
from matlens.system import caches
from matlens.system.caches import entries, in_use, left_overs, opened_or_made, prune, whole_entry
from matlens.system.console import Reporter
from matlens.system.files import read_json, write_json
from matlens.system.ownership.cache_content import ENTRY_MARK, ENTRY_MARK_NAME, MARKER_NAME, say_whose

RUN = """
import sys
import threading
from pathlib import Path
from matlens.system import caches
from matlens.system.ownership import locks
locks.PATIENCE = 0.05

def make():
    with caches.whole_entry(folder, "things") as partial:
        (partial / "data.npy").write_text("half")
        print("making", flush=True)
        sys.stdin.readline()
        (partial / "data.npy").write_text("whole")

folder = Path(sys.argv[1])
read = lambda folder: (folder / "data.npy").read_text() if folder.exists() else None
say = lambda text: print(text, flush=True)
helper = threading.Thread(target=lambda: say(caches.opened_or_made(folder, "things", read, make, say)))
helper.start()
helper.join()
sys.stdin.readline()
"""
"""A run that tells what it does, and waits for a line before an entry is whole and before it ends.

It asks in a thread that ends long before the run does, as trunks are converted in one.
"""

Start = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start runs; all are killed in the end."""
    running = []

    def one(folder: Path) -> subprocess.Popen[str]:
        running.append(subprocess.Popen([sys.executable, "-c", RUN, str(folder)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield one
    for run in running:
        kill(run)
        run.communicate()


def kill(run: subprocess.Popen[str]) -> None:
    run.kill()  # SIGKILL: nothing can be put in order
    run.wait()


def told(run: subprocess.Popen[str]) -> str:
    assert run.stdout is not None
    return run.stdout.readline().strip()


def go_on(run: subprocess.Popen[str]) -> None:
    assert run.stdin is not None
    run.stdin.write("\n")
    run.stdin.flush()


def place(cache: Path, number: int, kind: str = "pixels") -> Path:
    return cache / kind / f"{number:024x}"


def entry(folder: Path, size: int = 100, age: float = 0) -> Path:
    """Something kept of `size` bytes that was last used `age` seconds before 2001, in a cache that is marked."""
    folder.mkdir(parents=True)
    say_whose(folder.parents[1])
    (folder / ENTRY_MARK_NAME).write_text(ENTRY_MARK)
    size -= len(ENTRY_MARK)
    (folder / "data.npy").write_bytes(bytes(size))
    os.utime(folder, (978_307_200 - age,) * 2)
    return folder


def read(folder: Path) -> str | None:
    return (folder / "data.npy").read_text() if folder.exists() else None


def writer(folder: Path, text: str = "mine") -> Callable[[], None]:
    def make() -> None:
        with whole_entry(folder, "things") as partial:
            (partial / "data.npy").write_text(text)

    return make


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def test_the_least_recently_used_go_first_until_the_rest_keeps_to_the_limit(tmp_path):
    """Not those made first: a store from last year that is used each day is the one to keep."""
    oldest, old, new = (entry(place(tmp_path, number, kind), age=age) for number, kind, age in (
        (1, "pixels", 30), (2, "features", 20), (3, "trunks", 10)))
    assert [each.folder for each in entries(tmp_path)] == [oldest, old, new]
    assert prune(tmp_path, 300).removed == ()
    caches.note_use(oldest)
    pruned = prune(tmp_path, 250)
    assert [each.folder for each in pruned.removed] == [old]
    assert pruned.left == 200
    assert (oldest.exists(), old.exists(), new.exists()) == (True, False, True)


def test_nothing_that_is_no_entry_is_ever_removed(tmp_path):
    """--cache-dir may be mistyped, and a folder of one's own may be called features."""
    mine = [entry(tmp_path / name) for name in ("features/photos of mine", "pixels/.git", "trunks/a.partial",
                                                f"results/{1:024x}", "features/.notes.1.partial")]
    log = tmp_path / "trunks" / "mobilenetv2_transfer.log"
    log.touch()
    assert entries(tmp_path) == []
    assert prune(tmp_path, 0).removed == ()
    assert all(folder.exists() for folder in [*mine, log])


OF_OTHERS = {
    "locks/prod.txt": b"keep", "locks/pixels.prod.lock": b"", f"locks/pixels.{1:024x}.lock": b"data",
    f"locks/results.{1:024x}.lock": b"", f"pixels/{1:024x}/thesis.tex": b"text", f"pixels/{2:024x}/mine/a.npy": b"",
    f"features/.{1:024x}.12.partial/thesis.tex": b"text", f"features/.{2:024x}.12.partial": b"text",
    f"features/{3:024x}/vec.npy": b"data", f"trunks/{4:024x}/doc.json": b'{"format": 1}',
    f"trunks/{5:024x}/trunk.json": b'{"format": "mine", "parity": 1}', f"pixels/{6:024x}/store.json": b"{",
    f"activations/.{7:024x}.7.partial/x.npy": b"data", f"drafts/{8:024x}/trunk.xml": b"<?xml version='1.0'?><net/>",
    f"features/{10:024x}/{ENTRY_MARK_NAME}": b"a text of mine"}
"""Files of the user's, named as those of a cache are."""


@pytest.mark.parametrize("kind", ["no cache", "a cache", "of an earlier version", "another's marker"])
def test_pruning_takes_nothing_of_anothers_whatever_it_is_called(tmp_path, kind):
    """--cache-dir names a folder of the user's; a marker makes a cache of it, and not of what else lies there."""
    for name, content in OF_OTHERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    mine, lock = place(tmp_path, 9), tmp_path / "locks" / f"pixels.{9:024x}.lock"
    mine.mkdir()
    (mine / "pixels.npy").touch()
    empty = [tmp_path / name for name in (f"features/{11:024x}", f"drafts/.{12:024x}.7.partial")]
    for folder in empty:
        folder.mkdir()
    lock.touch()
    if kind == "a cache":
        say_whose(tmp_path)
        (mine / ENTRY_MARK_NAME).write_text(ENTRY_MARK)
    elif kind == "of an earlier version":
        write_json(mine / "store.json", {"format": 1, "img_size": [48, 48]})
    elif kind == "another's marker":
        (tmp_path / MARKER_NAME).write_text("a text of mine")
        say_whose(tmp_path)
        assert (tmp_path / MARKER_NAME).read_text() == "a text of mine"
    is_ours = kind in ("a cache", "of an earlier version")
    assert [pruned.folder for pruned in prune(tmp_path, -1).removed] == [mine] * is_ours
    assert lock.exists() != is_ours
    assert {path: path.read_bytes() for path in before} == before
    assert all(folder.exists() for folder in empty)


@pytest.mark.parametrize(("kind", "name", "content"), [
    ("pixels", "store.json", '{"format": 1, "img_size": [2, 2]}'), ("features", "features.json", '{"format": 2, '
     '"sha256": ""}'), ("activations", "activations.json", '{"format": 1, "shape": []}'),
    ("drafts", "trunk.xml", '<?xml version="1.0"?>\n<net name="Model0" version="11">'), ("trunks", None, "")])
def test_what_earlier_versions_kept_is_known_by_what_it_says_and_can_be_removed(tmp_path, kind, name, content):
    """Gigabytes that the user would have to find; the trunk is one that the first version made."""
    if name is None:
        shutil.copytree(FIRST_VERSION / "trunks", tmp_path / "trunks")
    else:
        place(tmp_path, 1, kind).mkdir(parents=True)
        (place(tmp_path, 1, kind) / name).write_text(content)
    assert [pruned.kind for pruned in prune(tmp_path, -1).removed] == [kind]
    assert names(tmp_path / kind) == []


def test_what_is_written_to_a_cache_is_marked_so_that_a_damaged_entry_can_be_removed(tmp_path):
    writer(place(tmp_path, 1))()
    (place(tmp_path, 1) / "data.npy").unlink()
    assert [pruned.folder for pruned in prune(tmp_path, -1).removed] == [place(tmp_path, 1)]


@pytest.mark.parametrize(("number", "has_room_made"), [
    (errno.ENOTDIR, False), (errno.EACCES, False), (errno.EROFS, False), (errno.ENOSPC, True), (errno.EDQUOT, True)])
def test_room_is_to_be_made_where_there_is_none_alone(tmp_path, number, has_room_made):
    """--cache-dir /dev/null has no entries to remove."""
    with pytest.raises(CacheError) as caught, whole_entry(place(tmp_path, 1), "things"):
        raise OSError(number, os.strerror(number))
    assert ("--prune" in str(caught.value)) == has_room_made and "--cache-dir" in str(caught.value)


def test_links_in_a_cache_are_not_followed_when_it_is_pruned(tmp_path):
    """An entry that is a link to a folder of photos, or holds one."""
    cache, theirs = tmp_path / "cache", entry(tmp_path / "theirs" / "a" / "b")
    entry(place(cache, 1))
    place(cache, 2).symlink_to(theirs)
    place(cache, 1).joinpath("linked.npy").symlink_to(theirs / "data.npy")
    assert prune(cache, -1).removed == ()
    assert (theirs / "data.npy").exists()


def test_of_two_runs_one_makes_an_entry_and_the_other_waits_and_uses_it(tmp_path, start):
    """Decoding 57,500 photos twice at once would take twice as long, and twice the disk."""
    folder = place(tmp_path, 1)
    first = start(folder)
    assert told(first) == "making"
    second = start(folder)
    assert told(second) == f"another run is making things in {folder}; waiting for it"
    go_on(first)
    assert (told(first), told(second)) == ("whole", "whole")


def test_what_a_living_process_uses_is_not_removed_and_what_a_killed_one_used_is(tmp_path, start):
    """Its children open the store by its path, long after it did."""
    folder, other = entry(place(tmp_path, 1)), entry(place(tmp_path, 2))
    (folder / "data.npy").write_text("whole")
    runs = [start(folder), start(folder)]
    assert [told(run) for run in runs] == ["whole", "whole"]
    assert in_use(folder)
    assert not in_use(other)
    assert [each.folder for each in prune(tmp_path, 0).removed] == [other]
    kill(runs[0])
    assert prune(tmp_path, 0).removed == ()
    kill(runs[1])
    assert [each.folder for each in prune(tmp_path, 0).removed] == [folder]
    assert names(tmp_path / "locks") == names(tmp_path / "pixels") == []


def test_a_run_that_ends_leaves_no_lock_behind(tmp_path, start):
    """Lock files must not pile up."""
    entry(place(tmp_path, 1))
    run = start(place(tmp_path, 1))
    told(run)
    assert len(names(tmp_path / "locks")) == 1
    go_on(run)
    run.wait()
    assert names(tmp_path / "locks") == []


@pytest.mark.parametrize("then", ["pruned", "made again"])
def test_what_a_killed_writer_left_half_written_goes_and_a_living_ones_stays(tmp_path, start, then):
    """Gigabytes that nothing would ever use; and no lock of the dead that a new run waits for."""
    folder = place(tmp_path, 1)
    run = start(folder)
    assert told(run) == "making"
    [partial] = folder.parent.glob(f".{folder.name}.*.partial")
    prune(tmp_path, 0)
    assert left_overs(tmp_path) == []
    assert read(partial / folder.name) == "half"
    kill(run)
    assert left_overs(tmp_path) == [partial]
    if then == "pruned":
        assert prune(tmp_path, 1e9).left_over >= len("half")
        assert names(tmp_path / "pixels") == names(tmp_path / "locks") == []
    else:
        assert opened_or_made(folder, "things", read, writer(folder)) == "mine"
        assert names(tmp_path / "pixels") == [folder.name]


def test_what_this_process_uses_stays(tmp_path):
    """A run prunes before it ends, and must not remove what it made."""
    folder = place(tmp_path, 1, "trunks")
    opened_or_made(folder, "things", read, writer(folder))
    assert prune(tmp_path, 0).removed == ()
    assert read(folder) == "mine"


def test_a_damaged_entry_is_made_again_and_one_that_stays_damaged_is_an_error(tmp_path):
    """A result must never come from a damaged cache."""
    folder = entry(place(tmp_path, 1))

    def whole(folder: Path) -> str | None:
        found = read(folder)
        return found if found == "mine" else None

    assert opened_or_made(folder, "things", whole, writer(folder)) == "mine"
    with pytest.raises(CacheError, match=r"things.*--cache-dir"):
        opened_or_made(place(tmp_path, 2), "things", whole, writer(place(tmp_path, 2), "other"))


def test_a_cache_without_locks_is_used_and_not_pruned(tmp_path):
    """A cache that a cluster offers for reading: what is kept there is used, and nobody's entry is in danger."""
    kept = entry(place(tmp_path, 1))
    (tmp_path / "locks").touch()
    assert opened_or_made(kept, "things", lambda folder: folder, lambda: pytest.fail("it is kept")) == kept
    assert opened_or_made(place(tmp_path, 2), "things", read, writer(place(tmp_path, 2))) == "mine"
    assert prune(tmp_path, 0).removed == ()
    assert in_use(kept)


@pytest.mark.parametrize(("error", "said"), [
    (OSError(errno.ENOSPC, "-"), "No space left on device"), (OSError(errno.EDQUOT, "-"), "Disk quota exceeded"),
    (OSError("9 requested and 2 written"), "9 requested and 2 written"),
    (RuntimeError("basic_ios::clear: iostream error"), "most likely no space left")])
def test_a_disk_that_takes_no_more_is_told_with_the_way_out_and_leaves_nothing(tmp_path, error, said):
    """As the system, NumPy and OpenVINO tell of it."""
    with pytest.raises(CacheError, match=rf"Cannot write things to {tmp_path}: {said}.*--prune.*--cache-dir"), \
            whole_entry(place(tmp_path, 1), "things") as partial:
        (partial / "data.npy").write_text("half")
        raise error
    assert names(tmp_path / "pixels") == []


def test_a_defect_is_not_taken_for_a_full_disk(tmp_path):
    """It would send the user to tidy up."""
    with pytest.raises(RuntimeError, match="shape"), whole_entry(place(tmp_path, 1), "things"):
        raise RuntimeError("wrong shape")


def test_after_a_run_the_cache_keeps_to_its_limit_and_says_so(tmp_path, capsys):
    """Else it grows by gigabytes a week until the disk is full."""
    old, used = entry(place(tmp_path, 1), size=2000), place(tmp_path, 2)
    opened_or_made(used, "things", read, writer(used, "x" * (3000 - len(ENTRY_MARK))))
    settings = Settings(cache_dir=tmp_path, cache_limit=4e-6)
    keep_to_limit(settings, Reporter())
    said = capsys.readouterr()
    assert "2.0 kB" in said.out
    assert "--cache-limit" in said.out
    assert said.err == ""
    assert (old.exists(), used.exists()) == (False, True)
    keep_to_limit(settings.model_copy(update={"cache_limit": 1e-6}), Reporter())
    said = capsys.readouterr()
    assert said.out == ""
    assert "takes 3.0 kB" in said.err
    assert used.exists()


def test_a_run_may_be_resumed_with_another_limit(tmp_path):
    """It decides what is kept, not what comes out."""
    for limit in (20, 5):
        begin_run(tmp_path / "run", Settings(cache_limit=limit))
    assert read_json(tmp_path / "run" / "run.json")["settings"]["cache_limit"] == 5


@pytest.fixture
def data_store(monkeypatch, capsys, tmp_path):
    """`matlens data store` on tmp_path/cache. Returns (exit code, all that was printed)."""
    def run(*arguments: str, cache: str = "cache") -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["matlens", "data", "store", "--cache-dir", str(tmp_path / cache), *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return int(stopped.value.code or 0), "".join(capsys.readouterr())

    monkeypatch.setenv("COLUMNS", "160")
    return run


def test_what_is_kept_is_shown_with_size_age_and_use(data_store, tmp_path):
    """So that one knows what a removal would cost, and why something stays."""
    cache = tmp_path / "cache"
    write_json(entry(place(cache, 1)) / "store.json", {"photos": ["a", "b", "c"], "img_size": [48, 64]})
    write_json(entry(place(cache, 2, "features")) / "features.json", {"model": "some_model", "photos": 7, "view": 2})
    entry(cache / "trunks" / f"other_model-{3:024x}-23", size=5000)
    write_json(cache / "trunks" / f"other_model-{3:024x}-23" / "trunk.json", {})
    (entry(place(cache, 4, "activations")) / "activations.json").write_text("{")
    opened_or_made(place(cache, 1), "things", lambda folder: folder, lambda: None)
    os.utime(place(cache, 2, "features"), (978_307_200 + 86_400 * 40,) * 2)
    (cache / "pixels" / f".{5:024x}.{1:013}.partial").mkdir()
    code, said = data_store()
    rows = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
            for line in said.splitlines() if "│" in line}
    assert code == 0
    assert rows["pixels"][0] == "3 photos, 48 x 64"
    assert (rows["features"][0], rows["features"][2][:7]) == ("some_model, 7 photos, view 2", "2001-02")
    assert (rows["trunks"][0], rows["trunks"][1]) == ("other_model", "5.0 kB")
    assert rows["activations"][0] == "damaged"
    assert [rows[kind][3] for kind in ("pixels", "features", "trunks", "activations")] == ["yes", "", "", ""]
    assert "limit 20 GB" in said
    assert "1 left over by killed runs" in said


def test_a_cache_that_is_empty_or_not_there_is_told(data_store, tmp_path):
    """And is not made by asking."""
    code, said = data_store(cache="none")
    assert (code, "none is no folder yet" in said) == (0, True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "cache").mkdir()
    code, said = data_store()
    assert (code, "holds nothing" in said) == (0, True)


def test_pruning_by_hand_goes_to_the_limit_to_a_given_one_or_as_far_as_it_can(data_store, tmp_path, monkeypatch):
    """The limit is the settings'."""
    cache = tmp_path / "cache"
    (tmp_path / "matlens.toml").write_text("CACHE_LIMIT = 35e-8")
    monkeypatch.setenv("MATLENS_CONFIG", str(tmp_path / "matlens.toml"))
    folders = [entry(place(cache, number), age=-number) for number in range(5)]
    for options, left in (((), 3), (("--limit", "0.0000002"), 2), (("--all",), 0)):
        code, said = data_store("--prune", *options)
        assert code == 0
        assert f"{left}00 bytes left" in said if left else "0 bytes left" in said
        assert [folder.exists() for folder in folders] == [False] * (5 - left) + [True] * left


@pytest.mark.parametrize("options", [("--all",), ("--limit", "1"), ("--prune", "--all", "--limit", "1")])
def test_how_far_without_prune_or_twice_is_refused(data_store, tmp_path, options):
    """Who asks for --all and gets a list believes that all is gone."""
    folder = entry(place(tmp_path / "cache", 1))
    code, said = data_store(*options)
    assert (code, "--prune" in said) == (2, True)
    assert folder.exists()


def test_opening_is_use(tmp_path):
    """Recorded as the folder's time of change; where that cannot be written, only the order suffers."""
    folder = entry(place(tmp_path, 1))
    before = folder.stat().st_mtime
    assert opened_or_made(folder, "things", lambda folder: folder, lambda: pytest.fail("it is kept")) == folder
    assert folder.stat().st_mtime > before
    caches.note_use(tmp_path / "gone")
