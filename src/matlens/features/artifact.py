"""The portable artifact: a trained network as a folder that runs without TensorFlow and without PyTorch.

    <name>.artifact/
        artifact.json     what it is: format, class names, photo size, precision, checksums of the other files
        trunk.xml, .bin   OpenVINO: (B, H, W, 3) float32 in [0, 1] to feature maps, preprocessing inside
        head.npz          pooling and dense weights; of a head `knn` the features of the training photos
        calibration.json  where an evaluation chose one: what makes its probabilities as sure as it is right
        novelty.npz       where an evaluation learned it: which photos are unlike those it was trained on

A trained network whose export differs from its framework, or cannot be converted, is kept too, and its artifact is
marked: `unconfirmed` in artifact.json says why. Such an artifact is not opened unless that is asked for; where it could
not be converted it has no trunk.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, Field, field_validator, model_validator

from matlens.errors import ConversionError, ModelError
from matlens.features.calibrator import Calibrator, read_calibrator
from matlens.features.engine import TrunkEngine
from matlens.features.novelty.stored import Novelty, read_novelty
from matlens.features.trunks import CachedTrunk
from matlens.features.unconverted import is_of_conversion, not_converted
from matlens.models.head import AnyHead
from matlens.models.heads.reading import read_head
from matlens.system.console import command
from matlens.system.files import checksum, read_json, seal_of, whole_folder, write_json
from matlens.system.untrusted import inside, quoted, reading, size_of_regular
from matlens.types import Array

ArtifactPrecision = Literal["float32", "int8"]

PARITY_TOLERANCE = 1e-4
"""How far a probability may lie from the framework's own."""

_ABOUT_LIMIT = 4 << 20
"""Bytes of artifact.json; those of the guide's models take some 2 kB."""
_LIMITS = {"trunk.xml": 64 << 20, "trunk.bin": 8 << 30, "head.npz": 4 << 30}
"""Bytes of the other files: VGG19's take 20 kB, 80 MB and 400 MB, a network of two billion numbers 8 GB."""

_Side = Annotated[int, Field(ge=1, le=4096)]

_FORMAT = 2
_SEAL = "seal"
_FILES = ("trunk.xml", "trunk.bin", "head.npz")


class Trunk(Protocol):
    """Computes feature maps: the artifact's own trunk, or whoever stands in for it."""

    def features(self, images: Array) -> Array:
        """Map photos (B, H, W, 3) float32 in [0, 1] to feature maps (B, h, w, K) float32."""


@dataclass(frozen=True)
class Artifact:
    """A network to predict and explain with.

    img_size: (height, width) of the photos that it takes.
    parity: the largest difference from the framework that the export measured: of a probability; where the head was
        trained on features, of a feature, as a share of the largest. In INT8: of a probability from that in float32.
        None where nothing could be compared.
    mirrored: whether probabilities are means over the photo and its mirror image.
    head_digest: the SHA-256 of head.npz, to which a calibration is bound.
    unconfirmed: why it is not to be predicted with; empty where it agrees with its framework.
    """

    folder: Path
    model_name: str
    class_names: tuple[str, ...]
    img_size: tuple[int, int]
    parity: float | None
    mirrored: bool = False
    precision: ArtifactPrecision = "float32"
    head_digest: str = ""
    unconfirmed: str = ""

    @property
    def remark(self) -> str:
        """What a reader of its model's answers must know, and how to look into it; empty where it is not marked."""
        return self.unconfirmed and (
            f"{self.unconfirmed}, so that its own framework predicts and explains, in float32. Look into it with: "
            f"{command_to_export(self.folder, self.model_name)}")

    @cached_property
    def trunk(self) -> Trunk:
        """The trunk, which is compiled when it is first used."""
        return TrunkEngine(self.folder / "trunk.xml")

    @cached_property
    def head(self) -> AnyHead:
        """The head, which is loaded when it is first used. Raises ModelError where its classes are not those named."""
        head = read_head(self.folder / "head.npz")
        if head.classes != len(self.class_names):
            raise ModelError(f"{self.folder / 'head.npz'} tells {head.classes} classes apart, and artifact.json names "
                             f"{len(self.class_names)}. {_way_out(self.folder)}")
        return head

    @cached_property
    def calibrator(self) -> Calibrator | None:
        """The calibration of `predict`'s probabilities, which is read when it is first used. Raises ModelError."""
        return read_calibrator(self.folder, self.head_digest, len(self.class_names))

    @cached_property
    def novelty(self) -> Novelty | None:
        """What it knows of unknown photos, which is read when it is first used. Raises ModelError."""
        return read_novelty(self.folder, self.head_digest, len(self.class_names))

    def predict_with_features(self, images: Array) -> tuple[Array, Array]:
        """Predict as `predict` does, and return the features (B, K), averaged over places, too."""
        maps = self.trunk.features(images)
        return self.predict(images, self.head.probabilities(maps)), maps.mean(axis=(1, 2), dtype=np.float32)

    def predict(self, images: Array, of_photos: Array | None = None) -> Array:
        """Predict photos (B, H, W, 3) float32 in [0, 1]: probabilities (B, C) float32.

        of_photos: the probabilities of the photos as they are, without their mirror images, if the caller has them.
        """
        plain = self.head.probabilities(self.trunk.features(images)) if of_photos is None else of_photos
        if not self.mirrored:
            return plain
        mirror = self.head.probabilities(self.trunk.features(np.ascontiguousarray(images[:, :, ::-1])))
        return np.asarray((plain + mirror) / 2, dtype=np.float32)

    @classmethod
    def open(cls, folder: Path, *, marked_too: bool = False) -> Artifact:
        """Open an artifact and check the checksums of its files.

        marked_too: also one that is marked.

        Raises:
            ConversionError: it is marked: it differs from its framework, or could not be converted.
            ModelError: a file is missing, damaged, or too large.
        """
        about, way_out = _description(folder), _way_out(folder)
        if about.unconfirmed and not marked_too:
            raise ConversionError(f"{folder} is marked: {about.unconfirmed}. Look into it with: "
                                  f"{command_to_export(folder, about.model_name)}")
        for name in about.sha256.keys() & set(_FILES):
            with reading(folder / name, "a file of a matlens artifact", ModelError, way_out):
                if size_of_regular(file := inside(folder, name)) > _LIMITS[name]:
                    raise ValueError("it is too large for a network")  # to read a sparse file of 60 GB takes minutes
                if checksum(file) != about.sha256[name]:
                    raise ModelError(f"{folder / name} is damaged: its checksum is not the one in artifact.json. "
                                     f"{way_out}")
        return about.artifact(folder)


class _About(BaseModel):
    """The keys of artifact.json that are read, and their bounds."""

    model_name: Annotated[str, Field(max_length=200)]
    class_names: Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(min_length=1,
                                                                                          max_length=10_000)]
    img_size: tuple[_Side, _Side]
    parity: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    mirrored: bool
    precision: ArtifactPrecision = "float32"
    sha256: dict[str, str]
    unconfirmed: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _fits(self) -> _About:
        needed = ("head.npz",) if self.unconfirmed else _FILES
        if missing := [name for name in needed if name not in self.sha256]:
            raise ValueError(f"it names no {missing[0]}")
        if self.parity is None and not self.unconfirmed:
            raise ValueError("it does not say how far it is from its framework")
        return self

    @field_validator("class_names")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError(f"{quoted(Counter(names).most_common(1)[0][0])} names two classes")
        return names

    def artifact(self, folder: Path) -> Artifact:
        """Make the artifact of a folder."""
        return Artifact(folder, self.model_name, tuple(self.class_names), self.img_size, self.parity, self.mirrored,
                        self.precision, self.sha256["head.npz"], self.unconfirmed)


def remark_on(folder: Path) -> str:
    """Return the `remark` of an artifact. Reads its description alone. Raises ModelError."""
    return _description(folder).artifact(folder).remark


def command_to_export(folder: Path, model: str) -> str:
    """Return the command that exports the artifact of a folder again and compares it in the CPU's arithmetic."""
    run = folder.parent.parent if folder.parent.name == "models" else "RUN"
    return command("export", run, "--models", model, "--device", "cpu")


def of_same_head(folder: Path, copies: Sequence[Path] = ()) -> tuple[str, int, tuple[Path, ...]]:
    """Return an artifact's head's SHA-256, its number of classes, and its folder with those of copies of that head.

    Descriptions alone are read, so that the artifact's large files need not be. Raises ModelError.
    """
    about = _description(folder)
    head = about.sha256["head.npz"]
    return head, len(about.class_names), (folder, *(copy for copy in copies
                                                    if _description(copy).sha256["head.npz"] == head))


def _way_out(folder: Path) -> str:
    return "Make it again with: matlens export RUN" + " --int8" * folder.name.endswith(".int8.artifact")


def _description(folder: Path) -> _About:
    """Read artifact.json, and nothing else of an artifact. Raises ModelError."""
    path, way_out = folder / "artifact.json", _way_out(folder)
    with reading(path, "the description of a matlens artifact", ModelError, way_out):
        content = read_json(inside(folder, path.name), _ABOUT_LIMIT)
        if content["format"] != _FORMAT:
            raise ModelError(f"{path} has the format {content['format']}; this matlens reads {_FORMAT}. {way_out}")
        if content.pop(_SEAL, seal_of(content)) != seal_of(content):  # earlier versions wrote none
            raise ValueError("its checksum is not that of its content: it was altered")
        return _About.model_validate(content)


def assemble_artifact(folder: Path, trunk: CachedTrunk, head: AnyHead, model_name: str, class_names: tuple[str, ...],
                      img_size: tuple[int, int]) -> Artifact:
    """Write the artifact of a cached trunk and a head that was trained on its features, whole or not at all."""
    with whole_folder(folder) as partial:
        for name in ("trunk.xml", "trunk.bin"):
            shutil.copyfile(trunk.folder / name, partial / name)
        head.save(partial / "head.npz")
        write_about(partial, model_name, class_names, img_size, parity=trunk.parity)
    return Artifact.open(folder)


def write_artifact(folder: Path, export_trunk: Callable[[Path], AnyHead], predict: Callable[[Array], Array],
                   images: Array, model_name: str, class_names: tuple[str, ...], mirrored: bool = False,
                   head_alone: Callable[[], AnyHead] | None = None) -> Artifact:
    """Export a network, whole or not at all, and compare it with the framework on a few photos.

    Args:
        export_trunk, predict: methods of the classifier.
        images: (B, H, W, 3) float32 in [0, 1].
        mirrored: see `Artifact`.
        head_alone: returns the head. With it an artifact that differs, or whose trunk cannot be converted, is kept and
            marked.

    Raises:
        ConversionError: a probability differs by more than PARITY_TOLERANCE, or the trunk cannot be converted, and
            nothing is to be kept of it. Nothing is written then.
    """
    with whole_folder(folder) as partial:
        head, parity, unconfirmed = None, None, ""
        try:
            head = export_trunk(partial)
            features = TrunkEngine(partial / "trunk.xml").features(images)
            parity = float(np.abs(head.probabilities(features) - predict(images)).max())
        except Exception as error:
            if head_alone is None or not is_of_conversion(error):
                raise
            unconfirmed = not_converted(model_name, error)
        if parity is not None and not parity <= PARITY_TOLERANCE:
            unconfirmed = (f"the exported {model_name} differs from its framework by {parity:.2g} in a probability "
                           f"(allowed: {PARITY_TOLERANCE:g})")
        if unconfirmed and head_alone is None:
            raise ConversionError(f"{unconfirmed[0].upper()}{unconfirmed[1:]}; it was not kept.")
        if head_alone is not None and (head is None or parity is None):
            for half in partial.iterdir():
                half.unlink()
            head = head_alone()
        assert head is not None
        head.save(partial / "head.npz")
        more: dict[str, Any] = {"unconfirmed": unconfirmed} if unconfirmed else {}
        write_about(partial, model_name, class_names, images.shape[1:3], mirrored=mirrored,
                    parity=parity if parity is not None and math.isfinite(parity) else None, **more)
    return Artifact.open(folder, marked_too=True)


def write_about(folder: Path, model_name: str, class_names: tuple[str, ...], img_size: tuple[int, ...], *,
                parity: float | None, mirrored: bool = False, precision: ArtifactPrecision = "float32", **more: Any,
                ) -> None:
    """Write artifact.json beside an artifact's other files, with `more` in it."""
    content = {
        "format": _FORMAT, "model_name": model_name, "class_names": list(class_names), "img_size": list(img_size),
        "parity": parity, "mirrored": mirrored, "precision": precision, **more,
        "sha256": {name: checksum(folder / name) for name in _FILES if name == "head.npz" or (folder / name).exists()}}
    write_json(folder / "artifact.json", {**content, _SEAL: seal_of(content)})
