"""Class weights, sampling, logit adjustment and the choice of the epoch as settings: what is taken, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builders import begin_run, split_of
from matlens.errors import RunError, SettingsError
from matlens.runs.record import RunRecord
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.settings.themes.imbalance import (
    CLASS_WEIGHTS_FILE,
    read_class_weights,
    refuse_other_classes,
    write_class_weights,
)

WEIGHTS = {"glass": 2.5, "oak, wood": 0.5}


@pytest.mark.parametrize(("name", "content"), [
    ("w.csv", 'glass,2.5\n"oak, wood",0.5\n'), ("w.csv", 'class,weight\r\nglass, 2.5\r\n"oak, wood",5e-1\r\n'),
    ("w.csv", "glass;2.5\noak, wood;0.5\n"), ("w.tsv", "glass\t2.5\noak, wood\t0.5\n"),
    ("w.toml", 'glass = 2.5\n"oak, wood" = 0.5\n'), ("w.toml", '[class_weights]\nglass = 2.5\n"oak, wood" = 0.5\n')])
def test_a_file_of_weights_is_read_as_spreadsheets_and_people_write_it(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_class_weights(str(tmp_path / name)) == WEIGHTS
    write_class_weights(WEIGHTS, tmp_path)
    assert read_class_weights(str(tmp_path / CLASS_WEIGHTS_FILE)) == WEIGHTS


@pytest.mark.parametrize(("content", "named"), [
    ("glass,-1\n", "glass.*-1"), ("glass,0\n", "glass.*0"), ("glass,nan\n", "glass.*nan"), ("glass,inf\n", "glass"),
    ("glass,1e300\n", r"glass.*1e\+300"), ("glass,1e-9\n", "glass"), ("glass,heavy\n", "glass.*heavy"),
    ("glass,1\nglass,2\n", "glass.*twice"), ("glass,1,2\n", "entry 1"), ("", "weights"), ("\0", "entry 1")])
def test_weights_that_cannot_be_are_refused_with_the_file_and_the_class(tmp_path: Path, content: str, named: str,
                                                                        ) -> None:
    (tmp_path / "w.csv").write_text(content)
    with pytest.raises(SettingsError, match=rf"(?s)w\.csv.*{named}"):
        read_class_weights(str(tmp_path / "w.csv"))


@pytest.mark.parametrize("content", ["glass = true", 'glass = "2"', "glass = -1", "glass = nan", "[a]\nglass = 1",
                                     "x = 1\n[class_weights]\nglass = 1", "glass ="])
def test_toml_that_holds_no_weights_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "w.toml").write_text(content)
    with pytest.raises(SettingsError, match=r"w\.toml"):
        read_class_weights(str(tmp_path / "w.toml"))


def test_a_missing_file_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.csv"):
        read_class_weights(str(tmp_path / "none.csv"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="pipe"):
        read_class_weights(str(tmp_path / "pipe"))


def test_a_recorded_run_opens_no_file(tmp_path: Path) -> None:
    """It may be a stranger's. Only what the command line is given names a file."""
    (tmp_path / "w.csv").write_text("glass,1\n")
    with pytest.raises(SettingsError, match="--class-weights"):
        Settings.load(options={"class_weights": str(tmp_path / "w.csv")})
    with pytest.raises(SettingsError, match="glass"):
        Settings.load(options={"class_weights": {"glass": 0}})


def test_the_command_line_reads_the_file_and_the_run_keeps_it(tmp_path: Path, matlens) -> None:
    """A class that the dataset does not have is named before anything is read or trained."""
    for name in ("glass", "wood"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").touch()
    (tmp_path / "w.csv").write_text("glass,2\nwod,1\n")
    code, _, said = matlens("run", "--data", tmp_path / "photos", "--class-weights", tmp_path / "w.csv", "--out",
                            tmp_path / "run")
    assert code == 2 and "wod" in said and "wood" in said and not (tmp_path / "run").exists()
    code, _, said = matlens("run", "--data", tmp_path / "photos", "--class-weights", "blanced", "--out",
                            tmp_path / "run")
    assert code == 2 and "blanced" in said and "balanced" in said


def test_classes_are_named_that_weights_miss_or_do_not_know() -> None:
    refuse_other_classes("balanced", ("a",))
    refuse_other_classes({"a": 1, "b": 2}, ("a", "b"))
    with pytest.raises(SettingsError, match=r"'c'.*'b'"):
        refuse_other_classes({"a": 1, "c": 2}, ("a", "b"))


@pytest.mark.parametrize("together", [
    {"class_weights": "balanced", "sampling": "balanced"}, {"class_weights": "balanced", "logit_adjustment": 1},
    {"sampling": "balanced", "logit_adjustment": 1}, {"class_weights": {"a": 1}, "logit_adjustment": 1},
    {"train_on": "train+val", "choose_by": "macro_f1"}, {"logit_adjustment": 0}, {"logit_adjustment": float("nan")},
    {"choose_by": "f1"}, {"sampling": "even"}])
def test_what_does_not_go_together_is_refused_by_name(together: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(options=together)
    assert list(together)[-1] in str(caught.value)


def test_defaults_leave_states_of_earlier_versions_what_they_are() -> None:
    """A half-trained model of an earlier run goes on; one with class weights is another training."""
    plain = Settings().recorded_by_first_version()
    assert not plain.keys() & {"class_weights", "sampling", "logit_adjustment", "choose_by"}
    weighted = Settings.load(options={"class_weights": "balanced"}).recorded_by_first_version()
    assert weighted == {**plain, "class_weights": "balanced"}


def test_a_run_that_was_begun_without_weights_does_not_go_on_with_them(tmp_path: Path) -> None:
    """An earlier version recorded nothing of them, and trained without."""
    begin_run(tmp_path / "run", Settings.load(options={"data_dir": tmp_path}), data_root=tmp_path)
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    for name in ("class_weights", "sampling", "logit_adjustment", "choose_by"):
        del content["settings"][name]
    file.write_text(json.dumps(content))
    assert RunRecord.read(tmp_path / "run").settings.class_weights == "none"
    with pytest.raises(RunError, match="class_weights: none there, balanced now"):
        Run.begin(tmp_path / "run", Settings.load(options={"class_weights": "balanced", "data_dir": tmp_path}),
                  tmp_path, split_of())
