"""Photos that `matlens suggest` chooses against photos chosen at random: test accuracy at the same number of labels.

    python benchmarks/bench_suggest.py RUN [--seeds 10] [--first 60] [--step 60] [--rounds 5]

RUN is a finished run of `--recipe probe`, whose features lie in the cache (MATLENS_CACHE names it). Its training and
validation photos are the pool. A logistic regression is fitted on the features of `first` random ones; then each way
names `step` photos more, whose labels are looked up, and a new one is fitted on all of them, `rounds` times. The
ways begin with the same photos, once for each seed. `margin` and `coreset` are the halves of `suggest` by themselves.
The test part is looked at for the figures alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from matlens.evaluation.part_predictions import PartPredictions
from matlens.jobs.labelling.ranking import margins, rank_photos
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord
from matlens.types import Array, Floats, Labels

Way = Callable[[Floats, Array, Array, int, np.random.Generator], Labels]
"""From probabilities and features of the pool, features of labelled photos and a number to positions in the pool."""

STRENGTH = 0.05
"""scikit-learn's C, as the recipe chooses it of 1,768 training photos of TrashNet, about."""


def at_random(chances: Floats, pool: Array, labelled: Array, n: int, rng: np.random.Generator) -> Labels:
    """Choose any."""
    return rng.choice(len(pool), n, replace=False)


def by_margin(chances: Floats, pool: Array, labelled: Array, n: int, rng: np.random.Generator) -> Labels:
    """Choose those of which the model is least sure."""
    return np.argsort(margins(chances), kind="stable")[:n]


def by_coreset(chances: Floats, pool: Array, labelled: Array, n: int, rng: np.random.Generator) -> Labels:
    """Choose those that are farthest from all others, whatever the model says."""
    return rank_photos(np.full_like(chances, 1 / chances.shape[1]), pool, labelled, n).positions


def as_suggest(chances: Floats, pool: Array, labelled: Array, n: int, rng: np.random.Generator) -> Labels:
    """Choose as `matlens suggest` does."""
    return rank_photos(chances, pool, labelled, n).positions


WAYS: dict[str, Way] = {"random": at_random, "margin": by_margin, "coreset": by_coreset, "suggest": as_suggest}


def fitted(features: Array, labels: Labels) -> Pipeline:
    """Fit a logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=300)).fit(features, labels)


def accuracies(way: Way, features: Array, labels: Labels, tested: npt.NDArray[np.bool_], first: Labels, step: int,
               rounds: int, rng: np.random.Generator) -> list[float]:
    """Return the test accuracy with the first photos, and after each round."""
    chosen, pool = first, np.setdiff1d(np.flatnonzero(~tested), first)
    found = []
    for turn in range(rounds + 1):
        model = fitted(features[chosen], labels[chosen])
        found.append(float(model.score(features[tested], labels[tested])))
        if turn < rounds:
            more = pool[way(model.predict_proba(features[pool]), features[pool], features[chosen], step, rng)]
            chosen, pool = np.concatenate([chosen, more]), np.setdiff1d(pool, more)
    return found


def main() -> None:
    """Let all ways choose, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    for name, default in (("--seeds", 10), ("--first", 60), ("--step", 60), ("--rounds", 5)):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args()
    run = Run.open(asked.run)
    name, photos = run.model_names[0], run.split.photos
    features = PartPredictions(run, name, TrainingRecord.read(run, name)).features(photos)
    if features is None:
        raise SystemExit(f"{run.settings.cache_dir} has no features of {name}: name the cache with MATLENS_CACHE.")
    features, labels = np.asarray(features), run.split.labels(photos)
    tested = np.array([photo.part == "test" for photo in photos])
    table: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for seed in range(asked.seeds):
        rng = np.random.default_rng(seed)
        first = rng.choice(np.flatnonzero(~tested), asked.first, replace=False)
        while len(np.unique(labels[first])) < len(run.split.class_names):
            first = rng.choice(np.flatnonzero(~tested), asked.first, replace=False)
        for way, choose in WAYS.items():
            table[way].append(accuracies(choose, features, labels, tested, first, asked.step, asked.rounds,
                                         np.random.default_rng([seed, 1])))
    numbers = [asked.first + asked.step * turn for turn in range(asked.rounds + 1)]
    print(f"test accuracy in %, mean (standard deviation) of {asked.seeds} seeds; {int(tested.sum())} test photos, "
          f"pool of {int((~tested).sum())}, {name}")
    print("labels    " + "".join(f"{number:>14}" for number in numbers))
    for way, rows in table.items():
        mean, spread = 100 * np.mean(rows, axis=0), 100 * np.std(rows, axis=0, ddof=min(1, len(rows) - 1))
        print(f"{way:<10}" + "".join(f"{f'{value:.1f} ({sd:.1f})':>14}" for value, sd in zip(mean, spread,
                                                                                         strict=True)))
    ahead = 100 * (np.array(table["suggest"]) - np.array(table["random"]))
    error = ahead.std(axis=0, ddof=min(1, len(ahead) - 1)) / len(ahead) ** 0.5
    told = [f"{value:+.1f} +- {half:.1f}" for value, half in zip(ahead.mean(axis=0), error, strict=True)]
    print("ahead     " + "".join(f"{words:>14}" for words in told))
    print("ahead: suggest less random with the same first photos, mean +- standard error")


if __name__ == "__main__":
    main()
