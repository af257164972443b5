"""Frozen trunks, converted once and kept: a later run needs no framework to compute features.

    <cache>/trunks/<key>/
        trunk.json        format, parity, parameters, versions, checksums of the other files
        trunk.xml, .bin   OpenVINO: (B, H, W, 3) float32 in [0, 1] to feature maps, preprocessing inside
        model.h5          the whole model with a head that is still untrained, in Keras' own format

The key is of the weights' content, the model, its width, the photo size and the number of classes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matlens.caches import whole_entry
from matlens.data.synthetic import MATERIALS, draw_material
from matlens.errors import ModelError
from matlens.features.engine import TrunkEngine
from matlens.files import checksum, read_json, write_json
from matlens.models.protocol import BuildOrder, Classifier

FEATURE_TOLERANCE = 1e-4
"""How far a feature may lie from the framework's own, as a share of the largest."""

_FORMAT = 1
_FILES = ("trunk.xml", "trunk.bin", "model.h5")


@dataclass(frozen=True)
class CachedTrunk:
    """A trunk that was converted and compared.

    weights_key: of what decides the features: not of the number of classes.
    parity: the largest difference from the framework's features that was seen, as a share of the largest feature.
    parameters: (all, trainable) numbers of the whole model, its backbone frozen.
    """

    folder: Path
    weights_key: str
    parity: float
    parameters: tuple[int, int]
    versions: dict[str, str]

    @property
    def model_template(self) -> Path:
        """The model file with an untrained head."""
        return self.folder / "model.h5"

    @classmethod
    def open(cls, folder: Path) -> CachedTrunk | None:
        """A trunk that is there and whole, else None."""
        try:
            about = read_json(folder / "trunk.json")
            if about["format"] != _FORMAT or any(checksum(folder / name) != about["sha256"][name] for name in _FILES):
                return None
            return cls(folder, about["weights_key"], about["parity"], tuple(about["parameters"]), about["versions"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def weights_key(order: BuildOrder) -> str:
    """What decides a trunk's features: weights by content, architecture and photo size."""
    assert order.weights_file is not None
    about = [_FORMAT, order.model, order.alpha, list(order.img_size), checksum(order.weights_file)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]


def trunk_folder(cache_dir: Path, order: BuildOrder) -> Path:
    """Where the trunk of a model is kept."""
    return cache_dir / "trunks" / f"{order.model}-{weights_key(order)}-{order.num_classes}"


def convert_trunk(classifier: Classifier, order: BuildOrder, folder: Path, versions: dict[str, str]) -> CachedTrunk:
    """Write a classifier's trunk and model file, whole or not at all, and compare features with the framework's.

    Raises:
        ModelError: a feature differs by more than FEATURE_TOLERANCE; nothing is kept then.
    """
    with whole_entry(folder, f"the converted trunk of {order.model}") as partial:
        classifier.export_trunk(partial)
        classifier.save(partial / "model.h5", {})
        photos = _sample_photos(order.img_size)
        wanted = classifier.features(photos)
        found = TrunkEngine(partial / "trunk.xml").features(photos)
        parity = float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-6))
        if not parity <= FEATURE_TOLERANCE:
            raise ModelError(f"The converted trunk of {order.model} differs from its framework by {parity:.2g} of the "
                             f"largest feature (allowed: {FEATURE_TOLERANCE:g}). Use --no-feature-cache.")
        write_json(partial / "trunk.json", {
            "format": _FORMAT, "weights_key": weights_key(order), "parity": parity,
            "parameters": classifier.parameters, "versions": versions,
            "sha256": {name: checksum(partial / name) for name in _FILES}})
    trunk = CachedTrunk.open(folder)
    if trunk is None:
        raise ModelError(f"The converted trunk in {folder} cannot be read back. Name another folder with --cache-dir.")
    return trunk


def _sample_photos(img_size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Four drawn materials, (4, H, W, 3) float32 in [0, 1]."""
    height, width = img_size
    drawn = [draw_material(name, max(img_size), np.random.default_rng(1)) for name in MATERIALS[:4]]
    return np.stack(drawn)[:, :height, :width].astype(np.float32) / np.float32(255)


