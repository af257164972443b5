"""Take networks of libraries through build, features and artifact, from random weights at a small size.

    python benchmarks/backbones.py                                                    # or: make backbones
    python benchmarks/backbones.py keras/MobileNetV3Small "keras/DenseNet*" timm/resnet18

Printed is a Markdown table: the photo's side, the numbers that training can change in the whole model, the features of
a photo, and the largest difference of a feature in the artifact from the framework's, as a share of the largest
feature; or why the network is refused. Networks of one library share a process; one that ends it is named with how it
ended, and the next ones get a new one.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from matlens.errors import MatlensError
from matlens.models.protocol import BuildOrder, room_of
from matlens.models.registry import is_pattern, look_at, names_matching, spec_of

SIDE, PHOTOS, CLASSES = 64, 8, 3
"""Photos have twice the smallest side that a network takes, or `SIDE`: of the smallest one place is left, and
normalisation that is fitted to 8 numbers enlarges every rounding."""
LONGEST = 1800
"""Seconds after which a network hangs."""

KERAS = tuple(f"keras/{name}" for name in (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0",
    "DenseNet121", "NASNetMobile", "ConvNeXtTiny", "ResNet50", "ResNet50V2", "Xception", "InceptionV3",
    "InceptionResNetV2", "VGG16"))

TIMM = tuple(f"timm/{name}" for name in (
    "resnet18", "resnetv2_50", "resnext50_32x4d", "nf_resnet50", "regnety_002", "densenet121", "inception_v3",
    "repvgg_a0", "ghostnet_100", "mobilenetv2_100", "mobilenetv3_small_050", "mobilenetv4_conv_small",
    "efficientnet_b0", "tf_efficientnetv2_b0", "tf_efficientnet_lite0", "convnext_atto", "convnextv2_atto",
    "efficientformerv2_s0", "fastvit_t8", "mobilevitv2_050", "vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2",
    "deit3_small_patch16_224", "vit_relpos_small_patch16_224", "eva02_tiny_patch14_224", "cait_xxs24_224",
    "swin_tiny_patch4_window7_224", "maxvit_rmlp_pico_rw_256", "mixer_s32_224", "crossvit_tiny_240"))


def measured(name: str) -> dict[str, object]:
    """Do the work for one network. Raises MatlensError where it is refused."""
    from matlens.features.artifact import Artifact, write_artifact

    spec = spec_of(name)
    side = -(-max(SIDE, 2 * spec.smallest_side) // spec.multiple_of) * spec.multiple_of
    size = spec.sizes[0] if spec.sizes else (side, side)
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
    return {"size": size, "parameters": classifier.parameters[1], "features": expected.shape[1:],
            "difference": float(np.abs(computed - expected).max() / np.abs(expected).max())}


def measure(names: list[str]) -> None:
    """Print for each network what was measured, or why it is refused, as a line of JSON."""
    for name in names:
        try:
            found = measured(name)
        except MatlensError as error:
            found = {"refused": str(error)}
        print(json.dumps(found), flush=True)
        gc.collect()


def rows(names: list[str]) -> Iterator[str]:
    """Yield the table's rows of networks of one library, which other processes measure."""
    while names:
        child = subprocess.Popen([sys.executable, __file__, "--measure", *names], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        said: list[str] = []
        assert child.stdout is not None and child.stderr is not None
        listener = threading.Thread(target=said.extend, args=(child.stderr,), daemon=True)
        listener.start()
        while names:
            hanging = threading.Timer(LONGEST, child.kill)
            hanging.start()
            line = child.stdout.readline()
            while line and not line.startswith("{"):  # what a framework prints
                line = child.stdout.readline()
            hanging.cancel()
            if not line:
                break
            yield _row(names.pop(0), json.loads(line))
        code = child.wait()
        listener.join()
        if names:
            words = "".join(said).strip().splitlines() or ["it said nothing"]
            yield _row(names.pop(0), {"refused": f"its process ended with code {code}: {words[-1]}"})


def _row(name: str, found: dict[str, object]) -> str:
    if "refused" in found:
        return f"| `{name}` | | | | refused: {' '.join(str(found['refused']).split())} |"
    size, features, parameters, difference = (found[key] for key in ("size", "features", "parameters", "difference"))
    assert isinstance(size, list) and isinstance(features, list)
    assert isinstance(parameters, int) and isinstance(difference, float)
    return (f"| `{name}` | {' x '.join(map(str, size))} | {parameters / 1e6:.1f} million | "
            f"{' x '.join(map(str, features))} | {difference:.1e} |")


def main() -> None:
    """Print the table, row by row."""
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2:])
        return
    print("| network | photo | parameters | features | largest difference |\n|---|---|---:|---|---:|", flush=True)
    names = [name for asked in sys.argv[1:] or (*TIMM, *KERAS)
             for name in (names_matching(asked) if is_pattern(asked) else (asked,))]
    look_at(names)
    for _, of_library in groupby(names, key=lambda name: name.partition("/")[0]):
        for row in rows(list(of_library)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
