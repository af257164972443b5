"""The recipe `probe` against scikit-learn on the same features: seconds, loss and accuracy in the same call.

    python benchmarks/bench_probe.py RUN [--model mobilenetv2_transfer] [--repeats 3]

RUN is a finished run of `--recipe probe`, whose features lie in the cache (MATLENS_CACHE names it). Both fit all
strengths on the training part, standardised, each beginning where the one before ended, and choose one by the log loss
of the validation part; the two take turns. The test part is read once, for the chosen heads.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from matlens.features.cache import cached_features, feature_parts, rows_of
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord
from matlens.training.probe.logistic import STRENGTHS, Linear, Standardisation, fits
from matlens.types import Array, Floats, Labels

Part = tuple[Array, Labels]


def parts_of(run: Run, model: str) -> dict[str, Part]:
    """Return features (N, K) and labels (N,) of each part. Raises SystemExit where the cache has no features."""
    digests = feature_parts(run.split, 1, pooled=True)[0].digests
    key = TrainingRecord.read(run, model).features_key or ""
    features = cached_features(run.settings.cache_dir, key, len(digests))
    if features is None:
        raise SystemExit(f"{run.settings.cache_dir} has no features {key}: name the run's cache with MATLENS_CACHE.")
    photos = {part: run.split.part(part) for part in ("train", "val", "test")}
    return {part: (features[rows_of(chosen, digests)], run.split.labels(chosen)) for part, chosen in photos.items()}


def ours(train: Part, classes: int) -> tuple[list[Linear], list[Floats]]:
    """Fit all strengths as the recipe does. Returns the heads, and [mean, deviation]."""
    standard = Standardisation.of(train[0])
    return list(fits(standard.applied(train[0]), train[1], classes)), [standard.mean, standard.deviation]


def theirs(train: Part, classes: int) -> tuple[list[Linear], list[Floats]]:
    """Fit all strengths with scikit-learn, likewise. Raises SystemExit where a class has no training photo."""
    if len(np.unique(train[1])) < max(classes, 3):
        raise SystemExit("scikit-learn gives a head of other outputs where classes are two, or without photos.")
    scaler, heads = StandardScaler().fit(train[0].astype(np.float64)), []
    features, model = scaler.transform(train[0].astype(np.float64)), LogisticRegression(warm_start=True, max_iter=2000)
    for strength in STRENGTHS:
        model.set_params(C=1 / (strength * len(features))).fit(features, train[1])
        heads.append(Linear(model.coef_.T.copy(), model.intercept_.copy(), int(model.n_iter_[0])))
    return heads, [scaler.mean_, scaler.scale_]


def scores(head: Linear, part: Part, standard: list[Floats]) -> tuple[float, float]:
    """Return log loss and accuracy."""
    logs = head.log_probabilities((part[0] - standard[0]) / standard[1])
    return float(-logs[np.arange(len(logs)), part[1]].mean()), float((logs.argmax(axis=1) == part[1]).mean())


def main() -> None:
    """Fit with both, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", default="mobilenetv2_transfer")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    run = Run.open(chosen.run)
    parts, classes = parts_of(run, chosen.model), len(run.split.class_names)
    seconds: dict[str, list[tuple[float, float]]] = {"matlens": [], "scikit-learn": []}
    found = {}
    for _ in range(chosen.repeats):
        for name, fit_all in (("matlens", ours), ("scikit-learn", theirs)):
            began, worked = time.perf_counter(), time.process_time()
            found[name] = fit_all(parts["train"], classes)
            seconds[name].append((time.perf_counter() - began, time.process_time() - worked))
    for name, (heads, standard) in found.items():
        losses = [scores(head, parts["val"], standard)[0] for head in heads]
        best = int(np.argmin(losses))
        wall, cpu = (statistics.median(values) for values in zip(*seconds[name], strict=True))
        print(f"{name:<13} {wall:6.2f} s, {cpu:6.2f} s of processor time (medians, n = {chosen.repeats}); strength "
              f"{STRENGTHS[best]:g}: validation loss {losses[best]:.4f}, accuracy "
              f"{scores(heads[best], parts['val'], standard)[1]:.1%}, test accuracy "
              f"{scores(heads[best], parts['test'], standard)[1]:.1%}", flush=True)
    above = [a - b for a, b in zip(*(
        [scores(head, parts["train"], standard)[0] + strength / 2 * (head.kernel**2).sum()
         for head, strength in zip(heads, STRENGTHS, strict=True)] for heads, standard in found.values()), strict=True)]
    print(f"the fitted loss of matlens lies above scikit-learn's by at most {max(above):.2g}, below it by at most "
          f"{max(0, -min(above)):.2g} ({len(STRENGTHS)} strengths)")


if __name__ == "__main__":
    main()
