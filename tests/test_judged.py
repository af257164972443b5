"""What follows a judgement: warnings are told, and the calibration goes where `matlens predict` reads it."""

from __future__ import annotations

import numpy as np
import pytest

from builders import begin_run, results_of
from matlens.evaluation.novelty.learn import Learned
from matlens.features.artifact import Artifact, write_about
from matlens.features.calibrator import FILE_NAME
from matlens.features.novelty.detectors import NearestNeighbours
from matlens.features.novelty.stored import FILE_NAME as NOVELTY_FILE
from matlens.features.novelty.stored import Novelty
from matlens.jobs.judged import novelty_kept, pass_on, restore_calibration
from matlens.runs.run import Run
from matlens.system.console import Reporter

NAME = "mobilenetv2_transfer"
CHOSEN = {"ece": 0.1, "bins": [], "n_validation": 60, "n_groups": 30, "candidates": [
    {"method": "temperature", "gain": 0.05, "error": 0.01}, {"method": "vector", "gain": 0.02, "error": 0.01}],
    "calibrator": {"method": "temperature", "scale": [0.5, 0.5], "bias": [0.0, 0.0]}}
NONE = {**CHOSEN, "calibrator": None, "remark": "None helps."}


@pytest.fixture
def run(tmp_path) -> Run:
    """A run with as much of an artifact as a calibration takes."""
    begun = begin_run(tmp_path / "run")
    folder = begun.paths.artifact(NAME)
    folder.mkdir(parents=True)
    for name in ("trunk.xml", "trunk.bin", "head.npz"):
        (folder / name).write_bytes(b"network")
    write_about(folder, NAME, ("a", "b"), (32, 32), parity=0.0)
    return begun


def test_the_calibration_goes_beside_the_artifact_and_is_told_with_its_gain(run, capsys):
    pass_on(run, results_of(NAME, calibration=CHOSEN), Reporter())
    assert Artifact.open(run.paths.artifact(NAME)).calibrator.temperature == 2
    said = capsys.readouterr().out
    assert all(fact in said for fact in ("temperature 2.00", "among 3", "60 validation photos", "30", "+0.050 ± 0.010"))
    pass_on(run, results_of(NAME, calibration=NONE), Reporter())
    assert Artifact.open(run.paths.artifact(NAME)).calibrator is None
    assert "None helps." in capsys.readouterr().out


def test_an_artifact_that_is_exported_again_gets_the_calibration_of_the_results(run):
    results_of(NAME, calibration=CHOSEN).write(run.paths.results_file(NAME))
    restore_calibration(run, NAME, Reporter(quiet=True))
    assert Artifact.open(run.paths.artifact(NAME)).calibrator.temperature == 2


def test_a_strangers_artifact_that_lies_elsewhere_is_left_alone(run, tmp_path, capsys):
    """A run may be anyone's: what its folder links to is not this run's to write to."""
    elsewhere = run.paths.artifact(NAME).rename(tmp_path / "elsewhere")
    run.paths.artifact(NAME).symlink_to(elsewhere)
    pass_on(run, results_of(NAME, calibration=CHOSEN), Reporter(quiet=True))
    assert not (elsewhere / FILE_NAME).exists()
    assert NAME in capsys.readouterr().err


def test_a_run_without_an_artifact_or_with_a_damaged_one_is_judged_all_the_same(run, capsys):
    (run.paths.artifact(NAME) / "artifact.json").write_text("{")
    pass_on(run, results_of(NAME, calibration=CHOSEN), Reporter(quiet=True))
    assert "artifact.json" in capsys.readouterr().err
    (run.paths.artifact(NAME) / "artifact.json").unlink()
    pass_on(run, results_of(NAME, calibration=CHOSEN), Reporter(quiet=True))
    assert capsys.readouterr().err == ""


def test_a_warning_is_told_even_when_quiet_and_a_hint_is_not(run, capsys):
    warnings = [{"kind": "never_predicted", "text": "b is never answered."},
                {"kind": "last_epoch_best", "text": "Hint."}]
    pass_on(run, results_of(NAME, warnings=warnings), Reporter(quiet=True))
    said = capsys.readouterr()
    assert "b is never answered." in said.err and "Hint." not in said.err + said.out


def test_what_is_learned_goes_beside_the_artifact_and_survives_an_export(run):
    detector = NearestNeighbours.fit(np.eye(6, dtype=np.float32), np.zeros(6))
    novelty = Novelty(detector, np.arange(20.0), np.full(20, 0.9), np.zeros(20, np.int64), np.arange(20), 2)
    learned = Learned(novelty, {"format": 1, "detector": None, "remark": "As told."})
    pass_on(run, results_of(NAME), Reporter(quiet=True), learned)
    kept = novelty_kept(run, NAME)
    assert kept.p_values(np.ones((1, 6), np.float32)) == novelty.p_values(np.ones((1, 6), np.float32))
    (run.paths.artifact(NAME) / NOVELTY_FILE).unlink()  # as a new export leaves it
    restore_calibration(run, NAME, Reporter(quiet=True), kept)
    assert novelty_kept(run, NAME) is not None
    pass_on(run, results_of(NAME), Reporter(quiet=True), Learned(None, learned.figures))
    assert novelty_kept(run, NAME) is None, "an earlier training's is not left"
