"""Rows that build a network in this process: preflight, frozen features, the cost of `strong`, parity."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpu_rows import plain_loops
from gpu_rows.table import Line
from gpu_rows.work import CLASSES, Work, framework_device, keras_waits, median, photos_of, seconds_of, spread
from matlens.data.batches import PhotoBatches, one_hot, part_batches
from matlens.features.engine import FrameworkEngine, TrunkEngine, features_of
from matlens.models.protocol import BuildOrder, Divisible, Room, room_of
from matlens.training.history import Epoch, History
from matlens.training.loop import fit
from matlens.training.strong import STRONG, fit_strong
from matlens.types import Array, BytePhotos, Scores

_PATIENCE = 99


class Silent:
    """A `TrainingListener` that does nothing."""

    def on_step(self, epoch: int, step: int, scores: Scores) -> None:
        """Do nothing."""

    def on_epoch(self, epoch: Epoch, improved: bool) -> None:
        """Do nothing."""


def preflight(work: Work, model: str) -> None:
    """Ask the framework of a model for a real operation on its device."""
    room = room_of(model)
    versions = ", ".join(f"{name} {version}" for name, version in room.versions().items())
    started = time.perf_counter()
    found = room.preflight(None)  # type: ignore[attr-defined]
    Line(f"preflight of the framework of {model}", time.perf_counter() - started, "s",
         note=f"device {found.device}, {found.warning or 'no warning'}; {versions}").tell()


def frozen(work: Work, model: str) -> None:
    """Compute pooled features of stored photos in the framework, against the framework's plain way."""
    file = work.weights_file(model)
    classifier = _built(work, room_of(model), model, weights_file=file)
    engine = FrameworkEngine(classifier, (work.side, work.side), pooled=True)
    prepared, n = work.prepared(work.many), 512 if work.quick else 20_480
    features_of(engine, photos_of(prepared, 512), 512)
    rates = []
    for _ in range(1 if work.quick else 3):
        started = time.perf_counter()
        features_of(engine, photos_of(prepared, n), n)
        rates.append(n / (time.perf_counter() - started))
    peer, rate = _peer_of_features(work, model)
    Line(f"frozen features of {model} from the store, on {classifier.device}", median(rates), "photos/s", peer, rate,
         at_least=10_000,
         note=f"{spread(rates, f'passes over {n} photos')}; weights: {file.name if file else 'random'}").tell()


def steps(work: Work, model: str) -> None:
    """Time the first step with its measurement, then training steps from memory at several batch sizes."""
    rng, classifier = np.random.default_rng(0), _built(work, room_of(model), model)
    n = 3 if work.quick or str(classifier.device) == "cpu" else 100
    for batch in (32, 64, 128):
        given = [_random_batch(rng, batch, work.side) for _ in range(4)]

        def trained(steps: int, given: list[tuple[BytePhotos, Array]] = given) -> float:
            started = time.perf_counter()
            classifier.train_epoch((given[step % 4] for step in range(steps)), lambda step, read: None)
            return time.perf_counter() - started

        first = trained(1)
        if batch == 32:
            Line(f"{model}, first training step with the measurement of precision, batch 32", first, "s",
                 note=f"{classifier.precision} on {classifier.device}").tell()
        trained(6)
        rates = [n * batch / trained(n) for _ in range(3)]
        Line(f"{model}, training steps from memory, batch {batch}", median(rates), "photos/s",
             note=spread(rates, f"times {n} steps")).tell()


def _random_batch(rng: np.random.Generator, batch: int, side: int) -> tuple[BytePhotos, Array]:
    """Return noise, turned a little, with labels."""
    warps = np.tile(np.array([[1.0, 0.02, 1.0], [-0.02, 1.0, 2.0]]), (batch, 1, 1))
    photos = BytePhotos(rng.integers(0, 256, (batch, side, side, 3), dtype=np.uint8), warps,
                        np.full(batch, 1.05, np.float32))
    return photos, one_hot(rng.integers(0, len(CLASSES), batch), len(CLASSES))


def strong(work: Work, model: str) -> None:
    """Time the first step of a network, then a step of the recipe `strong` against one of AdamW alone."""
    prepared, batch, epochs = work.prepared(work.many), 32, 2 if work.quick else 4
    room = room_of(model)
    started = time.perf_counter()
    classifier = _built(work, room, model)
    built = time.perf_counter() - started
    train = _for(classifier, part_batches(prepared.split, "train", prepared.store, batch, seed=1, shuffle=True,
                                          augmented=True))
    val = _for(classifier, part_batches(prepared.split, "val", prepared.store, batch).head(1))
    first = next(iter(train.epoch(0)))
    started = time.perf_counter()
    classifier.train_epoch([first], lambda step, read: None)
    Line(f"{model}, first training step, batch {batch}", time.perf_counter() - started, "s",
         note=f"on {classifier.device}, {classifier.precision}; building before it took {built:.1f} s").tell()
    classifier.use_adamw(STRONG.weight_decay)
    plain = _rates(fit(classifier, train, val, Silent(), epochs=epochs, early_stopping_patience=_PATIENCE,
                       reduce_lr_patience=_PATIENCE))
    other = _built(work, room, model)
    averaged = _rates(fit_strong(other, train, val, Silent(), epochs=epochs, steps=len(train),
                                 save_best=lambda: None))
    ours, peer = (1000 * batch / median(rates) for rates in (averaged, plain))
    Line(f"{model}, a step of `strong`, batch {batch}", ours, "ms", "AdamW alone", peer, ratio_at_most=1.1,
         note=f"photos/s {spread(averaged, 'epochs')} against {spread(plain, 'epochs')}").tell()


def parity(work: Work, model: str) -> None:
    """Compare a trained network's probabilities with its artifact's: as matlens predicts, and as the card does.

    What a card does by itself is TF32, where it has it.
    """
    prepared, room = work.prepared(work.few), room_of(model)
    classifier = _built(work, room, model)
    train = _for(classifier, part_batches(prepared.split, "train", prepared.store, 32, seed=1, shuffle=True))
    for epoch in range(1 if work.quick else 2):
        classifier.train_epoch(train.epoch(epoch), lambda step, read: None)
    classifier.recompute_statistics(train.head(4))
    photos = np.stack(list(photos_of(prepared, 8))).astype(np.float32) / np.float32(255)
    with tempfile.TemporaryDirectory() as scratch:
        head = classifier.export_trunk(Path(scratch))
        expected = head.probabilities(TrunkEngine(Path(scratch) / "trunk.xml").features(photos))
    exact = float(np.abs(classifier.predict(photos) - expected).max())
    free = float(np.abs(_raw(classifier, model)(photos) - expected).max())
    again = float(np.abs(classifier.predict(photos) - expected).max())
    Line(f"{model}, artifact against framework, probabilities", max(exact, again), "", at_most=1e-4,
         note=f"with TF32 as the framework and card have it: {free:.2g}; on {classifier.device}; 8 photos").tell()


def _built(work: Work, room: Room, model: str, weights_file: Path | None = None) -> Divisible:
    room.seed(1, False)
    return room.build(BuildOrder(model, len(CLASSES), (work.side, work.side), weights_file, precision="auto"))


def _for(classifier: Divisible, batches: PhotoBatches) -> Any:
    """Return the batches in the form that the network takes: as bytes where the device computes the rest."""
    return batches.as_bytes() if getattr(classifier, "takes_bytes", False) else batches  # type: ignore[attr-defined]


def _rates(history: History) -> list[float]:
    """Photos/s of the epochs after the first."""
    return [epoch.photos_per_second for epoch in history.epochs[1:]]


def _peer_of_features(work: Work, model: str) -> tuple[str, float]:
    """Return the name of the plain way, and its photos/s."""
    batch, batches = 256, 1 if work.quick else 8
    if model == "inception_v1":
        import torch

        device = framework_device()
        job = plain_loops.torch_features(batch, work.side, device)
        wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
        job()
        return "plain PyTorch, bfloat16", batch / min(seconds_of(job, wait) for _ in range(1 if work.quick else 5))
    job = plain_loops.keras_features(64, work.side, batches * 4)
    job()
    return "Keras' predict", 64 * batches * 4 / seconds_of(job, keras_waits())


def _raw(classifier: Any, model: str) -> Callable[[Any], Any]:
    """Return the network itself, photos to probabilities, in the framework's own arithmetic for float32."""
    if model == "inception_v1":
        import torch

        torch.set_float32_matmul_precision("high")
        module = classifier.network.module.eval()

        def predict(photos: Any) -> Any:
            with torch.inference_mode():
                given = (torch.as_tensor(photos).permute(0, 3, 1, 2) * 2 - 1).to(classifier.device)
                return torch.softmax(module(given), 1).cpu().numpy()

        return predict
    import keras

    return lambda photos: keras.ops.convert_to_numpy(classifier.model(photos, training=False))
