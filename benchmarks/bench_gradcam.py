"""Grad-CAM of one photo: the portable artifact against the framework's own differentiation, in one call.

    python benchmarks/bench_gradcam.py [--models vgg19_scratch inception_v1 ...] [--repeats 15]

Prints for each model how many times faster the artifact explains than Keras' GradientTape or PyTorch's autograd, and
what a heat map adds to a prediction from the artifact. Random weights (they do not change the speed), one photo of
224 px, float32, 23 classes; medians of `--repeats`, after two that do not count. Each framework runs in a process of
its own, which has ended before the artifact is measured. Keras is measured twice: as the guide has it, which builds the
model of gradients for each photo, and with that model kept.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from matlens.explanation.explainer import AtHead, ByFramework
from matlens.explanation.methods.gradcam import GradCAM
from matlens.features.artifact import Artifact, write_artifact
from matlens.models.protocol import BuildOrder, room_of
from matlens.models.registry import MODELS, spec_of

SIZE, CLASSES = (224, 224), 23
PHOTO = np.random.default_rng(0).random((1, *SIZE, 3), dtype=np.float32)


def milliseconds(work: Callable[[], object]) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def in_turn(repeats: int, *works: Callable[[], object]) -> list[list[float]]:
    """Milliseconds of each call of each work, after two that do not count; in turn, so that what else the machine does
    falls on all."""
    rounds = [[milliseconds(work) for work in works] for _ in range(repeats + 2)]
    return [list(found) for found in zip(*rounds[2:], strict=True)]


def framework(name: str, folder: Path, repeats: int) -> dict[str, list[float]]:
    """In a child: write the artifact, and measure what the framework takes."""
    classifier = room_of(name).build(BuildOrder(name, CLASSES, SIZE))
    names = tuple(map(str, range(CLASSES)))
    write_artifact(folder, classifier.export_trunk, classifier.predict, PHOTO, name, names)

    def explain() -> Any:
        layer = classifier.last_conv_layer_name
        return GradCAM().heat(ByFramework(*classifier.features_and_gradients(PHOTO, np.array([0]), layer)))

    if spec_of(name).framework == "torch":
        return {"autograd": in_turn(repeats, explain)[0]}
    from matlens.models.keras import gradients

    [built_anew] = in_turn(repeats, explain)
    gradients._with_outputs = functools.cache(gradients._with_outputs)
    [kept] = in_turn(repeats, explain)
    return {"GradientTape as the guide has it": built_anew, "GradientTape, its model kept": kept}


def measure(name: str, repeats: int) -> None:
    """Run the child, measure the artifact, and print."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, __file__, "--framework", name, "--folder", folder,
                               "--repeats", str(repeats)], text=True, capture_output=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        peers = json.loads(done.stdout.strip().splitlines()[-1])
        artifact = Artifact.open(Path(folder) / name)

        def explain() -> None:
            features = artifact.trunk.features(PHOTO)
            values = artifact.head.forward(features)
            GradCAM().heat(AtHead(features, artifact.head, values, values[-1].argmax(axis=1)))

        explained, predicted = in_turn(repeats, explain, lambda: artifact.predict(PHOTO))
    for what, found in {**peers, "matlens, heat map": explained, "matlens, prediction alone": predicted}.items():
        print(f"{name}, {what:<34} {statistics.median(found):7.1f} ms  (n = {repeats}, {min(found):.1f} to "
              f"{max(found):.1f})")
    ours = statistics.median(explained)
    for what, found in peers.items():
        print(f"ratio to {what}: {statistics.median(found) / ours:.1f}")
    print(f"prediction with heat map / prediction alone: {ours / statistics.median(predicted):.2f}", flush=True)


def main() -> None:
    """Measure each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--framework", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.framework:
        print(json.dumps(framework(chosen.framework, chosen.folder / chosen.framework, chosen.repeats)))
        return
    for name in chosen.models:
        measure(name, chosen.repeats)


if __name__ == "__main__":
    main()
