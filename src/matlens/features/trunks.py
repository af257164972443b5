"""Frozen trunks, converted once and kept: a later run needs no framework to compute features.

    <cache>/trunks/<key>/
        trunk.json        format, parity, parameters, versions, checksums of the other files
        trunk.xml, .bin   OpenVINO: (B, H, W, 3) float32 in [0, 1] to feature maps, preprocessing inside
        model.h5          the whole model with a head that is still untrained, in Keras' own format
    <cache>/drafts/<key>/ trunk.xml, .bin of one that is not confirmed yet

A trunk may also be only the front of one, up to a layer at which fine-tuning begins; then there is no model file. The
key is of the weights' content, the model, its width, the photo size, that layer, and the number of classes.

Conversion has two steps, so that features can be computed while the second one runs: `draft_trunk` writes what the
engine needs, `confirm_trunk` compares it with the framework. Nothing is kept of a draft that was not confirmed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.drawn.synthetic import MATERIALS, draw_material
from matlens.errors import ModelError
from matlens.features.engine import TrunkEngine
from matlens.features.layout import lay_channels_first
from matlens.models.protocol import BuildOrder, Divisible
from matlens.system.caches import whole_entry
from matlens.system.files import checksum, read_json, write_json

FEATURE_TOLERANCE = 1e-4
"""How far a feature may lie from the framework's own, as a share of the largest."""

LAST_LAYERS = "(last layers)"
"""In place of a layer's name: the last single tensor before the layers that the guide unfreezes."""

_FORMAT = 2
_NETWORK = ("trunk.xml", "trunk.bin")
_TEMPLATE = "model.h5"


@dataclass(frozen=True)
class TrunkOrder:
    """Which trunk: of what model, and up to which layer's output (None: all of it; or LAST_LAYERS)."""

    build: BuildOrder
    until: str | None = None

    @cached_property  # it reads all of the weights
    def key(self) -> str:
        """What decides its features: weights by content, architecture, photo size, and the converting OpenVINO."""
        from importlib.metadata import version

        assert self.build.weights_file is not None
        about = [_FORMAT, self.build.model, dict(sorted(self.build.options.items())), list(self.build.img_size),
                 self.until, checksum(self.build.weights_file), version("openvino")]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]

    def folder(self, cache_dir: Path) -> Path:
        """Where it is kept. A whole trunk has a model file with it, which depends on the number of classes."""
        of = f"-{self.build.num_classes}" if self.until is None else ""
        return cache_dir / "trunks" / f"{self.build.model}-{self.key}{of}"

    def draft(self, cache_dir: Path) -> Path:
        """Where its draft lies until it is confirmed."""
        return cache_dir / "drafts" / self.folder(cache_dir).name

    def to_json(self) -> dict[str, Any]:
        """For a child process."""
        return {"build": self.build.to_json(), "until": self.until}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> TrunkOrder:
        """What `to_json` gave."""
        return cls(BuildOrder.from_json(content["build"]), content["until"])


@dataclass(frozen=True)
class CachedTrunk:
    """A trunk that was converted and compared.

    until: the layer whose output it gives.
    parity: the largest difference from the framework's features that was seen, as a share of the largest feature.
    parameters: (all, trainable) numbers of the whole model, its backbone frozen.
    """

    folder: Path
    until: str
    parity: float
    parameters: tuple[int, int]
    versions: dict[str, str]

    @property
    def model_template(self) -> Path:
        """The model file with an untrained head; a front of a trunk has none."""
        return self.folder / _TEMPLATE

    @classmethod
    def open(cls, folder: Path) -> CachedTrunk | None:
        """A trunk that is there and whole, else None."""
        try:
            about = read_json(folder / "trunk.json")
            sums = about["sha256"]
            if about["format"] != _FORMAT or not sums.keys() >= set(_NETWORK) or any(
                    checksum(folder / name) != known for name, known in sums.items()):
                return None
            return cls(folder, about["until"], about["parity"], tuple(about["parameters"]), about["versions"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def draft_trunk(classifier: Divisible, order: TrunkOrder, cache_dir: Path) -> str:
    """Write what the engine needs of a trunk, whole or not at all. Returns `lay_channels_first`'s warning, or "".

    Raises ModelError for a layer that is no cut.
    """
    with whole_entry(order.draft(cache_dir), f"the trunk of {order.build.model}") as partial:
        classifier.export_trunk(partial, resolved_layer(classifier, order))
        return lay_channels_first(partial / "trunk.xml")


def confirm_trunk(classifier: Divisible, order: TrunkOrder, cache_dir: Path, versions: dict[str, str]) -> CachedTrunk:
    """Compare a draft's features with the framework's, and keep it with what belongs to it, whole or not at all.

    Raises:
        ModelError: a feature differs by more than FEATURE_TOLERANCE; nothing is kept then.
    """
    folder, draft, until = order.folder(cache_dir), order.draft(cache_dir), resolved_layer(classifier, order)
    photos = _sample_photos(order.build.img_size)
    wanted = classifier.features(photos, until)
    found = TrunkEngine(draft / "trunk.xml").features(photos)
    parity = float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-6))
    if not parity <= FEATURE_TOLERANCE:
        shutil.rmtree(draft)
        raise ModelError(f"The converted trunk of {order.build.model} differs from its framework by {parity:.2g} of "
                         f"the largest feature (allowed: {FEATURE_TOLERANCE:g}). Use --no-feature-cache.")
    with whole_entry(folder, f"the trunk of {order.build.model}") as partial:
        for name in _NETWORK:
            shutil.copyfile(draft / name, partial / name)
        if until is None:
            classifier.save(partial / _TEMPLATE, {})
        write_json(partial / "trunk.json", {
            "format": _FORMAT, "until": until or classifier.last_conv_layer_name, "parity": parity,
            "parameters": classifier.parameters, "versions": versions,
            "sha256": {file.name: checksum(file) for file in sorted(partial.iterdir())}})
    shutil.rmtree(draft)
    trunk = CachedTrunk.open(folder)
    if trunk is None:
        raise ModelError(f"The converted trunk in {folder} cannot be read back. Name another folder with --cache-dir.")
    return trunk


def resolved_layer(classifier: Divisible, order: TrunkOrder) -> str | None:
    """The layer's name where the order leaves it to the model; None for the whole trunk."""
    return classifier.cut_for_finetuning() if order.until == LAST_LAYERS else order.until


def _sample_photos(img_size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Four drawn materials, (4, H, W, 3) float32 in [0, 1]."""
    height, width = img_size
    drawn = [draw_material(name, max(img_size), np.random.default_rng(1)) for name in MATERIALS[:4]]
    return np.stack(drawn)[:, :height, :width].astype(np.float32) / np.float32(255)
