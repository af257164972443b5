"""`matlens predict --csv` and `--submission`: whole tables in the order of the photos, whatever stopped them before."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matlens.features.artifact import Artifact
from matlens.jobs import predict as predicting
from matlens.jobs.predicting import answered as batches
from matlens.jobs.predicting.stream import asked_in_turn
from matlens.jobs.predicting.table import text_cell
from small_run import patched

COLUMNS = ["path", "class", "probability", "unknown", "unknown_p", "set", "model", "answered_by"]


class Counting(Artifact):
    """The probability of the first class is a photo's brightness; it counts the photos that it was asked for."""

    calibrator = None
    asked = 0

    def predict(self, images, of_photos=None):
        type(self).asked += len(images)
        bright = images.mean(axis=(1, 2, 3))
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


@pytest.fixture
def artifact(tmp_path, monkeypatch) -> Counting:
    made = Counting(tmp_path, "m", ("bright", "=dark"), (32, 32), 0.0)
    monkeypatch.setattr(Counting, "asked", 0)
    monkeypatch.setattr(batches, "BATCH", 4)
    monkeypatch.setattr(predicting, "predicting_artifact", lambda *_, **__: made)
    return made


def png(level: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 40), (level,) * 3).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def photos(tmp_path) -> Path:
    """Ten photos, the second half bright, and one that is damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.png").write_bytes(png(20 + 20 * number))
    (folder / "5x.png").write_bytes(b"noise" * 50)
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as content:
        return list(csv.DictReader(content))


def test_a_table_has_a_row_for_each_photo_in_their_order_and_damaged_ones_are_named(artifact, photos, tmp_path,
                                                                                    matlens):
    code, out, err = matlens("predict", "run", photos, "--csv", tmp_path / "a.csv")
    rows = rows_of(tmp_path / "a.csv")
    assert code == 2
    assert "5x.png" in err
    assert [Path(row["path"]).name for row in rows] == [f"{number}.png" for number in range(10)]
    assert list(rows[0]) == [*COLUMNS, "p_bright", "p_=dark"]
    assert [row["class"] for row in rows] == ["'=dark"] * 6 + ["bright"] * 4
    assert float(rows[9]["p_bright"]) == pytest.approx(200 / 255, abs=1e-6)
    assert str(tmp_path / "a.csv") in out
    (photos / "5x.png").unlink()
    assert matlens("predict", "run", photos, "--csv", tmp_path / "b.csv")[0] == 0


@pytest.mark.parametrize("kept", [0, 7, -1, -3, -200, -700])
def test_a_table_that_was_cut_off_anywhere_is_completed_without_computing_whole_rows_again(
        artifact, photos, tmp_path, matlens, kept):
    """As a kill leaves it: some bytes of the header, or whole rows and a part of one."""
    file = tmp_path / "a.csv"
    matlens("predict", "run", photos, "--csv", file)
    whole, computed = file.read_bytes(), Counting.asked
    file.write_bytes(whole[:kept] if kept > 0 else whole[:len(whole) + kept or None])
    there = max(file.read_bytes().count(b"\n") - 1, 0)
    matlens("predict", "run", photos, "--csv", file)
    assert file.read_bytes() == whole
    assert Counting.asked - computed == 10 - there


def test_a_finished_table_costs_nothing_and_takes_more_photos_in_their_order(artifact, photos, tmp_path, matlens):
    file, computed = tmp_path / "a.csv", []
    for named in ((photos / "7.png", photos / "2.png"), (photos,), (photos,), (photos / "9.png",)):
        matlens("predict", "run", *named, "--csv", file)
        computed.append(Counting.asked)
    assert computed == [2, 10, 10, 10]
    names = [Path(row["path"]).stem for row in rows_of(file)]
    assert names == ["9", *map(str, range(9))], "rows of photos that were not named now stand last"


def test_answers_of_two_models_or_to_other_options_never_mix(artifact, photos, tmp_path, matlens):
    file = tmp_path / "a.csv"
    matlens("predict", "run", photos, "--csv", file)
    before = file.read_bytes()
    refused = [matlens("predict", "run", photos, "--csv", file, "--raw")]
    for change in ({"head_digest": "1"}, {"class_names": ("dark", "bright")}):
        for name, value in change.items():
            object.__setattr__(artifact, name, value)
        refused.append(matlens("predict", "run", photos, "--csv", file))
    assert [code for code, *_ in refused] == [2] * 3
    assert all(str(file) in err and "--csv" in err for *_, err in refused)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"name,price\nx,1\n", b"\0\xff", b"path,class\n", b"\n"])
def test_a_file_that_is_something_else_stays_as_it_is(artifact, photos, tmp_path, matlens, content):
    file = tmp_path / "mine.csv"
    file.write_bytes(content)
    for option in ("--csv", "--submission"):
        code, _, err = matlens("predict", "run", photos, option, file)
        assert (code, file.read_bytes()) == (2, content)
        assert str(file) in err
    assert Counting.asked == 0


def test_rows_that_others_wrote_are_refused_and_stay(artifact, photos, tmp_path, matlens):
    file = tmp_path / "a.csv"
    matlens("predict", "run", photos / "1.png", "--csv", file)
    for more in (b"1,2,3\n", b"x" * (2 << 20) + b"\n"):
        whole = file.read_bytes()
        file.write_bytes(whole + more + whole.splitlines(keepends=True)[1])
        altered = file.read_bytes()
        assert matlens("predict", "run", photos, "--csv", file)[0] == 2
        assert file.read_bytes() == altered
        file.write_bytes(whole)


@pytest.mark.parametrize(("name", "shown"), [("=1+1.png", "'=1+1.png"), ("-a.png", "'-a.png"), ("@a.png", "'@a.png"),
                                             ("+a.png", "'+a.png"), ("a\nb.png", "a\\nb.png"), ("ä,b.png", "ä,b.png")])
def test_names_that_a_spreadsheet_would_compute_are_text(artifact, tmp_path, monkeypatch, matlens, name, shown):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(png(200))
    for _ in range(2):
        matlens("predict", "run", "--csv", "a.csv", "--submission", "s.csv", "--", name)
    assert [row["path"] for row in rows_of(tmp_path / "a.csv")] == [shown] == [text_cell(name)]
    assert Counting.asked == 1
    assert rows_of(tmp_path / "s.csv") == [{"id": name, "label": "bright"}], "Kaggle wants the name as it is"


def test_a_submission_has_the_files_names_and_refuses_two_of_one_name(artifact, photos, tmp_path, matlens):
    file = tmp_path / "s.csv"
    assert matlens("predict", "run", photos, "--submission", file)[0] == 2
    assert file.read_text().splitlines() == ["id,label", *(f"{n}.png,{'bright' if n > 5 else '=dark'}"
                                                           for n in range(10))]
    before = Counting.asked
    (photos / "sub").mkdir()
    (photos / "sub" / "3.png").write_bytes(png(250))
    code, _, err = matlens("predict", "run", photos, "--submission", file)
    assert (code, Counting.asked) == (2, before), "nothing is computed in vain"
    assert str(photos / "3.png") in err
    assert str(photos / "sub" / "3.png") in err
    code, *_ = matlens("predict", "run", photos / "1.png", photos / "1.png", "--submission", file)
    assert (code, len(rows_of(file))) == (0, 1), "a photo that is named twice is one photo"


def test_two_photos_that_a_table_would_name_alike_are_refused_before_anything_is_computed(artifact, tmp_path, matlens):
    """The second row would stand for both, and one photo have none."""
    for name in ("a\nb.png", "a\\nb.png"):
        (tmp_path / "alike" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "alike" / name).write_bytes(png(200))
    code, _, err = matlens("predict", "run", tmp_path / "alike", "--csv", tmp_path / "a.csv")
    assert (code, Counting.asked) == (2, 0)
    assert "a\\nb.png" in err
    assert not (tmp_path / "a.csv").exists()


def test_files_hold_the_answers_of_one_run_alone(artifact, photos, tmp_path, matlens):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    for arguments in ((tmp_path / "a", tmp_path / "b", photos, "--csv", tmp_path / "x.csv"),
                      (tmp_path / "a", photos, "--json", "--submission", tmp_path / "x.csv"),
                      (tmp_path / "a", photos, "--csv", tmp_path / "x.csv", "--submission", tmp_path / "x.csv")):
        assert matlens("predict", *arguments)[0] == 2
    assert not (tmp_path / "x.csv").exists()


def test_photos_of_zips_are_answered_and_damaged_or_huge_archives_are_named(artifact, photos, tmp_path, matlens):
    whole, broken, bomb, empty = (tmp_path / f"{name}.zip" for name in ("whole", "broken", "bomb", "empty"))
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("in/../../a.png", png(250))
        archive.writestr("b.png", b"noise" * 50)
        archive.writestr("notes.txt", b"none")
    broken.write_bytes(whole.read_bytes()[:-40])
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * (300 << 20))
    empty.write_bytes(b"PK\x05\x06" + b"\0" * 18)
    file = tmp_path / "a.csv"
    code, _, err = matlens("predict", "run", photos / "9.png", whole, broken, bomb, empty, "--csv", file)
    assert code == 2
    assert [row["path"] for row in rows_of(file)] == [str(photos / "9.png"), f"{whole}/in/../../a.png"]
    assert all(f"{place}" in err for place in (f"{whole}/b.png", broken, f"{bomb}/a.png", empty))
    assert "268,435,456" in err
    assert not list(tmp_path.glob("**/a.png")), "nothing is unpacked"
    code, out, _ = matlens("predict", "run", whole)
    assert out.startswith(f"{whole}/in/../../a.png\tbright")


def test_paths_on_standard_input_are_answered_as_they_come(artifact, photos, tmp_path, matlens, monkeypatch):
    read, written = os.pipe()
    os.write(written, f"{photos / '1.png'}\r\n\n{photos / '9.png'}\n".encode())
    with os.fdopen(read, "rb") as stream:
        coming = asked_in_turn([photos / "0.png", Path("-")], stream)
        assert [next(coming).photos for _ in range(3)] == [
            (photos / "0.png",), (photos / "1.png",), (photos / "9.png",)], "although the pipe is open"
        os.close(written)
        assert list(coming) == []

    class Stdin:
        buffer = io.BytesIO(os.fsencode(f"{photos / '2.png'}\n{photos / 'gone.png'}\n{photos / '[1].png'}\n"))

    monkeypatch.setattr("sys.stdin", Stdin)
    code, _, err = matlens("predict", "run", "-", "--csv", tmp_path / "a.csv")
    assert code == 2
    assert [row["path"] for row in rows_of(tmp_path / "a.csv")] == [str(photos / "2.png")]
    assert "gone.png" in err
    assert "[1].png" in err


@pytest.mark.slow
def test_kills_at_any_moment_leave_whole_rows_and_the_same_command_ends_as_if_undisturbed(small_run, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    content = io.BytesIO()
    Image.fromarray(patched("red", (0, 0), 200)).save(content, "PNG")
    for number in range(3000):
        (folder / f"{number:04}.png").write_bytes(content.getvalue())
    file, undisturbed = tmp_path / "a.csv", tmp_path / "b.csv"

    def started(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "matlens", "predict", str(small_run), str(folder), "--csv",
                                 str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    rng, before, kills = np.random.default_rng(7), 0, 0
    while True:
        job, wanted = started(file), before + int(rng.integers(1, 60_000))
        while job.poll() is None and not (file.exists() and file.stat().st_size > wanted):
            time.sleep(0.001)
        if job.poll() is not None or kills == 4:
            assert job.wait() == 0
            break
        job.send_signal(signal.SIGKILL)
        job.wait()
        kills += 1
        now = file.read_bytes()
        assert now.endswith(b"\n")
        assert len(now) > before
        before = len(now)
    assert kills > 1
    assert started(undisturbed).wait() == 0
    assert file.read_bytes() == undisturbed.read_bytes()
