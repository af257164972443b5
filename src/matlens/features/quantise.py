"""INT8 on request: an artifact with its trunk in 8-bit integers, kept if it judges validation photos as well.

    <name>.int8.artifact/     as in `artifact`; artifact.json also holds, as `validation`, what `Comparison` says
"""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError
from matlens.features.artifact import Artifact, write_about
from matlens.features.layout import channels_first
from matlens.system.files import whole_folder
from matlens.system.openvino import import_openvino
from matlens.types import Array

CALIBRATION_PHOTOS = 300
"""How many training photos at most tell the ranges of activations: NNCF's own default."""


@dataclass(frozen=True)
class Comparison:
    """INT8 beside float32 on `n_photos` validation photos.

    float32_accuracy, int8_accuracy: fractions.
    agreement: the fraction of photos that both give the same class.
    parity: the largest difference of a probability.
    """

    n_photos: int
    float32_accuracy: float
    int8_accuracy: float
    agreement: float
    parity: float

    @property
    def drop(self) -> float:
        """Percentage points of accuracy lost; negative where INT8 is better."""
        # Rounded, so that 3 photos of 300 are one point and not a little more.
        return round(100 * (self.float32_accuracy - self.int8_accuracy), 6)

    def refuse_beyond(self, max_drop: float, model_name: str) -> None:
        """Raise ModelError if the drop is larger than `max_drop` percentage points."""
        if self.drop > max_drop:
            raise ModelError(
                f"{model_name} in INT8 has an accuracy of {self.int8_accuracy:.1%} on {self.n_photos} validation "
                f"photos, {self.drop:.2f} points below float32's {self.float32_accuracy:.1%} (allowed: {max_drop:g}). "
                "It was not kept. Allow more with --max-drop, leave this model out with --models, or stay with float32 "
                "(matlens predict without --int8).")


def compare(float32: Callable[[Array], Array], int8: Callable[[Array], Array], photos: Iterable[Array],
            labels: npt.NDArray[np.int64]) -> Comparison:
    """Predict the same photos with both.

    Args:
        float32, int8: (B, H, W, 3) float32 in [0, 1] to probabilities (B, C).
        photos: batches for these.
        labels: (N,) of all photos, in their order.
    """
    pairs = [(float32(batch), int8(batch)) for batch in photos]
    before, after = (np.concatenate(each) for each in zip(*pairs, strict=True))
    said, says = before.argmax(axis=1), after.argmax(axis=1)
    return Comparison(len(labels), float((said == labels).mean()), float((says == labels).mean()),
                      float((said == says).mean()), float(np.abs(after - before).max()))


def quantise_artifact(artifact: Artifact, folder: Path, calibration: Sequence[Array], validation: Iterable[Array],
                      labels: npt.NDArray[np.int64], max_drop: float) -> Comparison:
    """Write a float32 artifact's INT8 version as `folder`, whole or not at all, if its accuracy is near enough.

    Args:
        calibration: training photos in batches (B, H, W, 3) float32 in [0, 1].
        validation, labels: other photos to judge by, see `compare`.
        max_drop: percentage points of accuracy that may be lost.

    Raises:
        ModelError: NNCF is not installed, or more accuracy is lost; `folder` is as it was then.
    """
    with whole_folder(folder) as partial:
        quantise_trunk(artifact.folder / "trunk.xml", partial / "trunk.xml", calibration)
        shutil.copyfile(artifact.folder / "head.npz", partial / "head.npz")
        found = compare(artifact.predict, dataclasses.replace(artifact, folder=partial).predict, validation, labels)
        found.refuse_beyond(max_drop, artifact.model_name)
        told = dataclasses.asdict(found)
        write_about(partial, artifact.model_name, artifact.class_names, artifact.img_size, parity=told.pop("parity"),
                    mirrored=artifact.mirrored, precision="int8", validation=told)
    return found


def quantise_trunk(trunk: Path, target: Path, calibration: Sequence[Array]) -> None:
    """Write an OpenVINO model (.xml with its .bin) with convolutions in INT8. Raises ModelError without NNCF."""
    if importlib.util.find_spec("nncf") is None:
        raise ModelError("INT8 needs nncf, which is not installed; install with: pip install 'matlens[int8]'")
    openvino = import_openvino()  # before NNCF, whose telemetry then stays out too
    import nncf

    model = openvino.Core().read_model(str(trunk))
    channels_first(model)
    photos = [photo[None] for batch in calibration for photo in batch]
    # MIXED: the ends of MobileNetV2's blocks are negative too. The slow bias correction stays nearer to float32.
    quantised = nncf.quantize(model, nncf.Dataset(photos), subset_size=len(photos),
                              preset=nncf.QuantizationPreset.MIXED, fast_bias_correction=False)
    openvino.save_model(quantised, str(target), compress_to_fp16=False)
