"""Frozen trunks, converted once and cached: a later run needs no framework to compute features.

    <cache>/trunks/<key>/
        trunk.json        format, parity, parameters, versions, checksums of the other files
        trunk.xml, .bin   OpenVINO: (B, H, W, 3) float32 in [0, 1] to feature maps, preprocessing inside
        model.h5, .pth    the whole model with a head that is still untrained, in its framework's own format
    <cache>/drafts/<key>/ trunk.xml, .bin of a trunk that is not confirmed yet

A trunk may also be only the front of one, up to a layer at which fine-tuning begins; then there is no model file. The
key is made of the weights' content, the model, its options, the photo size, that layer, and the number of classes.

Conversion has two steps, so that features can be computed while the second one runs: `draft_trunk` writes what the
engine needs, `confirm_trunk` compares it with the framework. A draft that was not confirmed is removed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from matlens.data.pixels.values import as_floats
from matlens.errors import CacheError, ConversionError, MatlensError, ModelError
from matlens.features.engine import TrunkEngine
from matlens.features.layout import lay_channels_first
from matlens.features.model_file import write_untrained_file
from matlens.features.unconverted import is_of_conversion, not_converted
from matlens.models.preflight import trouble_of
from matlens.models.protocol import BuildOrder, Divisible
from matlens.models.registry import file_stem, spec_of
from matlens.system.caches import whole_entry
from matlens.system.files import checksum, read_json, write_json
from matlens.system.untrusted import UNREADABLE
from matlens.types import Array

FEATURE_TOLERANCE = 1e-4
"""How far a feature may lie from the framework's own, as a share of the largest."""

LAST_LAYERS = "(last layers)"
"""In place of a layer's name: the last single tensor before the layers that the guide unfreezes."""

_FORMAT = 2
_NETWORK = ("trunk.xml", "trunk.bin")
_TEMPLATE = "model"


@dataclass(frozen=True)
class TrunkOrder:
    """The trunk of a model, up to the output of a layer (None: all of the trunk; or LAST_LAYERS)."""

    build: BuildOrder
    until: str | None = None

    @cached_property  # it reads all of the weights
    def key(self) -> str:
        """A hash of what decides the features: weights by content, architecture, photo size, version of OpenVINO."""
        from importlib.metadata import version

        assert self.build.weights_file is not None
        options = dict(sorted(self.build.options.items()))
        # The format has the width in this place, 1.0 for a model without that option; all other options come last.
        about = [_FORMAT, self.build.model, options.pop("alpha", 1.0), list(self.build.img_size), self.until,
                 checksum(self.build.weights_file), version("openvino"), *([options] if options else []),
                 *([self.build.features] if self.build.features != "last" else [])]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]

    def folder(self, cache_dir: Path) -> Path:
        """Name the trunk's folder. The model file of a whole trunk depends on the number of classes, and the head."""
        of = f"-{self.build.num_classes}" if self.until is None else ""
        linear = ".linear" if self.until is None and self.build.linear_head else ""
        return cache_dir / "trunks" / f"{file_stem(self.build.model)}{linear}-{self.key}{of}"

    def siblings(self, cache_dir: Path) -> list[Path]:
        """List the folders of the same trunk whose model files have other numbers of classes."""
        own = self.folder(cache_dir)
        if self.until is not None:
            return []
        trunk = own.name.rpartition("-")[0]
        return [folder for folder in sorted(own.parent.glob(f"{trunk}-*"))
                if folder != own and folder.name.removeprefix(f"{trunk}-").isdigit()]

    def draft(self, cache_dir: Path) -> Path:
        """Name the folder of the draft, which lies there until it is confirmed."""
        return cache_dir / "drafts" / self.folder(cache_dir).name


@dataclass(frozen=True)
class CachedTrunk:
    """A trunk that was converted and compared with its framework.

    until: the layer whose output it gives.
    parity: the largest difference from the framework's features, as a share of the largest feature.
    parameters: (all, trainable) numbers of the whole model, its backbone frozen.
    model_template: the model file with an untrained head; the front of a trunk has none.
    places: how many of its channels tell of places, where statistics stand behind them; else None.
    """

    folder: Path
    until: str
    parity: float
    parameters: tuple[int, int]
    versions: dict[str, str]
    model_template: Path
    places: int | None = None

    @classmethod
    def open(cls, folder: Path) -> CachedTrunk | None:
        """Open a trunk. Returns None where it is not there or not whole."""
        try:
            about = read_json(folder / "trunk.json")
            sums = about["sha256"]
            if about["format"] != _FORMAT or not sums.keys() >= set(_NETWORK) or any(
                    checksum(folder / name) != recorded for name, recorded in sums.items()):
                return None
            template = Path(about.get("model", f"{_TEMPLATE}.h5")).name  # earlier versions had Keras' files alone
            return cls(folder, about["until"], about["parity"], tuple(about["parameters"]), about["versions"],
                       folder / template, about.get("places"))
        except UNREADABLE:
            return None


def draft_trunk(classifier: Divisible, order: TrunkOrder, cache_dir: Path) -> str:
    """Write what the engine needs of a trunk, whole or not at all.

    Returns a warning where the trunk computes more slowly than it could, else "".

    Raises:
        ModelError: the layer is no cut.
        ConversionError: the trunk cannot be converted.
    """
    with whole_entry(order.draft(cache_dir), f"the trunk of {order.build.model}") as partial:
        until = resolved_layer(classifier, order)
        try:
            classifier.export_trunk(partial, until)
        except Exception as error:
            if isinstance(error, MatlensError) or trouble_of(error) or not is_of_conversion(error):
                raise
            reason = not_converted(order.build.model, error)
            raise ConversionError(f"{reason[0].upper()}{reason[1:]}.") from error
        # PyTorch's networks have their channels first, and where they transpose, as transformers do, that is their own.
        return lay_channels_first(partial / "trunk.xml") if spec_of(order.build.model).framework == "keras" else ""


def confirm_trunk(classifier: Divisible, order: TrunkOrder, cache_dir: Path, versions: dict[str, str]) -> CachedTrunk:
    """Compare a draft's features with the framework's, and write the trunk into the cache, whole or not at all.

    Raises:
        ConversionError: a feature differs by more than FEATURE_TOLERANCE, or the draft cannot compute; it is removed
            then.
    """
    folder, draft, until = order.folder(cache_dir), order.draft(cache_dir), resolved_layer(classifier, order)
    photos = _sample_photos(order.build.img_size)
    expected = classifier.features(photos, until)
    try:
        computed = TrunkEngine(draft / "trunk.xml").features(photos)
    except ModelError as error:
        shutil.rmtree(draft)
        raise ConversionError(f"The converted trunk of {order.build.model} cannot compute: {error}") from error
    parity = float(np.abs(computed - expected).max() / max(np.abs(expected).max(), 1e-6))
    if not parity <= FEATURE_TOLERANCE:
        shutil.rmtree(draft)
        raise ConversionError(f"The converted trunk of {order.build.model} differs from its framework by {parity:.2g} "
                              f"of the largest feature (allowed: {FEATURE_TOLERANCE:g}).")
    with whole_entry(folder, f"the trunk of {order.build.model}") as partial:
        for name in _NETWORK:
            shutil.copyfile(draft / name, partial / name)
        template = f"{_TEMPLATE}{spec_of(order.build.model).suffix}"
        if until is None:
            classifier.save(partial / template, {})
        write_json(partial / "trunk.json", {
            "format": _FORMAT, "until": until or classifier.last_conv_layer_name, "parity": parity, "model": template,
            "parameters": classifier.parameters, "versions": versions,
            **({"places": classifier.head().places} if order.build.features == "multi" and until is None else {}),
            "sha256": {file.name: checksum(file) for file in sorted(partial.iterdir())}})
    shutil.rmtree(draft)
    trunk = CachedTrunk.open(folder)
    if trunk is None:
        raise CacheError(f"The converted trunk in {folder} cannot be read back. Name another folder with --cache-dir.")
    return trunk


def adopt_trunk(order: TrunkOrder, cache_dir: Path) -> bool:
    """Take a trunk that was confirmed for another number of classes; the model file gets a head of its own.

    No framework is needed: a trunk does not depend on the classes. Returns False where there is none, or where its
    model file is none of Keras'.
    """
    for folder in order.siblings(cache_dir):
        trunk = CachedTrunk.open(folder)
        if trunk is None or trunk.model_template.suffix != ".h5":
            continue
        try:
            with whole_entry(order.folder(cache_dir), f"the trunk of {order.build.model}") as partial:
                _take(trunk, partial, order.build.num_classes)
        except ModelError:  # it was removed meanwhile, or is none that matlens wrote: the framework makes another one
            continue
        return True
    return False


def _take(trunk: CachedTrunk, partial: Path, classes: int) -> None:
    """Write a trunk for another number of classes. Raises ModelError where it is gone, or its model file another's."""
    try:
        about = read_json(trunk.folder / "trunk.json")
        for name in _NETWORK:
            shutil.copyfile(trunk.folder / name, partial / name)
    except FileNotFoundError as error:
        raise ModelError(f"{trunk.folder} is gone: {error}") from error
    more = write_untrained_file(trunk.model_template, partial / trunk.model_template.name, classes)
    sums = {file.name: checksum(file) for file in sorted(partial.iterdir())}
    if any(sums[name] != about["sha256"][name] for name in _NETWORK):
        raise ModelError(f"{trunk.folder} was replaced while it was read.")
    write_json(partial / "trunk.json", {**about, "parameters": [count + more for count in trunk.parameters],
                                        "sha256": sums})


def resolved_layer(classifier: Divisible, order: TrunkOrder) -> str | None:
    """Return the layer at which the trunk ends, which LAST_LAYERS leaves to the model; None for the whole trunk."""
    return classifier.cut_for_finetuning() if order.until == LAST_LAYERS else order.until


def _sample_photos(img_size: tuple[int, int]) -> Array:
    """Draw four materials, (4, H, W, 3) float32 in [0, 1]."""
    from matlens.data.drawn.synthetic import MATERIALS, draw_material  # which only a conversion needs

    height, width = img_size
    drawn = [draw_material(name, max(img_size), np.random.default_rng(1)) for name in MATERIALS[:4]]
    return as_floats(np.stack(drawn)[:, :height, :width])
