"""A run of records that were made and not decoded: names, hashes, features and a trunk, for `bench_records.py`.

Everything else is done by matlens as in a run: dividing, training heads on features, predicting from them, judging,
comparing, and the page. What a run does with pixels alone is left out: decoding, the trunk, and heat maps, in whose
place the galleries show noise, which no JPEG makes small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from matlens.data.source.sources import Listed, Source
from matlens.data.split.splits import Split
from matlens.evaluation.predictions import Predictions
from matlens.explanation import galleries
from matlens.explanation.explained import ExplainedPhoto
from matlens.explanation.overlay import overlay_heatmap
from matlens.features.artifact import Artifact, write_artifact
from matlens.features.cache import cached_features, feature_parts
from matlens.features.engine import TrunkEngine
from matlens.models.head import AnyHead
from matlens.runs.run import Run
from matlens.system.console import Reporter
from matlens.system.files import write_json
from matlens.system.shards.shard import WriteRow
from matlens.system.shards.sharded import ShardedValues
from matlens.training.frozen import PooledFeatures
from matlens.training.record import Clock, training_record
from matlens.training.stages import head_on_features, linear_head
from matlens.training.stages.base import HeadStage
from matlens.types import Progress

CLASSES = tuple(f"material_{number:02d}" for number in range(23))
SIDE = 32
_NOISE = 2.2
_IN_GROUP, _GROUPED = 4, 20
"""Photos of a group that stays together, and of how many photos one is in a group."""


@dataclass(frozen=True)
class Records:
    """Photos that nobody took: numbered, named, of a class, and with the hash of their name as content.

    width: of their features.
    """

    n: int
    width: int
    folder: Path

    def source(self) -> Source:
        """List them, as class folders are listed."""
        return Source(self.folder / "photos", "folders", CLASSES, tuple(
            Listed(f"{CLASSES[number % len(CLASSES)]}/{number:08d}.jpg", CLASSES[number % len(CLASSES)])
            for number in range(self.n)))

    def hashes(self, source: Source) -> dict[str, str]:
        """Give each a content."""
        return {photo.path: hashlib.sha256(photo.path.encode()).hexdigest() for photo in source.photos}

    def groups(self, source: Source) -> tuple[tuple[str, ...], ...]:
        """Put some together, as copies of one photo are, in groups of one class."""
        step, paths = len(CLASSES), [photo.path for photo in source.photos]
        return tuple(tuple(paths[first + number:first + number + _IN_GROUP * step:step])
                     for first in range(0, self.n - _IN_GROUP * step, _IN_GROUP * _GROUPED * step)
                     for number in range(step))

    def write_features(self, split: Split, rules: str, seed: int) -> str:
        """Write features (N, width) of all photos where a run caches them, shard by shard. Returns their key."""
        digests = feature_parts(split, 1, pooled=True)[0].digests
        label = dict(zip((photo.sha256 for photo in split.photos), split.labels(split.photos).tolist(), strict=True))
        centres = np.random.default_rng(seed).normal(size=(len(CLASSES), self.width)).astype(np.float32)

        def fill(chosen: tuple[str, ...], write: WriteRow, _: Progress) -> dict[str, Any]:
            rng = np.random.default_rng([seed, int(chosen[0][:16], 16)])
            for row, digest in enumerate(chosen):
                noise = rng.standard_normal(self.width, dtype=np.float32)
                write(row, centres[label[digest]] + np.float32(_NOISE * self.width**0.25) * noise)
            return {}

        return ShardedValues(self.folder / "cache", "features", "features", rules, digests, "<f4",
                             lambda: (self.width,), fill, {"model": rules}).opened_or_made().folder.name


def write_trunk(folder: Path, width: int) -> None:
    """A trunk whose features are the photo's mean colour and zeros: (B, 32, 32, 3) to (B, 1, 1, width)."""
    import openvino
    from openvino import opset13 as ops

    photos = ops.parameter([-1, SIDE, SIDE, 3], np.float32)
    means = ops.reduce_mean(photos, np.array([1, 2]), keep_dims=True)
    wide = ops.matmul(means, np.eye(3, width, dtype=np.float32), False, False)
    openvino.save_model(openvino.Model([wide], [photos]), folder / "trunk.xml", compress_to_fp16=False)


class MadeTrunk:
    """Stands for `FrozenFeatures`, of which a stage sees features that were made, and a trunk without a network."""

    weights_file = None

    def __init__(self, run: Run, records: Records, model: str, key: str, reporter: Reporter) -> None:
        """key: under which `write_features` wrote."""
        self.run, self.model, self.reporter, self.clock = run, model, reporter, Clock()
        self.prepared = SimpleNamespace(split=run.split)
        self.conversions = SimpleNamespace(of=lambda *_: None)
        self._records, self._key = records, key

    def pooled(self, n_views: int | None = None) -> PooledFeatures:
        """Map the features from the disk, as they are mapped where an earlier run has computed them."""
        digests = feature_parts(self.run.split, 1, pooled=True)[0].digests
        features = cached_features(self._records.folder / "cache", self._key, len(digests))
        assert features is not None
        return PooledFeatures((features,), digests, "made", self._key)

    def bytes_of_features(self) -> int:
        """Of one photo."""
        return 4 * self._records.width

    def train(self, stage: HeadStage) -> None:
        """Train a head, and leave what a training leaves but for the network's own file."""
        with patch.object(head_on_features, "leave_model_file"), patch.object(linear_head, "leave_model_file"):
            trained = stage.train(self, is_last=True)  # type: ignore[arg-type]
        artifact = self._artifact(trained.head)
        self.run.paths.model_file(self.model).write_bytes(b"made")
        write_json(self.run.paths.training_file(self.model), training_record(
            self.model, trained.history, self.run.split, artifact, self.clock.seconds, parameters=(9, 9),
            weights_file=None, remarks=trained.remarks, versions={}, views=1, features_key=self._key))

    def _artifact(self, head: AnyHead) -> Artifact:
        def export(folder: Path) -> AnyHead:
            write_trunk(folder, self._records.width)
            return head

        def predict(images: Any) -> Any:
            write_trunk(self._records.folder, self._records.width)
            return head.probabilities(TrunkEngine(self._records.folder / "trunk.xml").features(images))

        return write_artifact(self.run.paths.artifact(self.model), export, predict,
                              np.random.default_rng(0).random((2, SIDE, SIDE, 3), np.float32), self.model, CLASSES)

    def predict(self, part: str) -> None:
        """Predict a part from its features, as matlens does where the cache has them, and save the predictions."""
        from matlens.evaluation.part_predictions import PartPredictions
        from matlens.runs.training_record import TrainingRecord

        split, photos = self.run.split, self.run.split.part(part)
        features = PartPredictions(self.run, self.model, TrainingRecord.read(self.run, self.model)).features(photos)
        assert features is not None
        head = Artifact.open(self.run.paths.artifact(self.model)).head
        Predictions(head.probabilities(features[:, None, None, :]), split.labels(photos),
                    tuple(photo.path for photo in photos), 1000.0, tuple(photo.sha256 for photo in photos),
                    split.groups_of(photos)).write(self.run.paths.predictions_file(self.model, part))


def explained_noise(run: Run, model: Any, predictions: Predictions, positions: Sequence[int], *_: Any,
                    ) -> list[ExplainedPhoto]:
    """Noise in the place of each photo, with a heat map of 14 x 14 places."""
    heat = np.random.default_rng(0).random((14, 14), dtype=np.float32)
    photos = (np.random.default_rng(index).integers(0, 256, (224, 224, 3), dtype=np.uint8) for index in positions)
    answers = predictions.predicted
    return [ExplainedPhoto(photo, overlay_heatmap(heat, photo), CLASSES[answers[index]],
                           float(predictions.probabilities[index].max()), heat, CLASSES[predictions.labels[index]])
            for index, photo in zip(positions, photos, strict=True)]


def make_noise_gallery(run: Run, name: str) -> None:
    """Write the galleries of a model, of noise."""
    with patch.object(galleries, "explain_positions", explained_noise):
        galleries.make_gallery(run, name)
