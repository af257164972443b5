"""INT8 on request: an artifact whose trunk is in 8-bit integers, kept if it predicts validation photos as well.

    <name>.int8.artifact/     as in `artifact`; artifact.json also holds the `Int8Comparison` as `validation`
"""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matlens.errors import ModelError
from matlens.features.artifact import Artifact, write_about
from matlens.features.calibrator import write_calibrator
from matlens.features.layout import channels_first
from matlens.features.precision.answers import compared_answers, points_lost
from matlens.system.files import whole_folder
from matlens.system.openvino import import_openvino
from matlens.types import Array, Labels

CALIBRATION_PHOTOS = 300
"""The largest number of training photos from which the ranges of activations are measured: NNCF's own default."""


@dataclass(frozen=True)
class Int8Comparison:
    """INT8 beside float32 on `n_photos` validation photos.

    float32_accuracy, int8_accuracy: fractions.
    agreement: the fraction of photos for which both predict the same class.
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
        return points_lost(self.float32_accuracy, self.int8_accuracy)

    def refuse_beyond(self, max_drop: float, model_name: str) -> None:
        """Raise ModelError if the drop is larger than `max_drop` percentage points."""
        if self.drop > max_drop:
            raise ModelError(
                f"{model_name} in INT8 has an accuracy of {100 * self.int8_accuracy:.1f} % on {self.n_photos} "
                f"validation photos, {self.drop:.2f} points below float32's {100 * self.float32_accuracy:.1f} % "
                f"(allowed: {max_drop:g}). "
                "It was not kept. Allow more with --max-drop, leave this model out with --models, or stay with float32 "
                "(matlens predict without --int8).")


def compare_int8(float32: Callable[[Array], Array], int8: Callable[[Array], Array], photos: Iterable[Array],
                 labels: Labels) -> Int8Comparison:
    """Predict the same photos in float32 and in INT8.

    Args:
        float32, int8: predict: (B, H, W, 3) float32 in [0, 1] to probabilities (B, C).
        photos: batches (B, H, W, 3).
        labels: (N,) of all photos, in their order.
    """
    pairs = [(float32(batch), int8(batch)) for batch in photos]
    before, after = (np.concatenate(batches) for batches in zip(*pairs, strict=True))
    return Int8Comparison(*compared_answers(before, after, labels))


def quantise_artifact(artifact: Artifact, folder: Path, calibration: Sequence[Array], validation: Iterable[Array],
                      labels: Labels, max_drop: float) -> Int8Comparison:
    """Write the INT8 version of a float32 artifact as `folder`, whole or not at all, if its accuracy is near enough.

    Args:
        calibration: training photos in batches (B, H, W, 3) float32 in [0, 1].
        validation, labels: other photos and their classes, see `compare_int8`.
        max_drop: percentage points of accuracy that may be lost.

    Raises:
        ModelError: NNCF is not installed, or more accuracy is lost; `folder` stays as it was.
    """
    with whole_folder(folder) as partial:
        quantise_trunk(artifact.folder / "trunk.xml", partial / "trunk.xml", calibration)
        shutil.copyfile(artifact.folder / "head.npz", partial / "head.npz")
        write_calibrator(partial, artifact.calibrator, artifact.head_digest)
        comparison = compare_int8(artifact.predict, dataclasses.replace(artifact, folder=partial).predict, validation,
                                  labels)
        comparison.refuse_beyond(max_drop, artifact.model_name)
        content = dataclasses.asdict(comparison)
        write_about(partial, artifact.model_name, artifact.class_names, artifact.img_size,
                    parity=content.pop("parity"), mirrored=artifact.mirrored, precision="int8", validation=content)
    return comparison


def quantise_trunk(trunk: Path, target: Path, calibration: Sequence[Array]) -> None:
    """Write an OpenVINO model (.xml with its .bin) with convolutions in INT8. Raises ModelError without NNCF."""
    if importlib.util.find_spec("nncf") is None:
        raise ModelError("INT8 needs nncf, which is not installed; install with: pip install 'matlens[int8]'")
    openvino = import_openvino()  # before NNCF, whose telemetry then stays out too
    import nncf

    model = openvino.Core().read_model(str(trunk))
    try:
        channels_first(model)
    except RuntimeError:  # OpenVINO's, for operations that do not fit where they were put: it is quantised as it lies
        model = openvino.Core().read_model(str(trunk))
    photos = [photo[None] for batch in calibration for photo in batch]
    # MIXED: the ends of MobileNetV2's blocks are negative too. The slow bias correction stays nearer to float32.
    quantised = nncf.quantize(model, nncf.Dataset(photos), subset_size=len(photos),
                              preset=nncf.QuantizationPreset.MIXED, fast_bias_correction=False)
    openvino.save_model(quantised, str(target), compress_to_fp16=False)
