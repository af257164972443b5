"""Values in shards: what is new, missing or damaged is computed, and nothing else, whoever asks and whatever ends."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_values import Made, names, row_of

from matlens.errors import CacheError
from matlens.system import caches
from matlens.system.caches import entries, prune
from matlens.system.files import read_json
from matlens.system.shards import planning
from matlens.system.shards import shard as shard_module
from matlens.system.shards.sharded import ShardedValues

MOST = 8
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(planning, "LARGEST", MOST)


def shards_of(cache: Path) -> list[Path]:
    return sorted((cache / "features").glob("[!.]*-*"))


def let_go(monkeypatch, cache: Path) -> None:
    """As if the process that used the entries had ended."""
    monkeypatch.setattr("matlens.system.caches._marks", {})
    for mark in (cache / "locks").glob("*"):
        mark.unlink()


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 4
    file.write_bytes(content)


def test_new_photos_cost_themselves_and_photos_that_went_cost_nothing(tmp_path):
    Made(tmp_path, names(0, 40)).check()
    before = {shard: shard.stat().st_ino for shard in shards_of(tmp_path)}
    assert len(before) >= 5
    more = Made(tmp_path, names(0, 43))
    assert [set(shard.digests) for shard in more.values.missing()] == [set(names(40, 43))]
    more.check()
    assert set(more.computed) == set(names(40, 43)) and len(more.computed) == 3
    assert {shard: shard.stat().st_ino for shard in shards_of(tmp_path) if shard in before} == before
    fewer = Made(tmp_path, names(5, 41)[::-1] * 2)
    fewer.check()
    assert fewer.computed == []
    other = Made(tmp_path, names(0, 3), "other rules")
    other.check()
    assert len(other.computed) == 3


@pytest.mark.parametrize(("name", "at"), [("values.npy", -1), ("values.npy", 8), ("checksums.npy", -3),
                                          ("digests.npy", -5), ("shard.json", 20), ("values.npy", None)])
def test_a_flipped_byte_costs_its_shard_alone_and_is_told(tmp_path, name, at):
    """Wrong features would train wrong heads; computing all photos again would take hours."""
    Made(tmp_path, names(0, 40)).check()
    shards = shards_of(tmp_path)
    size = len(np.load(shards[2] / "digests.npy"))
    times = {shard: shard.stat().st_ino for shard in shards}
    if at is None:
        (shards[2] / name).unlink()
    else:
        flip(shards[2] / name, at)
    said: list[str] = []
    again = Made(tmp_path, names(0, 40), say=said.append)
    assert again.values.opened() is None
    again.check()
    assert len(again.computed) == size
    assert [str(shards[2]) in text for text in said] == [True]
    changed = [shard for shard in shards if shard.stat().st_ino != times[shard]]
    assert changed == [shards[2]]
    assert again.values.opened() is not None


@pytest.mark.parametrize("name", ["index.json", "rows.npy"])
def test_an_index_that_rots_costs_no_photo(tmp_path, name):
    """It says where photos lie: a wrong row would be another photo's values."""
    made = Made(tmp_path, names(0, 20))
    made.check()
    whole = (made.values.folder / name).read_bytes()
    for at in (3, len(whole) // 2, len(whole) - 5):
        flip(made.values.folder / name, at)
        again = Made(tmp_path, names(0, 20))
        again.check()
        assert again.computed == []


def test_a_damaged_shard_of_which_some_photos_are_wanted_costs_these(tmp_path, monkeypatch):
    """The others may be of a dataset that is not there now."""
    Made(tmp_path, names(0, 8)).check()
    shard, = shards_of(tmp_path)
    flip(shard / "values.npy", -1)
    let_go(monkeypatch, tmp_path)
    some = Made(tmp_path, names(0, 3))
    some.check()
    assert set(some.computed) == set(names(0, 3))
    assert not shard.exists()


def test_shards_that_are_missing_can_be_built_one_by_one_in_any_order(tmp_path):
    """Nodes of a cluster build what a list names, each with its shard's photos alone."""
    asked = Made(tmp_path, names(0, 30))
    for shard in asked.values.missing()[::-1]:
        node = Made(tmp_path, list(shard.digests))
        node.values.build(shard)
        node.values.build(shard)
        assert sorted(node.computed) == sorted(shard.digests)
    assert asked.values.missing() == ()
    asked.check()
    assert asked.computed == []


def test_missing_shards_are_built_elsewhere_while_the_index_keeps_them(tmp_path):
    """The driver of a cluster asks for them; pruning on another node must not take what was just computed."""
    asked, kept, told = Made(tmp_path, names(0, 20)), [], []

    def build_all(shards, on_progress):
        for shard in shards:
            Made(tmp_path, list(shard.digests)).values.build(shard)
            kept.append(prune(tmp_path, 0).removed)
        on_progress(sum(len(shard.digests) for shard in shards), 20)

    Made(tmp_path, names(0, 4)).check()
    index = asked.values.opened_or_made(lambda done, total: told.append((done, total)), build_all)
    np.testing.assert_array_equal(index.values, [row_of(digest) for digest in asked.digests])
    assert asked.computed == [] and len(kept) > 1 and not any(kept)
    assert told[-1] == (20, 20)


def test_what_was_computed_before_a_failure_stays(tmp_path, monkeypatch):
    """A full disk, a broken photo or Ctrl-C after hours."""
    def full(file: Path, *_: object) -> None:
        if file.name == "checksums.npy" and len(shards_of(tmp_path)) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, *_)

    from matlens.system.shards import shard as module

    save = module._save
    first = Made(tmp_path, names(0, 40))
    with monkeypatch.context() as patch, pytest.raises(CacheError, match="No space left"):
        patch.setattr(module, "_save", full)
        first.values.opened_or_made()
    kept = sum(len(np.load(shard / "digests.npy")) for shard in shards_of(tmp_path))
    assert len(shards_of(tmp_path)) == 2
    second = Made(tmp_path, names(0, 40))
    second.check()
    assert len(second.computed) == 40 - kept


def test_shards_of_a_run_are_not_pruned_and_later_go_one_by_one(tmp_path, monkeypatch):
    """The limit counts shards: what is needed to keep to it goes, not all of a dataset."""
    old, new = Made(tmp_path, names(0, 24)), Made(tmp_path, names(100, 124))
    old.check()
    new.check()
    assert all(caches.in_use(shard) for shard in shards_of(tmp_path))
    assert prune(tmp_path, 0).removed == ()
    let_go(monkeypatch, tmp_path)
    index = read_json(old.values.folder / "index.json")
    for entry in entries(tmp_path):
        used = entry.folder == old.values.folder or entry.folder.name in index["shards"]
        os.utime(entry.folder, (1e9, 1e9) if used else (2e9, 2e9))
    oldest = entries(tmp_path)
    size = sum(entry.size for entry in oldest)
    assert {entry.what for entry in oldest} >= {"m, index of 24 photos"}
    gone = prune(tmp_path, size - 1).removed
    assert [entry.folder for entry in gone] == [oldest[0].folder]
    new.check()  # in use from here
    gone = prune(tmp_path, 0).removed
    assert {entry.folder for entry in gone} <= {entry.folder for entry in oldest}
    again = Made(tmp_path, names(100, 124))
    again.check()
    assert again.computed == []
    back = Made(tmp_path, names(0, 24))
    back.check()
    assert len(back.computed) == 24


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    head = (f"import sys; sys.path[:0] = [{str(HERE)!r}]\nfrom pathlib import Path\n"
            f"from made_values import Made, in_small_shards, names\nin_small_shards({MOST})\n"
            "cache = Path(sys.argv[1])\n")
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.split()


def test_two_processes_at_once_compute_each_photo_once(tmp_path):
    """They want other photos, of which some are the same."""
    shared = [child("Made(cache, names(int(sys.argv[2]), int(sys.argv[3])), pause=0.005).check()", tmp_path, *part)
              for part in ((0, 60), (0, 60))]
    computed = [digest for process in shared for digest in ended(process)]
    assert sorted(computed) == sorted(names(0, 60))
    code = "Made(cache, names(int(sys.argv[2]), int(sys.argv[3])), pause=0.002).check()"
    for process in [child(code, tmp_path, *part) for part in ((0, 80), (20, 100))]:
        ended(process)
    last = Made(tmp_path, names(0, 100))
    last.check()
    assert last.computed == []


@pytest.mark.parametrize("after", [3, 11, 29])
def test_a_kill_leaves_whole_shards_and_costs_the_one_under_way(tmp_path, after):
    process = child("Made(cache, names(0, 40), pause=0.01).check()", tmp_path)
    assert process.stdout is not None
    seen = [process.stdout.readline().strip() for _ in range(after)]
    process.kill()
    seen += process.communicate()[0].split()
    whole = sum(len(np.load(shard / "digests.npy")) for shard in shards_of(tmp_path))
    assert len(seen) - MOST <= whole <= len(seen)
    again = Made(tmp_path, names(0, 40))
    again.check()
    assert len(again.computed) == 40 - whole
    assert caches.left_overs(tmp_path) == []


def test_a_kill_while_a_shard_is_replaced_leaves_the_old_or_the_new_one(tmp_path):
    """A damaged shard is computed again: at no moment is there a mixture."""
    Made(tmp_path, names(0, 8)).check()
    shard, = shards_of(tmp_path)
    for after in (1, 8):
        flip(shard / "values.npy", -1)
        process = child("Made(cache, names(0, 8), pause=0.02).check()", tmp_path)
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        process.kill()
        process.communicate()
        Made(tmp_path, names(0, 8)).check()


def test_more_shards_than_a_process_may_have_open_files_can_be_read(tmp_path):
    """A million photos are 256 shards and more of each view; systems allow 1,024 open files at first."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 1000:
        pytest.skip("this system allows few open files")
    ended(child("""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
in_small_shards(1)
Made(cache, names(0, 80)).check()
in_small_shards(5)
views = [Made(cache, names(0, 75), f"view {number}") for number in range(20)]
for made in (*views, *views):
    made.check()
held = [made.values.opened_or_made() for made in views]
assert all(len(index.shards) > 8 for index in held)
""", tmp_path))


@pytest.mark.parametrize("happens", ["after the plan", "before the index"])
def test_a_shard_that_goes_while_others_are_opened_moves_no_row(tmp_path, monkeypatch, happens):
    """Another machine may prune the cache at any moment; a row under another photo's name would be a wrong label."""
    monkeypatch.setattr(planning, "LARGEST", 4)
    Made(tmp_path, names(0, 30)).check()
    made = Made(tmp_path, names(0, 40))
    plan, gone = ShardedValues._plan, []

    def planned_and_pruned(values, *others, **options):
        found = plan(values, *others, **options)
        if not gone:
            gone.append(tmp_path / "features" / found[0].used[0])
            shutil.rmtree(gone[0])
        return found

    monkeypatch.setattr(ShardedValues, "_plan", planned_and_pruned)
    if happens == "before the index":
        made.check()
    else:
        rows = made.values.in_memory(lambda digests, _: np.stack([row_of(digest) for digest in digests]))
        np.testing.assert_array_equal(rows, [row_of(digest) for digest in made.digests])
    assert gone


def test_a_shard_that_cannot_be_read_now_is_not_damaged(tmp_path, monkeypatch):
    """A network disk that stutters must not cost what was computed."""
    Made(tmp_path, names(0, 12)).check()
    before = {path.name for path in (tmp_path / "features").iterdir()}
    said = []
    made = Made(tmp_path, names(3, 12), say=said.append)
    real, failing = shard_module._mapped, iter([True] * 2)

    def mapped(*others):
        if next(failing, False):
            raise OSError(errno.EIO, "Input/output error")
        return real(*others)

    monkeypatch.setattr(shard_module, "_mapped", mapped)
    made.check()
    assert before <= {path.name for path in (tmp_path / "features").iterdir()}
    assert not any("damaged" in line for line in said)


def test_values_that_cannot_be_written_are_given_from_memory(tmp_path, monkeypatch):
    made = Made(tmp_path, names(0, 12))
    made.check()
    more = Made(tmp_path, names(6, 20))
    asked: list[str] = []

    def values_of(digests, _):
        asked.extend(digests)
        return np.stack([row_of(digest) for digest in digests])

    rows = more.values.in_memory(values_of)
    np.testing.assert_array_equal(rows, [row_of(digest) for digest in more.digests])
    assert sorted(asked) == sorted(names(12, 20))


def test_the_cache_shows_shards_of_one_kind_on_one_line(tmp_path, matlens, monkeypatch):
    """A million photos lie in some 1,500 shards, which nobody reads through."""
    monkeypatch.setenv("COLUMNS", "200")
    Made(tmp_path, names(0, 24)).check()
    Made(tmp_path, names(0, 24), "other rules").check()
    code, out, _ = matlens("data", "store", "--cache-dir", tmp_path)
    assert code == 0
    lines = [line for line in out.splitlines() if "features" in line]
    assert sum("more shards of the same" in line for line in lines) == 2
    assert sum("index of 24 photos" in line for line in lines) == 2 and len(lines) == 4
