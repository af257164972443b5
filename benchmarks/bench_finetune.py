"""A fine-tuning epoch of the guide's second stage: from the cut on kept activations, against Keras' `fit` on photos.

    python benchmarks/bench_finetune.py [resnet50_transfer|mobilenetv2_transfer ...] [--photos 128] [--side 224]

Random weights that count as pretrained (they do not change the speed); the last 40 layers are trained, batch 32. Both
train the same network in one process, an epoch of one after an epoch of the other; photos/s as medians of the epochs.
What computing the activations once costs stands beside it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from matlens.data.batches import one_hot
from matlens.features.activations import Activations, activation_shards
from matlens.features.engine import PhotoEngine
from matlens.models.protocol import BuildOrder, room_of
from matlens.system.batching import batch_bounds
from matlens.training.feature_batches import FeatureBatches

BATCH, CLASSES, EPOCHS = 32, 6, 4


def rate(photos: int, work: Callable[[], object]) -> float:
    """Photos/s."""
    started = time.perf_counter()
    work()
    return photos / (time.perf_counter() - started)


def weights_file(name: str, side: int, folder: Path) -> Path:
    """Random weights in the format of published ones."""
    import keras

    application = {"resnet50_transfer": keras.applications.ResNet50,
                   "mobilenetv2_transfer": keras.applications.MobileNetV2}[name]
    file = folder / "published.weights.h5"
    application(include_top=False, weights=None, input_shape=(side, side, 3)).save_weights(file)
    return file


def measure(name: str, n: int, side: int) -> None:
    """Measure one model, and print."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, n)
    floats, targets = photos.astype(np.float32) / np.float32(255), one_hot(labels, CLASSES)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        classifier = room_of(name).build(BuildOrder(name, CLASSES, (side, side), weights_file(name, side, folder)))
        classifier.begin_finetuning()
        cut = classifier.cut_for_finetuning()
        rest = classifier.after(cut)
        classifier.export_trunk(folder, cut)
        engine = PhotoEngine(folder / "trunk.xml", (side, side), pooled=False)
        digests = [f"{number:064x}" for number in range(n)]
        shards = activation_shards(folder, name, digests, lambda: engine.shape, "float16",
                                   lambda chosen, keep, progress: engine.run(
                                       (photos[int(digest, 16)] for digest in chosen), len(chosen), keep, progress))
        once = rate(n, shards.opened_or_made)
        kept = Activations.of(shards.opened_or_made())
        batches = FeatureBatches((kept,), labels, CLASSES, BATCH, shuffle=True)
        model = classifier.model  # type: ignore[attr-defined]

        def ours(epoch: int) -> None:
            rest.train_epoch(batches.epoch(epoch), lambda *_: None)

        def peer(_: int) -> None:
            model.fit(floats, targets, batch_size=BATCH, epochs=1, verbose=0)

        found: dict[str, list[float]] = {"matlens, from the cut": [], "Keras fit": []}
        for epoch in range(EPOCHS):
            for what, work in zip(found, (ours, peer), strict=True):
                seen = rate(n, lambda work=work, epoch=epoch: work(epoch))  # type: ignore[misc]
                if epoch:  # the first one compiles
                    found[what].append(seen)
    print(f"{name}, cut after {cut}, {len(batch_bounds(n, BATCH))} steps of {BATCH}")
    for what, rates in found.items():
        print(f"  {what:<24} {statistics.median(rates):6.1f} photos/s  (n = {n} photos, {len(rates)} epochs, "
              f"{min(rates):.1f} to {max(rates):.1f})")
    ours_rate, peer_rate = (statistics.median(rates) for rates in found.values())
    print(f"  ratio {ours_rate / peer_rate:.1f}; activations, once: {once:.0f} photos/s", flush=True)


def main() -> None:
    """Measure each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["resnet50_transfer", "mobilenetv2_transfer"])
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--side", type=int, default=224)
    chosen = parser.parse_args()
    for name in chosen.models:
        measure(name, chosen.photos, chosen.side)


if __name__ == "__main__":
    main()
