"""How well a material map finds materials in mosaics of a run's test photos, beside a naive sliding window.

    python benchmarks/bench_map.py RUN [--mosaics 50] [--side 512] [--scales 1,1.5] [--part test]

A mosaic is a square of 3 to 5 regions (Voronoi cells of random points), each with the middle of a photo of another
class, at the photo's own resolution, mirrored where the region is larger. The naive window has the size that the
network was trained on, moves by half of that, and each pixel gets the answer of the window whose middle is nearest.
"points above" is the mean over mosaics of the difference in pixel accuracy, with its 95 % bootstrap interval.
Unknown areas count by the class that they would have. With --strangers each mosaic has a region more, of a photo of
that folder, which is of none of the classes: only how much of it, and of the others, is called unknown is told then.
The time is the median of five maps of a mosaic of 1024 x 1024.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.values import as_floats
from matlens.features.artifact import Artifact
from matlens.jobs.predict import AskedPhotos
from matlens.mapping.material_map import UNKNOWN, MapOptions, material_map
from matlens.mapping.mosaics import Mosaic, mosaic_of
from matlens.mapping.quality import MapQuality, quality_of
from matlens.mapping.sizes import scales_of
from matlens.runs.run import Run
from matlens.types import Labels, Pixels

LARGE, TIMES = 1024, 5


def mosaics(run: Run, part: str, n: int, side: int, strangers: Sequence[Path] = (), seed: int = 0) -> list[Mosaic]:
    """Make n mosaics of the photos of a part, each with a region of a stranger (UNKNOWN), if there are any."""
    rng, reader = np.random.default_rng(seed), PhotoReader()
    photos = run.split.part(part)
    labels = run.split.labels(photos)
    made = []
    for _ in range(n):
        classes = rng.permutation(len(run.split.class_names))[:rng.integers(3, 6)]
        chosen = [photos[rng.choice(np.flatnonzero(labels == number))] for number in classes]
        pixels, numbers = [reader.read(run.data_root / photo.path) for photo in chosen], classes.tolist()
        if strangers:
            pixels.append(reader.read(strangers[rng.integers(len(strangers))]))
            numbers.append(UNKNOWN)
        made.append(mosaic_of(pixels, numbers, side, rng))
    return made


def by_naive_window(artifact: Artifact, photo: Pixels) -> Labels:
    """Answer each pixel by the window whose middle is nearest: (H, W)."""
    starts = [sorted({*range(0, length - side + 1, side // 2), length - side})
              for length, side in zip(photo.shape[:2], artifact.img_size, strict=True)]
    height, width = artifact.img_size
    answers = np.array([[int(artifact.predict(as_floats(photo[None, top:top + height, left:left + width])).argmax())
                         for left in starts[1]] for top in starts[0]])
    rows, columns = (np.abs(np.arange(length)[:, None] + 0.5 - (np.array(begin) + side / 2)).argmin(axis=1)
                     for length, begin, side in zip(photo.shape[:2], starts, artifact.img_size, strict=True))
    return np.asarray(answers[rows][:, columns], dtype=np.int64)


def print_unknown(artifact: Artifact, made: list[Mosaic], options: MapOptions) -> None:
    """Print how much of the strangers' area, and of the others', is called unknown."""
    found, false = [], []
    for mosaic in made:
        unknown = material_map(artifact, mosaic.photo, options).numbers == UNKNOWN
        found.append(unknown[mosaic.truth == UNKNOWN].mean())
        false.append(unknown[mosaic.truth != UNKNOWN].mean())
    print(f"{len(made)} mosaics with a stranger: {100 * np.mean(found):.1f} % of its area is called unknown, and "
          f"{100 * np.mean(false):.1f} % of the others'")


def row(name: str, qualities: list[MapQuality]) -> str:
    """Write the means as a row of a table."""
    means = [100 * float(np.mean([getattr(quality, field) for quality in qualities]))
             for field in ("pixel_accuracy", "class_accuracy", "boundary_f")]
    return f"| {name} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |"


def main() -> None:
    """Print the table, and the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", help="by default the run's first")
    parser.add_argument("--mosaics", type=int, default=50)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--part", default="test")
    parser.add_argument("--scales", default="1,1.5")
    parser.add_argument("--window", type=float, default=MapOptions().window)
    parser.add_argument("--strangers", type=Path, help="a folder of photos of things that are of none of the classes")
    given = parser.parse_args()
    run = Run.open(given.run)
    artifact = Artifact.open(run.paths.artifact(given.model or run.model_names[0]))
    options = MapOptions(scales_of(given.scales), given.window)
    if given.strangers:
        strangers = AskedPhotos.of([given.strangers]).photos
        print_unknown(artifact, mosaics(run, given.part, given.mosaics, given.side, strangers), options)
        return
    ours, naive, unknown = [], [], []
    for mosaic in mosaics(run, given.part, given.mosaics, given.side):
        made = material_map(artifact, mosaic.photo, options)
        ours.append(quality_of(made.answers[made.segments], mosaic.truth))
        naive.append(quality_of(by_naive_window(artifact, mosaic.photo), mosaic.truth))
        unknown.append(float(made.unknown[made.segments].mean()) if made.unknown is not None else np.nan)
    print("| | pixel accuracy, % | mean class accuracy, % | boundary F, % |\n|---|---|---|---|")
    print(row("naive sliding window", naive))
    print(row(f"map, by {'the whole photo' if made.whole else 'windows'}", ours))
    above = 100 * np.array([a.pixel_accuracy - b.pixel_accuracy for a, b in zip(ours, naive, strict=True)])
    draws = np.random.default_rng(0).choice(above, (2000, len(above))).mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    print(f"\n{above.mean():.1f} points above (95 %: {low:.1f} to {high:.1f}; {len(above)} mosaics of "
          f"{given.side} x {given.side})")
    if artifact.novelty is not None:
        print(f"{100 * np.mean(unknown):.1f} % of the area is called unknown, and all of it is of known materials")
    large = mosaics(run, given.part, 1, LARGE)[0].photo
    material_map(artifact, large[:640, :480], options)  # the network is compiled
    seconds, used = [], []
    for _ in range(TIMES):
        started, cpu = time.perf_counter(), time.process_time()
        material_map(artifact, large, options)
        seconds.append(time.perf_counter() - started)
        used.append(time.process_time() - cpu)
    print(f"{LARGE} x {LARGE} pixels: {np.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), of which "
          f"{np.median(used):.2f} s of a processor")


if __name__ == "__main__":
    main()
