"""How well photos of other things are told from a run's test photos, and whether prediction sets cover what they state.

    python benchmarks/bench_novelty.py RUN --strangers FOLDER [FOLDER ...]

RUN is the folder of a finished run, and each FOLDER holds photos of things that its model was not trained on. Each
detector is fitted on the run's training photos; the one that validation photos alone chose is marked. "area" is that
under the ROC curve: the share of pairs of a stranger and a test photo in which the stranger has the higher score.
Coverage is of 200 random halves of the test part: one half calibrates, the other is covered.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from matlens.data.pixels.reader import PhotoReader
from matlens.evaluation.novelty.choice import area_under_roc, choose_detector
from matlens.evaluation.novelty.learn import looked_at
from matlens.evaluation.part_predictions import PartPredictions
from matlens.features.artifact import Artifact
from matlens.features.novelty.conformal import Conformal, PredictionSets
from matlens.features.novelty.detectors import DETECTORS
from matlens.features.novelty.stored import COVERAGE, FALSE_ALARMS
from matlens.jobs.predict import AskedPhotos
from matlens.runs.run import Run
from matlens.runs.training_record import TrainingRecord
from matlens.types import Array
from matlens.workers.trained import trained_artifact

SPLITS = 200


def features_in(artifact: Artifact, folder: Path) -> Array:
    """Compute the features (N, K) of all photos in a folder that can be read."""
    reader = PhotoReader(artifact.img_size)
    read = (reader.read_or_none(path) for path in AskedPhotos.of([folder]).photos)
    return np.concatenate([artifact.trunk.features(photo[None].astype(np.float32) / 255).mean(axis=(1, 2))
                           for photo in read if photo is not None])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", help="by default the run's first")
    parser.add_argument("--strangers", type=Path, nargs="+", required=True)
    given = parser.parse_args()
    run = Run.open(given.run)
    name = given.model or run.model_names[0]
    artifact = trained_artifact(run, name)
    parts = PartPredictions(run, name, TrainingRecord.read(run, name))
    train, val, test = (looked_at(parts, artifact, part) for part in ("train", "val", "test"))
    strangers = {folder.name if folder.name != "photos" else folder.parent.name: features_in(artifact, folder)
                 for folder in given.strangers}
    choice = choose_detector(train.features, train.labels, val.features, val.labels)
    print(f"{name}: {len(train.labels)} training, {len(val.labels)} validation and {len(test.labels)} test photos")
    for detector, kind in DETECTORS.items():
        if not kind.fits(train.features, train.labels):
            continue
        fitted = kind.fit(train.features, train.labels)
        conformal = Conformal(fitted.strangeness(val.features), val.groups)
        usual = fitted.strangeness(test.features)
        alarms = (conformal.p_values(usual) <= FALSE_ALARMS).mean()
        print(f"{detector}{' (chosen)' if kind is choice.detector else ''}: classes left out in turn, area "
              f"{choice.areas.get(detector, float('nan')):.3f}; {alarms:.1%} of test photos called unknown")
        for title, features in strangers.items():
            scores = fitted.strangeness(features)
            told = (conformal.p_values(scores) <= FALSE_ALARMS).mean()
            print(f"  {title} ({len(scores)} photos): area {area_under_roc(scores, usual):.3f}, {told:.1%} called "
                  "unknown")
    predictions = parts.test()
    rng = np.random.default_rng(0)
    for by_class in (False, True):
        covered, sizes = [], []
        for _ in range(SPLITS):
            order = rng.permutation(len(predictions.labels))
            first, second = order[::2], order[1::2]
            truth = predictions.labels[first]
            sets = PredictionSets(predictions.probabilities[first, truth].astype(np.float64), truth,
                                  predictions.groups[first], predictions.probabilities.shape[1])
            members = sets.members(predictions.probabilities[second], COVERAGE, by_class=by_class)
            covered.append(members[np.arange(len(second)), predictions.labels[second]].mean())
            sizes.append(members.sum(axis=1).mean())
        print(f"sets {'for each class' if by_class else 'for all classes together'}, {COVERAGE:.0%} stated: "
              f"{np.mean(covered):.1%} covered (standard deviation of {SPLITS} splits {np.std(covered):.1%}), "
              f"{np.mean(sizes):.2f} classes a set")


if __name__ == "__main__":
    main()
