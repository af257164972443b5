"""Links, pipes and places in a stranger's run: nothing outside of it is read into it, written or removed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from mutations import write_outside

from attacks import at_once
from builders import begin_run, split_of, tree_hash
from matlens.errors import DataError, RunError
from matlens.jobs import rerun as repeating
from matlens.jobs.rerun import Places
from matlens.report.page import write_report
from matlens.runs.lock import alone_in
from matlens.runs.record import RunRecord
from matlens.runs.run import Run
from matlens.runs.series import SeriesFolder
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

PLACES = ("logs", "reports", "models", "states", "run.json", "split.json", "material_groups.toml", "corrections.csv",
          "applied_corrections.csv", "report.html", "reports/model_comparison.csv", "logs/mobilenetv2_transfer.log",
          "models/deep/er", ".lock", "series.json")
COMMANDS = ("evaluate", "explain", "export", "labels", "review", "suggest", "compare", "predict", "rerun")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return write_outside(tmp_path / "outside")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in which nothing was trained yet."""
    return begin_run(tmp_path / "run").path


def put_in_place(run: Path, name: str) -> Path:
    """Make room for something else in a run's place."""
    place = run / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    return place


@pytest.mark.parametrize("target", ["folder", "file", "nowhere", "itself", "device"])
@pytest.mark.parametrize("name", PLACES)
def test_what_leads_out_of_a_run_is_refused_before_anything_is_opened(run, outside, name, target):
    """Reports would be written there, and what lies there would come into the report."""
    place = put_in_place(run, name)
    place.symlink_to({"folder": outside / "models", "file": outside / "groups.toml", "nowhere": outside / "new",
                      "itself": place, "device": Path("/dev/zero")}[target])
    before = tree_hash(outside)
    for opening in (RunRecord.read, Run.open, write_report):
        with at_once(), pytest.raises(RunError, match="run"):
            opening(run)
    if name != "run.json":  # else it is no run's folder, and nothing is done there
        with at_once(), pytest.raises(RunError), alone_in(run):
            pytest.fail("held")
    assert tree_hash(outside) == before
    assert place.is_symlink()


@pytest.mark.parametrize("name", ["logs/mobilenetv2_transfer.log", "reports", "models/x.artifact"])
def test_a_pipe_in_a_run_is_refused(run, name):
    """Opening it would wait for ever."""
    os.mkfifo(put_in_place(run, name))
    with at_once(), pytest.raises(RunError, match=Path(name).name):
        RunRecord.read(run)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_refuses_a_run_that_leads_out(matlens, run, outside, command):
    """By name, with the way out."""
    put_in_place(run, "reports").symlink_to(outside)
    before = tree_hash(outside)
    more = {"predict": [outside / "notes.txt"], "suggest": [outside],
            "rerun": ["--out", run.parent / "again"]}.get(command, [])
    code, _, err = matlens(command, run, *more)
    assert code == 2
    assert "reports" in err and str(outside) in err and "cp -rL" in err
    assert tree_hash(outside) == before


def test_links_that_stay_in_the_run_are_followed_and_the_run_may_be_linked_itself(run, tmp_path):
    """As a store of files by content makes them; and a run on another disk."""
    shutil.move(run / "split.json", run / "models" / "blob")
    (run / "split.json").symlink_to("models/blob")
    (tmp_path / "linked").symlink_to(run)
    assert Run.open(tmp_path / "linked").split == Run.open(run).split
    (run / "notes").symlink_to(tmp_path)  # none of matlens' names
    assert Run.open(run).path == run


def test_a_file_with_a_second_name_elsewhere_is_never_written_to(run, outside):
    """A hard link cannot be told from a file: what is written takes its place, and the other one stays."""
    for name in (".lock", "split.json"):
        os.link(outside / "notes.txt", put_in_place(run, name))
    before = tree_hash(outside)
    with pytest.raises(RunError), alone_in(run):
        pytest.fail("locked by the user's file")
    split_of().write(run / "split.json")
    assert tree_hash(outside) == before


def test_a_run_of_a_series_is_no_link_to_a_run_elsewhere(run, tmp_path):
    """A stranger's series would show the user's own run, and write into it."""
    series = SeriesFolder.of_splits(tmp_path / "series", "kfold:2", ("kfold:2:1",)).create().path
    (series / "kfold-2-1").symlink_to(run)
    with pytest.raises(RunError, match="outside"):
        SeriesFolder.open(series)


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which a repetition begins; it ends there."""
    begun: list[Settings] = []

    def begin(settings: Settings, *_: object, **__: object) -> None:
        begun.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(repeating, "run", begin)
    return begun


def strangers(small_run: Path, tmp_path: Path, **recorded: object) -> Path:
    """A copy of the small run whose record says this of places."""
    run = Path(shutil.copytree(small_run, tmp_path / "theirs"))
    content = json.loads((run / "run.json").read_text())
    content["settings"] |= recorded
    (run / "run.json").write_text(json.dumps(content))
    return run


def test_a_repetition_takes_no_place_of_this_machine_from_the_run(small_run, tmp_path, outside, repeated, monkeypatch):
    """It would write, prune and read there."""
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "mine"))
    run = strangers(small_run, tmp_path, cache_dir=str(outside), cache_limit=0, weights_dir=str(outside),
                    material_groups=str(outside / "groups.toml"), output_dir=str(outside))
    with pytest.raises(KeyboardInterrupt):
        repeating.rerun(run, tmp_path / "again", Reporter(quiet=True))
    (run / "material_groups.toml").write_text("[groups]\ncool = ['blue', 'green']\n")
    given = Places(small_run.parent / "photos", settings={"cache_dir": tmp_path / "other", "cache_limit": None})
    with pytest.raises(KeyboardInterrupt):
        repeating.rerun(run, tmp_path / "again", Reporter(quiet=True), given)
    first, second = repeated
    assert (first.cache_dir, first.cache_limit, first.weights_dir) == (tmp_path / "mine", 20, None)
    assert first.output_dir != outside
    assert (first.material_groups, second.material_groups) == (None, run / "material_groups.toml")
    assert second.cache_dir == tmp_path / "other" and second.cache_limit == 20
    assert first.data_dir == second.data_dir == small_run.parent / "photos"


def test_a_repetition_reads_a_recorded_folder_only_where_it_holds_the_runs_photos(small_run, tmp_path, outside,
                                                                                  repeated):
    """A stranger's record may name any folder; one that holds the photos is one that the stranger has too."""
    run = strangers(small_run, tmp_path)
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "data_root": str(outside)}))
    with pytest.raises(DataError, match=r"outside.*--data"):
        repeating.rerun(run, tmp_path / "again", Reporter(quiet=True))
    assert repeated == []


def test_a_repetition_opens_no_file_of_groups_that_only_the_run_names(small_run, tmp_path, outside, repeated):
    """Its lines would come into messages; a pattern is no file, and is repeated."""
    file = str(outside / "photos.csv")
    run = strangers(small_run, tmp_path, protocol="grouped", groups=file)
    with pytest.raises(RunError, match=r"--groups .*photos\.csv"):
        repeating.rerun(run, tmp_path / "again", Reporter(quiet=True))
    with pytest.raises(KeyboardInterrupt):
        repeating.rerun(run, tmp_path / "again", Reporter(quiet=True), Places(groups=file))
    assert [settings.groups for settings in repeated] == [file]
