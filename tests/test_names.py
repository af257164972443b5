"""Runs in folders of one name keep apart: as they are called, in tables, and in what is tested."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from builders import begin_run, drawn_predictions, results_of
from matlens.evaluation.metrics.scores import judge
from matlens.evaluation.results import Results
from matlens.jobs.series import compare_folders
from matlens.runs.names import distinct_names
from matlens.settings.schema import Settings


@pytest.mark.parametrize(("folders", "names"), [
    (["a/run"], ["run"]), (["a/run", "b/run"], ["a/run", "b/run"]), (["a/run", "b/run", "c"], ["a/run", "b/run", "c"]),
    (["x/a/run", "y/a/run", "b/run"], ["x/a/run", "y/a/run", "b/run"]), (["run", "run/run"], ["run", "run/run"]),
    (["a/run", "a/../a/run", "b"], ["run", "b"])])
def test_the_shortest_end_of_a_path_that_tells_it_apart_names_it(tmp_path, monkeypatch, folders, names):
    monkeypatch.chdir(tmp_path)
    found = list(distinct_names(map(Path, folders)).values())
    if folders == ["run", "run/run"]:
        names = [f"{tmp_path.name}/run", "run/run"]
    assert found == names


def test_a_folder_named_as_a_dot_has_the_name_that_it_has(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "run")
    assert list(distinct_names([Path(), Path("../../b/run")]).values()) == ["a/run", "b/run"]


def test_runs_in_folders_of_one_name_are_listed_and_tested(tmp_path):
    """One split, two settings, two folders called run: the usual way to lay out experiments."""
    classes, name = ("a", "b"), "inception_v1"
    for number, folder in enumerate(("one", "two")):
        run = begin_run(tmp_path / folder / "run", Settings(models=(name,)), data_root=tmp_path)
        split = run.split
        answers = drawn_predictions(4, 2, number, labels=split.labels(split.part("test")))
        answers = dataclasses.replace(answers, paths=tuple(photo.path for photo in split.part("test")),
                                      digests=()).with_photos_of(split, "test")
        answers.write(run.paths.predictions_file(name))
        Results(name, **judge(answers, classes).fields, split_hash=split.hash).write(run.paths.results_file(name))
    comparison = compare_folders([tmp_path / "one" / "run", tmp_path / "two" / "run"])
    assert {row.model for row in comparison.rows} == {f"one/run/{name}", f"two/run/{name}"}
    assert comparison.same_photos
    assert len(comparison.pairs.tests) == 1 and comparison.pairs.refused == ()


def test_results_of_earlier_versions_are_known_by_their_split(tmp_path):
    """Their files say nothing of the photos' contents, and split.json says all."""
    name, found = "inception_v1", []
    for folder in ("one", "two"):
        run = begin_run(tmp_path / folder, Settings(models=(name,)), data_root=tmp_path)
        photos = run.split.part("test")
        saved = dataclasses.replace(drawn_predictions(4, 2, labels=run.split.labels(photos)), digests=(),
                                    paths=tuple(photo.path for photo in photos))
        saved.write(run.paths.predictions_file(name))
        accuracy = float(np.mean(saved.predicted == saved.labels))
        results_of(name, accuracy, 4, split_hash=run.split.hash, photos_hash="").write(run.paths.results_file(name))
        found.append(saved.with_photos_of(run.split, "test").photos_hash(run.split.class_names))
    comparison = compare_folders([tmp_path / "one", tmp_path / "two"])
    assert comparison.same_photos and [row.photos_hash for row in comparison.rows] == found
    assert len(comparison.pairs.tests) == 1
    (tmp_path / "two" / "split.json").unlink()
    assert not compare_folders([tmp_path / "one", tmp_path / "two"]).same_photos
