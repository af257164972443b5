"""`matlens evaluate` from saved predictions: everything is made again, without photos and without a framework."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from builders import write_training
from matlens.data.split.splits import Photo, Split
from matlens.evaluation.judge import evaluate
from matlens.evaluation.predictions import Predictions
from matlens.runs.run import Run
from matlens.settings.schema import Settings

NAMES = ("brick", "carpet", "fabric", "tile")
MODELS = ("mobilenetv2_transfer", "inception_v1")
KINDS = ("training_curves", "confusion_matrix", "roc_curves", "class_scores", "confused_pairs", "coverage",
         "reliability")


def finished_run(folder: Path, *, train_on: str = "train", validation: bool = True) -> Run:
    """A run of two models as training and prediction leave it; its photos are gone."""
    labels = {"val": np.arange(60) % 4, "test": np.arange(120) % 4}
    photos = tuple(Photo(f"{part}/{i}.jpg", NAMES[label], part, f"{part}{i}") for part, each in labels.items()
                   for i, label in enumerate(each))
    split = Split("random", NAMES, photos, train_on=train_on)
    run = Run.begin(folder, Settings(models=MODELS), folder / "photos that are gone", split)
    for number, name in enumerate(MODELS):
        rng = np.random.default_rng(number)
        for part, each in labels.items() if validation else [("test", labels["test"])]:
            raised = np.exp(2 * rng.normal(size=(len(each), 4)) + (3 - number) * np.eye(4)[each])
            saved = run.paths.predictions_file(name, part)
            Predictions((raised / raised.sum(axis=1, keepdims=True)).astype(np.float32), each,
                        tuple(photo.path for photo in split.photos if photo.part == part), 10.0).write(saved)
        write_training(run, name)
    return run


@pytest.mark.slow
def test_results_pictures_and_comparison_are_made_from_saved_predictions(tmp_path, matlens):
    run = finished_run(tmp_path / "run")
    groups = tmp_path / "g.toml"
    groups.write_text("[groups]\ntextile = ['carpet', 'fabric']\n")
    code, out, _ = matlens("evaluate", run.path, "--material-groups", groups, "--svg")
    assert code == 0
    for name in MODELS:
        results = json.loads(run.paths.results_file(name).read_text("utf-8"))
        calibration = results["calibration"]
        helps = any(candidate["gain"] > candidate["error"] for candidate in calibration["candidates"])
        assert (calibration["temperature"] is not None) is helps
        assert calibration["n_validation"] == 60
        assert results["groups"]["per_group"]["textile"]["support"] == 60
        assert results["groups"]["accuracy"] > results["accuracy"]
        ends = results["intervals"]["accuracy"]
        assert f"{name}: accuracy {100 * results['accuracy']:.1f} % ({100 * ends['low']:.1f} to " in out
        for kind in KINDS:
            assert run.paths.picture(name, kind).read_bytes().startswith(b"\x89PNG"), kind
            assert b"<svg" in run.paths.picture(name, kind).with_suffix(".svg").read_bytes(), kind
    assert calibration["temperature"] > 1.2  # of the last: the noise of its scores is 2, that of honest ones 1
    (pair,) = json.loads((run.paths.reports / "model_comparison.json").read_text("utf-8"))["pairwise"]
    assert pair["n_photos"] == 120 and pair["first"] in MODELS
    assert ("is better than" in out) is pair["is_real"]
    assert (run.paths.reports / "model_comparison.png").exists()
    code, again, _ = matlens("compare", run.path, "--out", tmp_path / "out")
    assert code == 0 and f"| {pair['first']} | {pair['second']} | {pair['only_first']} |" in again
    assert (tmp_path / "out" / "model_comparison.png").exists()


@pytest.mark.slow
def test_groups_stay_with_the_run(tmp_path, matlens):
    run = finished_run(tmp_path / "run")
    groups = tmp_path / "g.toml"
    groups.write_text("[groups]\ntextile = ['carpet', 'fabric']\n")
    matlens("evaluate", run.path, "--material-groups", groups, "--models", MODELS[0])
    groups.unlink()
    assert evaluate(run, MODELS[1]).results.groups["per_group"]["textile"]["classes"] == ["carpet", "fabric"]


def test_groups_that_do_not_fit_change_nothing(tmp_path, matlens):
    run = finished_run(tmp_path / "run")
    groups = tmp_path / "g.toml"
    groups.write_text("[groups]\ntextile = ['silk']\n")
    code, _, error = matlens("evaluate", run.path, "--material-groups", groups)
    assert code == 2 and "g.toml" in error and "'silk'" in error
    assert not (run.path / "material_groups.toml").exists()
    assert not run.paths.results_file(MODELS[0]).exists()


@pytest.mark.slow
def test_models_of_two_runs_are_compared_photo_by_photo(tmp_path, matlens):
    first, second = finished_run(tmp_path / "a"), finished_run(tmp_path / "b")
    evaluate(first, MODELS[0])
    evaluate(second, MODELS[0])
    _, out, _ = matlens("compare", first.path, second.path)
    row = next(line for line in out.splitlines() if line.startswith(f"| a/{MODELS[0]} | b/{MODELS[0]} |"))
    cells = row.strip("| ").split(" | ")
    assert cells[2:5] == ["0", "0", "0.0"] and cells[6:] == ["1.000", "no", "n/a"]


@pytest.mark.parametrize("options, says", [
    ({"train_on": "train+val", "validation": False}, "were trained on"),
    ({"validation": False}, "could not be predicted: no photos there")])
def test_without_validation_predictions_there_is_no_temperature_and_a_reason(tmp_path, monkeypatch, options, says):
    """train+val leaves no photo to fit on; and photos that are gone must not cost the results."""
    from matlens.errors import DataError
    from matlens.evaluation import part_predictions

    def gone(*_, **__):
        raise DataError("no photos there")

    monkeypatch.setattr(part_predictions, "predict_part", gone)
    monkeypatch.setattr(part_predictions.PartPredictions, "_artifact", None)
    found = evaluate(finished_run(tmp_path / "run", **options), MODELS[0]).results
    assert found.calibration["temperature"] is None
    assert says in found.calibration["remark"]
    assert found.accuracy > 0.5
