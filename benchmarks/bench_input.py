"""Photos on their way to a network: matlens, tf.data as the guide writes it, and torchvision, in one call.

    python benchmarks/bench_input.py [DATA] [--rounds 3]      (default: the photos beside the project, else drawn ones)

First pass, from a folder of JPEG files: matlens lists, hashes and decodes the photos and writes its pixel store; the
peers list the folder and deliver an epoch. Later passes: shuffled batches of 64, 224 px, float32 in [0, 1]; matlens
takes them from the store, the peers decode again. The guide's `.cache()` in memory is a peer of its own: it hands out
the tensors of the first pass again, in the same batches, and holds every photo as floats (34.6 GB at 57,500).

Each peer runs in a process of its own, in turn; its imports do not count. Photos/s are medians over the rounds (one
first pass and three later ones in each) with their spread. The file system's cache is warm.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.batches import PhotoBatches
from matlens.data.drawn.synthetic import draw_dataset
from matlens.data.pixels.store import hash_photos, prepare_store
from matlens.data.source.sources import Source, open_source

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "trashnet-2527"
SIZE, BATCH, SEED, LATER = (224, 224), 64, 42, 3

Batches = Callable[[int], Iterable[tuple[Any, Any]]]
"""The batches of an epoch by its number."""


def matlens(source: Source, cache: Path) -> Batches:
    """List, hash, decode, store."""
    source = open_source(source.root)
    hashes = hash_photos(source.root, [photo.path for photo in source.photos])[0]
    store = prepare_store(source.root, hashes, SIZE, cache)
    number = {name: index for index, name in enumerate(source.class_names)}
    rows = np.array([store.rows[hashes[photo.path]] for photo in source.photos])
    labels = np.array([number[photo.class_name] for photo in source.photos])
    return PhotoBatches(store, rows, labels, len(number), BATCH, SEED, shuffle=True).epoch


def tf_data(source: Source, cached: bool) -> Batches:
    """What the guide's `build_datasets` says."""
    import keras
    import tensorflow as tf

    photos = keras.utils.image_dataset_from_directory(
        folder_of_classes(source), label_mode="categorical", image_size=SIZE, batch_size=BATCH, shuffle=True, seed=SEED,
        interpolation="bilinear", verbose=False)
    rescale = keras.layers.Rescaling(1.0 / 255)
    scaled = photos.map(lambda images, labels: (rescale(images), labels), num_parallel_calls=tf.data.AUTOTUNE)
    batches = (scaled.cache() if cached else scaled).prefetch(tf.data.AUTOTUNE)
    return lambda epoch: batches


def image_folder(source: Source) -> Batches:
    """ImageFolder and DataLoader with two workers."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = transforms.Compose([transforms.Resize(SIZE), transforms.ToTensor()])
    batches = DataLoader(datasets.ImageFolder(str(folder_of_classes(source)), steps), BATCH, shuffle=True,
                         num_workers=2)
    return lambda epoch: batches


def folder_of_classes(source: Source) -> Path:
    """What the peers are pointed at."""
    return source.root / "images" if source.layout == "minc" else source.root


PEERS: dict[str, tuple[Sequence[str], Callable[[Source, Path], Batches]]] = {
    "matlens": ((), matlens),
    "tf.data": (("tensorflow", "keras"), lambda source, _: tf_data(source, cached=False)),
    "tf.data, cache()": (("tensorflow", "keras"), lambda source, _: tf_data(source, cached=True)),
    "torchvision": (("torch.utils.data", "torchvision.datasets"), lambda source, _: image_folder(source)),
}


def measure(peer: str, data: Path, cache: Path) -> tuple[list[float], list[float]]:
    """In a child: photos/s of the first pass, and of later ones."""
    modules, make = PEERS[peer]
    for module in modules:
        importlib.import_module(module)
    source = open_source(data)
    n = len(source.photos)

    def deliver(epoch: int) -> None:
        delivered = sum(len(labels) for _, labels in batches(epoch))
        assert delivered == n, f"{peer} delivered {delivered} of {n} photos"

    rates = []
    for number in range(1 + LATER):
        started = time.perf_counter()
        if number == 0:
            batches = make(source, cache)
        if number > 0 or peer != "matlens":
            deliver(number)
        rates.append(n / (time.perf_counter() - started))
    return rates[:1], rates[1:]


def in_child(peer: str, data: Path) -> tuple[list[float], list[float]]:
    """`measure` in a process of its own, with an empty cache of its own."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run([sys.executable, __file__, data, "--peer", peer, "--cache", cache], text=True,
                              capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{peer}: {done.stderr}")
    first, later = json.loads(done.stdout.strip().splitlines()[-1])
    return first, later


def compare(data: Path, rounds: int) -> None:
    """Measure all, and print."""
    source = open_source(data)
    for photo in source.photos:
        (source.root / photo.path).read_bytes()
    found: dict[str, tuple[list[float], list[float]]] = {peer: ([], []) for peer in PEERS}
    for _ in range(rounds):
        for peer, lists in found.items():
            for rates, more in zip(lists, in_child(peer, data), strict=True):
                rates += more
    for index, what in enumerate(("first pass", "later passes")):
        rates = {peer: lists[index] for peer, lists in found.items()}
        for peer, values in rates.items():
            print(f"{what}, {peer:<18} {statistics.median(values):7.0f} photos/s  (n = {len(source.photos)} photos, "
                  f"{len(values)} passes, {min(values):.0f} to {max(values):.0f})")
        ours = statistics.median(rates.pop("matlens"))
        print(f"{what}, ratio to " + ", to ".join(f"{peer}: {ours / statistics.median(values):.2f}"
                                                 for peer, values in rates.items()), flush=True)


def main() -> None:
    """Measure a peer in a child, or compare them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", choices=list(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        print(json.dumps(measure(chosen.peer, chosen.data, chosen.cache)))
    elif chosen.data or PHOTOS.is_dir():
        compare(chosen.data or PHOTOS, chosen.rounds)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(draw_dataset(Path(folder) / "photos", size=362), chosen.rounds)


if __name__ == "__main__":
    main()
