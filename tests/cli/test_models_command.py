"""`matlens models`: what can be trained, and what is known of it."""

from __future__ import annotations

import json

import pytest

from matlens.jobs import models as listing
from matlens.models.registry import MODELS

V2 = ["keras/ResNet50V2", "keras/ResNet101V2", "keras/ResNet152V2"]


def test_matlens_own_are_listed_with_the_libraries(matlens):
    """The first look shows where more is."""
    code, out, _ = matlens("models")
    assert code == 0
    assert all(name in out for name in MODELS)
    assert "matlens models 'keras/*'" in out


def test_a_pattern_lists_a_librarys_networks_with_what_is_on_this_machine(matlens, tmp_path):
    """A machine without a network can train what it has."""
    file = MODELS[V2[1]].weights_files({}, 224)[0].name
    (tmp_path / file).touch()
    code, out, _ = matlens("models", "keras/ResNet*V2", "--json", "--weights-dir", tmp_path)
    assert code == 0
    listed = {model["name"]: model for model in json.loads(out)}
    assert list(listed) == V2
    assert listed[V2[1]]["weights"] == str(tmp_path / file)
    assert {model["licence"] for model in listed.values()} == {"BSD-3-Clause"}


def test_the_longest_table_fits_a_narrow_terminal(matlens, monkeypatch):
    """A table that wraps cannot be read."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = matlens("models", "keras/*")
    assert code == 0
    assert len(out.splitlines()) == 41
    assert max(map(len, out.splitlines())) <= 80


def test_what_was_counted_is_kept(matlens, monkeypatch, tmp_path):
    """Counting takes a framework and some seconds a model: once."""
    asked = []

    def run_job(job, task, log, hear):
        asked.append(dict(task.sides))
        for name in task.sides:
            hear({"event": "counted", "model": name, "parameters": 25_600_000, "flops": 7_710_000_000})

    monkeypatch.setattr(listing, "run_job", run_job)
    for _ in range(2):
        code, out, _ = matlens("models", V2[0], "--count", "--cache-dir", tmp_path)
        assert code == 0
        assert "25.6M" in out and "7.71G" in out
    assert asked == [{V2[0]: 224}]
    assert "25.6M" in matlens("models", V2[0], "--cache-dir", tmp_path)[1]


def test_a_pattern_that_fits_nothing_names_near_ones(matlens):
    """Exit code 2: the user can mend it."""
    code, _, error = matlens("models", "keras/DenseNet12*0")
    assert code == 2
    assert "keras/DenseNet121" in error


@pytest.mark.keras
def test_counting_agrees_with_others(keras):
    """ResNet50 without its head: the trainable numbers that Keras' own summary gives, and 3.86 billion multiplications
    and additions at 224 px (He et al. 2016: 3.8)."""
    from matlens.models.keras.networks.counting import facts

    counted = facts(MODELS["keras/ResNet50"], (224, 224))
    assert counted.parameters == 23_534_592
    assert counted.flops == pytest.approx(2 * 3.86e9, rel=0.01)
