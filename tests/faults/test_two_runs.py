"""Two processes at once on one output folder and one cache: one does the work, nothing is lost, nothing is half."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders import begin_run, tree_hash
from matlens.data.pixels.store import PixelStore
from matlens.errors import RunError
from matlens.runs.lock import alone_in
from matlens.runs.run import Run
from matlens.runs.series import SeriesFolder
from matlens.system.caches import left_overs
from matlens.system.ownership.locks import LOCK_NAME

NAME = "mobilenetv2_transfer"
ROUNDS = int(os.environ.get("MATLENS_FAULT_ROUNDS", "3"))
"""`make faults` has twenty."""

HOLDER = """
import sys, time
from pathlib import Path
from matlens.runs.lock import alone_in
from matlens.system.files import whole_file
with alone_in(Path(sys.argv[1])), whole_file(Path(sys.argv[1]) / "models" / "m.h5") as partial:
    partial.write_text("half")
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Another process that is at work in a folder, and is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            yield
        finally:
            other.kill()


def test_the_second_is_refused_until_the_first_has_ended_however_it_ends(tmp_path):
    """A lock that outlives its holder would have to be removed by hand; one that does not hold would lose files."""
    folder = tmp_path / "runs" / "a"
    with hold(folder):
        for _ in range(3):
            with pytest.raises(RunError, match="Another matlens is at work"), alone_in(folder):
                pytest.fail("two at once")
        assert list((folder / "models").iterdir())
    with alone_in(folder):
        assert (folder / LOCK_NAME).exists()
        assert list((folder / "models").iterdir()) == []
    assert [path.name for path in folder.iterdir()] == ["models"]


@pytest.mark.parametrize("command", ["evaluate", "explain", "export"])
def test_commands_that_write_into_a_run_wait_for_their_turn_too(matlens, tmp_path, command):
    """A report written by two processes would be of one or the other."""
    (tmp_path / "run").mkdir()
    with hold(tmp_path / "run"):
        code, _, err = matlens(command, tmp_path / "run")
    assert code == 2
    assert "Another matlens is at work" in err
    code, _, err = matlens(command, tmp_path / "run")
    assert code == 2
    assert "not the folder of a run" in err
    assert not list((tmp_path / "run").rglob(".*"))


def test_folders_that_were_made_for_the_lock_alone_go(tmp_path):
    """Bad input must leave nothing behind."""
    with pytest.raises(KeyboardInterrupt), alone_in(tmp_path / "runs" / "a"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


OF_MATLENS = {"format": 1, "settings": {"models": [NAME], "seed": 1, "img_size": [8, 8]}, "data_root": "x",
              "versions": {"python": "3"}}


@pytest.mark.parametrize("changed", [
    {"format": None}, {"format": "1"}, {"format": True}, {"settings": {"lr": 1}}, {"settings": [1]}, {"data_root": 1},
    {"versions": None}, {"versions": {"python": 3}}, {"versions": ["3"]}])
@pytest.mark.parametrize("manifest", ["run.json", "series.json"])
def test_a_manifest_of_another_program_makes_no_folder_that_of_a_run(tmp_path, manifest, changed):
    """Names such as run.json and settings are anybody's; what is named as half a file of matlens' would be removed."""
    content = {key: value for key, value in (OF_MATLENS | changed).items() if value is not None}
    for name, text in {manifest: json.dumps(content), ".lock": "", "models/.w.3.partial.h5": "data",
                       f"models/.{NAME}.3.partial.h5": "data", "reports/.mine.7.partial/a": "data"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".thesis.2024.partial").mkdir()
    before = tree_hash(tmp_path)
    for _ in range(2):
        with alone_in(tmp_path):
            assert tree_hash(tmp_path) == before
        with pytest.raises(RunError):
            Run.open(tmp_path)
    assert tree_hash(tmp_path) == before
    assert (tmp_path / ".thesis.2024.partial").exists()


@pytest.mark.parametrize("kind", ["splits", "seeds"])
def test_a_series_is_held_by_one_process_as_a_run_is(tmp_path, kind):
    """Two at once would write one series.json and one report."""
    series = (SeriesFolder.of_splits(tmp_path / "s", "kfold:2", ("kfold:2:1", "kfold:2:2")) if kind == "splits"
              else SeriesFolder.of_seeds(tmp_path / "s", "random", 42, 2)).create()
    with alone_in(series.path):
        assert (series.path / LOCK_NAME).exists()
        with pytest.raises(RunError), alone_in(series.path):
            pytest.fail("two at once")
    assert not (series.path / LOCK_NAME).exists()


@pytest.mark.parametrize("more", [{}, {".lock": "data"}, {".lock": ""}, {".lock": "data", "run.json": "{}"},
                                  {"run.json": '{"settings": 1}', "series.json": "[]"}])
def test_nothing_is_touched_in_a_folder_that_is_not_a_runs(tmp_path, more):
    """The user's own folder, given to --out by mistake, with files of the same names; the run then refuses it."""
    for name, text in {"thesis.tex": "text", ".draft.12.partial.tex": "text", **more}.items():
        (tmp_path / name).write_text(text)
    before, changed = tree_hash(tmp_path), tmp_path.stat().st_mtime_ns
    with alone_in(tmp_path):
        assert tree_hash(tmp_path) == before
    assert tmp_path.stat().st_mtime_ns == changed
    if "run.json" not in more:
        with pytest.raises(RunError, match="nothing in it was changed"):
            begin_run(tmp_path)
    assert tree_hash(tmp_path) == before


def test_a_lock_of_anothers_in_a_runs_folder_is_left_alone(tmp_path):
    """A run's folder may hold other people's files too."""
    run = begin_run(tmp_path / "run").path
    (run / LOCK_NAME).write_text("data")
    with pytest.raises(RunError, match=r"run/\.lock"), alone_in(run):
        pytest.fail("locked")
    assert (run / LOCK_NAME).read_text() == "data"


def test_only_files_of_matlens_are_swept_from_a_runs_folder(tmp_path):
    """What an earlier version left half written goes from its places; the user's own files and folders stay."""
    run = begin_run(tmp_path / "run").path
    theirs = [run / name for name in ("notes/.a.1.partial.txt", ".thesis.1.partial.tex", "models/.w.3.partial.h5",
                                      "reports/.mine.2.replaced", f"notes/.{NAME}.1.partial.h5")]
    left = [run / name for name in (".run.1.partial.json", f"models/.{NAME}.1.partial.h5",
                                    f"states/{NAME}/.head.1.partial.npz", "reports/.model_comparison.1.partial.csv")]
    for path in (*theirs, *left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    (run / LOCK_NAME).touch()  # as earlier versions left it
    with alone_in(run):
        pass
    assert [path.exists() for path in (*theirs, *left)] == [True] * 5 + [False] * 4
    assert not (run / LOCK_NAME).exists()


def test_a_folder_that_a_killed_start_left_is_taken_up(tmp_path):
    """Killed before run.json was there: the same command must not be refused by its own left-overs."""
    with hold(tmp_path / "run"):
        pass
    shutil.rmtree(tmp_path / "run" / "models")
    write = "from matlens.system.files import *\nwith whole_file(Path('run.json')): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", f"import os; {write}"], cwd=tmp_path / "run", check=False)
    assert len(list((tmp_path / "run").iterdir())) == 2
    with alone_in(tmp_path / "run"):
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK_NAME]


@pytest.mark.keras
@pytest.mark.slow
def test_two_at_once_time_after_time(kept_trunks, published, drawn, tmp_path):
    """Through the real command line; each round has a cache that nothing was decoded into yet."""
    wanted = None
    for number in range(ROUNDS):
        out = tmp_path / f"run-{number}"
        cache = Path(shutil.copytree(kept_trunks, tmp_path / f"cache-{number}"))
        command = [sys.executable, "-m", "matlens", "run", "--data", str(drawn), "--models", NAME, "--weights-dir",
                   str(published.parent), "--alpha", "0.35", "--img-size", "64", "--epochs", "2", "--out", str(out),
                   "--cache-dir", str(cache)]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, "MATLENS_CACHE": str(cache)}) for _ in range(2)]
        said = [(*each.communicate(timeout=1800), each.returncode) for each in both]
        codes = sorted(code for _, _, code in said)
        assert codes in ([0, 0], [0, 2]), said
        for _, err, code in said:
            assert code == 0 or "Another matlens is at work" in " ".join(err.split()), err
        assert not [path for place in (out, cache) for path in place.rglob(".*")]
        assert left_overs(cache) == []
        stores = [index.parent for index in (cache / "pixels").glob("*/index.json")]
        assert len(stores) == 1 and PixelStore.open(stores[0]) is not None
        assert (out / "report.html").exists()
        results = json.loads((out / "reports" / f"{NAME}_results.json").read_text())
        for key in ("seconds", "peak_rss_bytes"):
            del results[key]
        wanted = wanted or results
        assert results == wanted
        shutil.rmtree(out)
        shutil.rmtree(cache)
