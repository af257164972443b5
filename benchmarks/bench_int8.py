"""INT8 against float32: photos/s of the same trunks in the same call, and accuracy where a finished run is given.

    python benchmarks/bench_int8.py [--models mobilenetv2_transfer,...] [--run RUN]

Without a run: random weights (they do not change the speed), 224 px, random photos. With one: its artifacts, and its
validation photos, on which INT8 is accepted or not, and its test photos, which nothing was chosen by. The passes take
turns, so that other work on the machine slows all alike. "Channels first" is float32 without the transpositions of
Keras' own export, which INT8 takes out too: INT8's own gain is the ratio to that.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.data.batches import read_photos
from matlens.features.artifact import Artifact
from matlens.features.engine import PhotoEngine, features_of
from matlens.features.layout import channels_first
from matlens.features.quantise import CALIBRATION_PHOTOS, compare_int8, quantise_trunk
from matlens.models.protocol import BuildOrder, room_of
from matlens.runs.run import Run
from matlens.system.openvino import import_openvino

PHOTOS, PASSES = 128, 7


def measure(trunks: dict[str, Path], photos: npt.NDArray[np.uint8]) -> None:
    """Print photos/s of each trunk: median of the passes, their spread, the ratio to the first."""
    engines = {name: PhotoEngine(trunk, photos.shape[1:3], pooled=True) for name, trunk in trunks.items()}
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(PASSES + 1):
        for name, engine in engines.items():
            started = time.perf_counter()
            features_of(engine, iter(photos), len(photos))
            rates[name].append(len(photos) / (time.perf_counter() - started))
    middle = {name: statistics.median(found[1:]) for name, found in rates.items()}  # the first pass does not count
    for name, found in rates.items():
        print(f"  {name:<24} {middle[name]:6.0f} photos/s  ({min(found[1:]):.0f} to {max(found[1:]):.0f}, n = "
              f"{len(photos)} photos, {PASSES} passes), ratio {middle[name] / middle['float32']:.1f}", flush=True)


def without_transpositions(trunk: Path, target: Path) -> Path:
    """The float32 trunk in INT8's layout."""
    openvino = import_openvino()
    model = openvino.Core().read_model(str(trunk))
    channels_first(model)
    openvino.save_model(model, str(target), compress_to_fp16=False)
    return target


def main() -> None:
    """Measure each model, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="mobilenetv2_transfer")
    parser.add_argument("--run", type=Path)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    for name in chosen.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            print(name)
            if chosen.run:
                run = Run.open(chosen.run)
                artifact = Artifact.open(run.paths.artifact(name))
                train = run.split.part("train")
                sample = [train[i] for i in rng.permutation(len(train))[:CALIBRATION_PHOTOS]]
                calibration = list(read_photos(run.data_root, sample, artifact.img_size))
                trunk = artifact.folder / "trunk.xml"
                photos = (np.concatenate(calibration)[:PHOTOS] * 255).round().astype(np.uint8)
            else:
                room_of(name).build(BuildOrder(name, 6)).export_trunk(work)
                trunk, photos = work / "trunk.xml", rng.integers(0, 256, (PHOTOS, 224, 224, 3), dtype=np.uint8)
                calibration = [photos[:16].astype(np.float32) / 255]
            quantise_trunk(trunk, work / "int8" / "trunk.xml", calibration)
            measure({"float32": trunk, "float32, channels first": without_transpositions(trunk, work / "first.xml"),
                     "INT8": work / "int8" / "trunk.xml"}, photos)
            if chosen.run:
                (work / "int8" / "head.npz").write_bytes((artifact.folder / "head.npz").read_bytes())
                int8 = dataclasses.replace(artifact, folder=work / "int8")
                for part in ("val", "test"):
                    judged = run.split.part(part)
                    images = read_photos(run.data_root, judged, artifact.img_size)
                    found = compare_int8(artifact.predict, int8.predict, images, run.split.labels(judged))
                    print(f"  {part}: accuracy {found.int8_accuracy:.1%}, float32's {found.float32_accuracy:.1%}, the "
                          f"same class for {found.agreement:.1%} of {found.n_photos} photos, largest difference of a "
                          f"probability {found.parity:.2f}", flush=True)


if __name__ == "__main__":
    main()
