"""Disks that fill, that are read-only, and clocks that jump: a clear message, and what was finished stays."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matlens.system.caches import entries, left_overs, prune, whole_entry
from matlens.system.ownership.cache_content import ENTRY_MARK
from scale import rounds

NAME = "mobilenetv2_transfer"
PAGE = 4096
SIZE = 256 << 20

Done = subprocess.CompletedProcess[str]


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int) -> None:
        """Leave so many bytes free."""
        self.empty()
        with self._filler.open("wb") as file:
            for left in range(shutil.disk_usage(self.path).free - leave, 0, -(1 << 20)):
                file.write(bytes(min(left, 1 << 20)))
        assert shutil.disk_usage(self.path).free <= leave + PAGE

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A tmpfs of 256 MB, where mounting is permitted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)], check=False, capture_output=True)
    if not mounted or mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield Disk(place)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


Start = Callable[..., Done]


@pytest.fixture(scope="module")
def finished(kept_trunks: Path, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was left alone, and its cache, in which the trunk was beforehand."""
    folder = tmp_path_factory.mktemp("finished")
    done = start(folder / "run", Path(shutil.copytree(kept_trunks, folder / "cache")))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def whole(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, which has the files' dates."""
    return Path(shutil.copytree(finished / "run", tmp_path / "whole"))


@pytest.fixture
def cache(finished: Path, tmp_path: Path) -> Path:
    """A copy of its cache."""
    return Path(shutil.copytree(finished / "cache", tmp_path / "cache"))


@pytest.fixture(scope="module")
def start(drawn: Path, published: Path) -> Start:
    """Run MobileNetV2's head for two epochs, through the real command line."""
    def run(out: Path, cache: Path, *options: str | Path, largest: int | None = None) -> Done:
        def limit() -> None:
            if largest is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

        return subprocess.run(
            [sys.executable, "-m", "matlens", "run", "--data", str(drawn), "--models", NAME, "--weights-dir",
             str(published.parent), "--alpha", "0.35", "--img-size", "64", "--epochs", "2", "--out", str(out),
             "--cache-dir", str(cache), *map(str, options)], text=True, capture_output=True, check=False, timeout=1800,
            preexec_fn=limit, env={**os.environ, "MATLENS_CACHE": str(cache)})

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_tidy(folder: Path) -> None:
    assert not list(folder.rglob(".*"))


def by_age(run: Path) -> list[Path]:
    """Files and artifacts of a run, in the order in which they were written."""
    whole = [path for path in (*run.iterdir(), *(run / "models").iterdir(), *(run / "reports").iterdir())
             if path.is_file() or path.suffix == ".artifact"]
    return sorted(whole, key=lambda path: path.stat().st_mtime_ns)


STAGES = {"the artifact": (f"models/{NAME}.artifact", 8), "the report": ("report.html", 8),
          "the start": ("run.json", 0), "the model": (f"models/{NAME}.h5", 8),
          "the pictures": (f"reports/{NAME}_training_curves.png", 5)}
"""What does not fit any more, and the pages that are left: enough for the small files, too little for it. The first two
are tried in every run: a folder that is written whole, and a file."""


@pytest.mark.attacks
@pytest.mark.keras
@pytest.mark.slow
def test_a_disk_that_fills_at_a_stage_costs_nothing_that_was_finished(disk, start, cache, whole):
    """The message names the file and the way out, and the same command goes on as soon as there is room."""
    order = [path.relative_to(whole) for path in by_age(whole)]
    for stage in list(STAGES)[:rounds(2, len(STAGES))]:
        name, pages = STAGES[stage]
        out = disk.path / "run"
        shutil.copytree(whole, out)
        later = order[order.index(Path(name)):] if name != "run.json" else order
        made_anew = [Path(f"models/{NAME}.h5")] if name.endswith(".artifact") else []
        for path in (*made_anew, *later):
            if (out / path).is_dir():
                shutil.rmtree(out / path)
            elif str(path) != "run.json":
                (out / path).unlink()
        if name == "run.json":
            shutil.rmtree(out)
            out.mkdir()
        before = contents(out)
        disk.fill(pages * PAGE + sum((whole / path).stat().st_size for path in made_anew))
        failed = start(out, cache)
        assert failed.returncode in (1, 2), (stage, failed.stdout, failed.stderr)
        said = " ".join(failed.stderr.split())
        assert f"Cannot write {out / name}" in said, (stage, said)
        assert "No space left on device" in said and "Make room" in said, (stage, said)
        assert "defect" not in said and "Traceback" not in said
        after = contents(out)
        for path in before.keys() - {"run.json", "logs"}:
            assert after[path] == before[path], (stage, path)
        assert_tidy(out)
        disk.empty()
        again = start(out, cache)
        assert again.returncode == 0, (stage, again.stderr)
        assert {path.relative_to(out) for path in by_age(out)} == set(order), stage
        assert_tidy(out)
        shutil.rmtree(out)


@pytest.mark.keras
@pytest.mark.slow
def test_a_cache_without_room_is_told_before_training(disk, start, kept_trunks, tmp_path):
    """Decoded photos are looked for room for first; features that do not fit cost a warning."""
    small = disk.path / "cache"
    shutil.copytree(kept_trunks, small)
    disk.fill(8 * PAGE)
    failed = start(tmp_path / "run", small)
    assert failed.returncode == 2
    assert str(small) in failed.stderr and "--cache-dir" in failed.stderr
    assert not (tmp_path / "run").exists()
    assert left_overs(small) == []
    disk.empty()
    assert start(tmp_path / "run", small).returncode == 0


@pytest.mark.keras
@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_told(start, cache, whole, tmp_path):
    """As ulimit -f sets it, and where no disk can be mounted."""
    size = (whole / "models" / f"{NAME}.h5").stat().st_size
    failed = start(tmp_path / "run", cache, largest=size - PAGE)
    assert failed.returncode == 1
    said = " ".join(failed.stderr.split())
    assert f"Cannot write {tmp_path / 'run' / 'models' / NAME}.h5: File too large" in said
    assert "ulimit -f" in said
    assert_tidy(tmp_path / "run")
    assert not (tmp_path / "run" / "models" / f"{NAME}.h5").exists()
    assert start(tmp_path / "run", cache).returncode == 0


@pytest.mark.keras
@pytest.mark.slow
def test_read_only_folders_are_told_and_still_predict(disk, start, cache, drawn, whole, matlens):
    """A run on a DVD, or on a disk that the system has set read-only after an error."""
    shutil.copytree(whole, disk.path / "run")
    before = contents(disk.path)
    disk.remount("ro")
    try:
        for out in (disk.path / "run", disk.path / "new" / "run"):
            failed = start(out, cache)
            assert failed.returncode == 2
            assert f"Cannot write {out / 'run.json'}: Read-only file system" in " ".join(failed.stderr.split())
        code, _, err = matlens("evaluate", disk.path / "run")
        assert code == 2 and "Read-only file system" in err
        code, out, _ = matlens("predict", disk.path / "run", drawn / "sky" / "sky_000001.jpg")
        assert code == 0 and "sky_000001.jpg" in out
        assert contents(disk.path) == before
    finally:
        disk.remount("rw")


@pytest.mark.keras
@pytest.mark.slow
def test_files_that_vanished_are_named(start, cache, drawn, tmp_path, matlens, monkeypatch):
    """A photo that was moved, an artifact that was deleted: which one, and the way out."""
    monkeypatch.setenv("MATLENS_CACHE", str(cache))
    photos = Path(shutil.copytree(drawn, tmp_path / "photos"))
    done = start(tmp_path / "run", cache, "--data", photos)
    assert done.returncode == 0, done.stderr
    from matlens.data.split.splits import Split

    gone = Split.read(tmp_path / "run" / "split.json").part("test")[0].path
    (photos / gone).rename(tmp_path / "moved.jpg")
    (tmp_path / "run" / "reports" / f"{NAME}_predictions.npz").unlink()
    code, _, err = matlens("evaluate", tmp_path / "run")
    assert code == 2 and gone in err
    (tmp_path / "moved.jpg").rename(photos / gone)
    assert matlens("evaluate", tmp_path / "run")[0] == 0
    (tmp_path / "run" / "models" / f"{NAME}.artifact" / "trunk.bin").unlink()
    code, _, err = matlens("predict", tmp_path / "run", photos / gone)
    assert code == 2 and "trunk.bin" in err and "matlens export" in err


@pytest.mark.keras
@pytest.mark.slow
def test_a_clock_that_jumps_loses_nothing(start, cache, whole):
    """Files dated in the year 2200 or in 1971: nothing is decided by their age but what the cache keeps longest."""
    before = contents(whole)
    for seconds in (7_258_118_400, 31_536_000):
        for place in (whole, cache):
            for path in (*place.rglob("*"), place):
                os.utime(path, (seconds, seconds))
        again = start(whole, cache)
        assert again.returncode == 0, again.stderr
        assert "already trained" in again.stdout
        after = contents(whole)
        assert {path: after[path] for path in before if re.search(r"models/|_results|_predictions|split", path)} == {
            path: before[path] for path in before if re.search(r"models/|_results|_predictions|split", path)}


def test_entries_of_a_clock_that_was_wrong_can_be_listed_and_pruned(tmp_path):
    """A date beyond what Python's can hold ended every run."""
    for number, seconds in enumerate((1e12, 0, 1_700_000_000)):
        with whole_entry(tmp_path / "pixels" / f"{number:024x}", "things") as partial:
            (partial / "data.npy").write_bytes(bytes(10))
        os.utime(tmp_path / "pixels" / f"{number:024x}", (seconds, seconds))
    assert [int(entry.folder.name, 16) for entry in entries(tmp_path)] == [1, 2, 0]
    assert [int(entry.folder.name, 16) for entry in prune(tmp_path, 10 + len(ENTRY_MARK)).removed] == [1, 2]


@pytest.mark.torch
@pytest.mark.slow
def test_a_full_disk_in_a_models_own_process_is_told_too(disk, drawn, tmp_path):
    """PyTorch's writer says only that it failed; the parent hears which file and why."""
    def run() -> Done:
        return subprocess.run(
            [sys.executable, "-m", "matlens", "run", "--data", str(drawn), "--models", "inception_v1", "--weights",
             "none", "--epochs", "1", "--img-size", "48", "--out", str(disk.path / "run")], text=True,
            capture_output=True, check=False, timeout=1800,
            env={**os.environ, "MATLENS_CACHE": str(tmp_path / "cache")})

    disk.fill(2 << 20)
    failed = run()
    assert failed.returncode == 1
    said = " ".join(failed.stderr.split())
    assert "models/inception_v1.pth" in said and "ace left" in said and "Make room" in said, said
    assert_tidy(disk.path)
    disk.empty()
    assert (done := run()).returncode == 0, done.stderr
