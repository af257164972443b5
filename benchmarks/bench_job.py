"""The whole job against the notebook's way: MobileNetV2 by transfer, from photos to report, in one call.

    python benchmarks/bench_job.py [--data DIR] [--weights-dir DIR] [--notebook-way FILE] [--repeats 3]

The peer is the guide's pipeline as literally as its text allows (`notebook_way.py --input backbone`), run once. matlens
runs with cold caches, with photos that it has not seen and a trunk that it knows, again with other seeds and warm
caches, with cold caches and features in bfloat16 where the processor has it, with another view, and by the recipe
`strong`; medians of `--repeats` runs, each with a seed of its own.
Defaults are the folders beside the project. Peak memory is the largest of the job's processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from matlens.errors import DeviceError
from matlens.features.precision.instructions import refuse_without_bfloat16

SHARED = Path(__file__).parents[2] / "shared"
MODEL = "mobilenetv2_transfer"


def notebook_way(script: Path, data: Path, weights: Path, work: Path) -> tuple[float, float]:
    """(seconds, test accuracy) of the peer, imports included. It gets a cache of its own: Keras writes into it."""
    home = work / "keras-home"
    (home / "models").mkdir(parents=True)
    for file in (weights / "models").iterdir():
        (home / "models" / file.name).symlink_to(file.resolve())
    started = time.perf_counter()
    done = subprocess.run([sys.executable, script, data, work / "peer", "--input", "backbone"], text=True, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"KERAS_HOME": str(home)})
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return time.perf_counter() - started, told["test_accuracy"]


def matlens(data: Path, weights: Path, out: Path, cache: Path, *options: str) -> tuple[float, float, float]:
    """(seconds, test accuracy, peak memory in GB) of `matlens run`, from the start of Python to the report."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "matlens", "run", "--data", data, "--protocol", "minc:1", "--models", MODEL,
                    "--weights-dir", weights, "--out", out, "--cache-dir", cache, "--quiet", *options],
                   check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    results = json.loads((out / "reports" / f"{MODEL}_results.json").read_text())
    return seconds, results["accuracy"], results["peak_rss_bytes"] / 1e9


def main() -> None:
    """Measure all, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "trashnet-2527")
    parser.add_argument("--weights-dir", type=Path, default=SHARED / "weights" / "keras")
    parser.add_argument("--notebook-way", type=Path, default=SHARED / "baseline" / "notebook_way.py")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    for needed in (chosen.data, chosen.weights_dir, chosen.notebook_way):
        if not needed.exists():
            parser.error(f"{needed} is not there")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        peer, peer_accuracy = notebook_way(chosen.notebook_way, chosen.data, chosen.weights_dir, work)
        print(f"{'the notebook way':<34} {peer:6.1f} s, accuracy {peer_accuracy:.1%} (n = 1)", flush=True)

        def ours(what: str, cache: str, *options: str) -> None:
            """Time runs. cache: its name, in which {} is the number of the run; one that is there is taken as it is."""
            runs = [matlens(chosen.data, chosen.weights_dir, work / f"{what}{number}".replace(" ", "-"),
                            work / cache.format(number), "--seed", str(42 + number), *options)
                    for number in range(chosen.repeats)]
            seconds, accuracies, peaks = zip(*runs, strict=True)
            middle = statistics.median(seconds)
            print(f"{what:<34} {middle:6.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), accuracy "
                  f"{statistics.median(accuracies):.1%} ({min(accuracies):.1%} to {max(accuracies):.1%}), "
                  f"{max(peaks):.2f} GB, {peer / middle:.1f} times faster (n = {len(runs)})", flush=True)

        ours("matlens run, cold caches", "cold{}")
        for number in range(chosen.repeats):  # what is known of networks, and not of photos
            shutil.copytree(work / f"cold{number}" / "trunks", work / f"known{number}" / "trunks")
        ours("matlens run, new photos", "known{}")
        ours("matlens run, warm caches", "cold0")
        try:
            refuse_without_bfloat16()
        except DeviceError as error:
            print(f"bfloat16 is not measured: {error}")
        else:
            ours("matlens run, bfloat16, cold caches", "short{}", "--feature-precision", "bfloat16")
        ours("matlens run --views 2, cold caches", "views{}", "--views", "2")
        ours("matlens run --recipe strong, cold", "strong{}", "--recipe", "strong")


if __name__ == "__main__":
    main()
