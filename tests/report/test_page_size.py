"""A page that can be sent by mail: models judged on 431 photos, with everything."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders import write_training
from matlens.data.prepare import prepare
from matlens.evaluation.choice import chosen_for_grid
from matlens.evaluation.judge import evaluate
from matlens.evaluation.predictions import Predictions
from matlens.explanation import galleries
from matlens.explanation.explained import ExplainedPhoto
from matlens.explanation.faithfulness.curves import CURVES, FRACTIONS, MEASURES, REMOVED
from matlens.explanation.faithfulness.display import plot_faithfulness
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.grid import plot_explained_grid
from matlens.explanation.overlay import overlay_heatmap
from matlens.explanation.registry import BASELINES
from matlens.jobs.run import summarise
from matlens.models.registry import MODELS
from matlens.robustness.curves import Robustness
from matlens.robustness.display import plot_robustness
from matlens.robustness.registry import PERTURBATIONS
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.system.files import checksum, write_json

pytestmark = pytest.mark.slow

N_TEST = 431
SIDE = 224
NAMES = tuple(MODELS)[:2]
CLASSES = [f"material {number:02}" for number in range(23)]


def noise(seed: int) -> np.ndarray:
    """A photo that no JPEG can make small."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two trained models of 23 classes, three answers in four right, with saved predictions. The photos are tiny."""
    path = tmp_path_factory.mktemp("large")
    for part, n in (("train", 23), ("val", 92), ("test", N_TEST)):
        for index in range(n):
            place = path / "photos" / part / CLASSES[index % 23] / f"{index}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng((n, index)).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    settings = Settings.load(options={"data_dir": path / "photos", "img_size": 32, "cache_dir": path / "cache"})
    prepared = prepare(settings, Reporter(quiet=True))
    folder = Run.begin(path / "run", settings, prepared.source.root, prepared.split)
    epochs = {key: [1.0, 0.5, 0.25, 0.4] for key in ("loss", "val_loss", "accuracy", "val_accuracy")}
    for seed, name in enumerate(NAMES):
        write_training(folder, name, epochs=4, best_epoch=3, history=epochs)
        write_json(folder.paths.artifact(name) / "artifact.json", {"model": name})
        rng = np.random.default_rng(seed)
        for part in ("test", "val"):
            photos = prepared.split.part(part)
            labels = prepared.split.labels(photos)
            answers = np.where(rng.random(len(labels)) < 0.75, labels, rng.integers(0, 23, len(labels)))
            logits = rng.normal(size=(len(labels), 23)) + 4 * np.eye(23)[answers]
            shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            Predictions(shares.astype(np.float32), labels, tuple(photo.path for photo in photos)).write(
                folder.paths.predictions_file(name, part))
    return folder


def explained(folder: Run, model: Any, predictions: Predictions, positions: list[int], *_: Any,
              ) -> list[ExplainedPhoto]:
    """Noise in the place of each photo, with a heat map of 14 x 14 places."""
    heat = np.random.default_rng(0).random((14, 14), dtype=np.float32)
    return [ExplainedPhoto(noise(index), overlay_heatmap(heat, noise(index)), CLASSES[predictions.predicted[index]],
                           float(predictions.probabilities[index].max()), heat, CLASSES[predictions.labels[index]])
            for index in positions]


def add_everything(folder: Run, name: str) -> None:
    """What a run, and the commands that measure on request, leave beside the results."""
    predictions = Predictions.read(folder.paths.predictions_file(name))
    plot_explained_grid(explained(folder, None, predictions, chosen_for_grid(predictions)), "Grad-CAM",
                        MODELS[name].title, folder.paths.picture(name, "gradcam"))
    galleries.make_gallery(folder, name)
    artifact, maps = checksum(folder.paths.artifact(name) / "artifact.json"), ("gradcam", *BASELINES)
    gain: dict[str, float | None] = {"mean": 0.1, "standard_error": 0.01}
    faithful = Faithfulness(name, "gradcam", 30, FRACTIONS, REMOVED, {
        each: {curve: list(np.linspace(0.9, 0.1, 11 if curve in ("deletion", "insertion") else 4)) for curve in CURVES}
        for each in maps}, {each: dict.fromkeys(MEASURES, 0.5) for each in maps},
        {baseline: dict.fromkeys(MEASURES, gain) for baseline in BASELINES}, {}, artifact)
    robust = Robustness(name, N_TEST, 0.75, dict.fromkeys(CLASSES, 0.75), {
        each.name: {"title": each.title, "unit": each.unit, "strengths": list(each.strengths),
                    "accuracy": [0.7, 0.6, 0.5, 0.4, 0.3], "same_answer": [0.5] * 5, "per_class": {}}
        for each in PERTURBATIONS.entries()}, artifact)
    plot_faithfulness(faithful, name, folder.paths.picture(name, "faithfulness"))
    plot_robustness({name: robust}, folder.paths.picture(name, "robustness"))
    results = evaluate(folder, name, every_picture=True).results
    dataclasses.replace(results, faithfulness=faithful.summary, robustness=robust.summary).write(
        folder.paths.results_file(name))


def test_a_page_grows_by_less_than_4_megabytes_a_model(folder: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though all photos are noise, which compresses worst: real ones take a third of that."""
    monkeypatch.setattr(galleries, "explain_positions", explained)
    monkeypatch.setattr(galleries, "trained_artifact", lambda run, name: SimpleNamespace(
        head=SimpleNamespace(pooling="avg", tells_of_places=True),
        class_names=CLASSES, folder=run.paths.artifact(name), unconfirmed=""))
    for name in NAMES:
        add_everything(folder, name)
    summarise(folder)
    assert (folder.path / "report.html").stat().st_size < 2 * 4_000_000
