"""Take networks of libraries through build, features and artifact, from random weights at a small size.

    python benchmarks/backbones.py keras/MobileNetV3Small "keras/DenseNet*" timm/resnet18   # or: make backbones

Each network has a process of its own. Printed is a Markdown table: the numbers that training can change in the whole
model, the seconds from the start of its process to the artifact, and the largest difference of a feature from the
framework's, as a share of the largest feature; or why the network is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from matlens.errors import MatlensError
from matlens.models.protocol import BuildOrder, room_of
from matlens.models.registry import is_pattern, names_matching, spec_of

SIDE, PHOTOS, CLASSES = 64, 4, 3
LONGEST = 1800
"""Seconds after which a network hangs."""

KERAS = tuple(f"keras/{name}" for name in (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0",
    "DenseNet121", "NASNetMobile", "ConvNeXtTiny", "ResNet50", "ResNet50V2", "Xception", "InceptionV3",
    "InceptionResNetV2", "VGG16"))


def measured(name: str) -> dict[str, object]:
    """Do the work for one network. Raises MatlensError where it is refused."""
    from matlens.features.artifact import Artifact, write_artifact

    spec = spec_of(name)
    size = spec.sizes[0] if spec.sizes else (max(SIDE, spec.smallest_side),) * 2
    photos = np.random.default_rng(0).random((PHOTOS, *size, 3), dtype=np.float32)
    room = room_of(name)
    room.seed(1, False)
    classifier = room.build(BuildOrder(name, CLASSES, size))
    if classifier.trains_statistics:  # else what goes through random weights vanishes or explodes
        classifier.recompute_statistics([(photos, np.eye(CLASSES, dtype=np.float32)[np.arange(PHOTOS) % CLASSES])])
    with tempfile.TemporaryDirectory() as folder:
        write_artifact(Path(folder) / "a", classifier.export_trunk, classifier.predict, photos, name, ("a", "b", "c"))
        expected = classifier.features(photos)
        computed = Artifact.open(Path(folder) / "a").trunk.features(photos)
    return {"size": size, "parameters": classifier.parameters[1],
            "difference": float(np.abs(computed - expected).max() / np.abs(expected).max())}


def row(name: str) -> str:
    """Return the table's row of a network, which a process of its own measures."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True, check=False,
                          timeout=LONGEST)
    seconds = time.perf_counter() - started
    lines = done.stdout.strip().splitlines() or ["{}"]
    found = json.loads(lines[-1]) if done.returncode == 0 else {"refused": (
        done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]}
    if "refused" in found:
        return f"| `{name}` | | | | refused: {found['refused']} |"
    side = " x ".join(map(str, found["size"]))
    return (f"| `{name}` | {side} | {found['parameters'] / 1e6:.1f} million | {seconds:.0f} | "
            f"{found['difference']:.1e} |")


def main() -> None:
    """Print the table, row by row."""
    if sys.argv[1:2] == ["--one"]:
        try:
            print(json.dumps(measured(sys.argv[2])), flush=True)
        except MatlensError as error:
            print(json.dumps({"refused": str(error)}), flush=True)
        return
    print("| network | photo | parameters | seconds | largest difference |\n|---|---|---:|---:|---:|")
    for asked in sys.argv[1:] or KERAS:
        for name in names_matching(asked) if is_pattern(asked) else (asked,):
            print(row(name), flush=True)


if __name__ == "__main__":
    main()
