"""What makes a network's probabilities as sure as it is right: a few numbers beside its artifact.

    <name>.artifact/calibration.json     fitted on validation photos after the export, and bound to the artifact's head

Temperature: Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017 (arXiv:1706.04599), which
also names vector scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from matlens.errors import ModelError
from matlens.system.files import read_json, write_json
from matlens.system.untrusted import inside, reading
from matlens.types import Floats

CalibrationMethod = Literal["temperature", "vector"]

FILE_NAME = "calibration.json"
SMALLEST = 1e-30
"""Below what float32 softmax gives for anything but 0."""

_FORMAT, _LIMIT = 1, 4 << 20


@dataclass(frozen=True)
class Calibrator:
    """softmax(scale * log p + bias) of each row of probabilities; scale and bias hold a number for each class.

    temperature: all scales are 1 / T and all biases 0, so that no answer changes. vector: each class has its own.
    """

    method: CalibrationMethod
    scale: tuple[float, ...]
    bias: tuple[float, ...]

    @classmethod
    def at(cls, temperature: float, classes: int) -> Calibrator:
        """Make the calibrator of a temperature."""
        return cls("temperature", (1 / temperature,) * classes, (0.0,) * classes)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibrator:
        """Make a calibrator from what `dataclasses.asdict` returned. Raises ValueError."""
        about = _Content.model_validate(dict(content))
        return cls(about.method, tuple(about.scale), tuple(about.bias))

    @property
    def temperature(self) -> float | None:
        """What logits are divided by; None where each class has a scale of its own."""
        return 1 / self.scale[0] if self.method == "temperature" else None

    @property
    def title(self) -> str:
        """The calibrator in a few words."""
        temperature = self.temperature
        return "vector scaling" if temperature is None else f"temperature {temperature:.2f}"

    def apply(self, probabilities: npt.ArrayLike) -> Floats:
        """Calibrate probabilities (N, C). Logits differ from log p by a constant in each row, which softmax forgets."""
        logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST))
        return softmax_of(logs * np.array(self.scale) + np.array(self.bias))


class _Content(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    method: CalibrationMethod
    scale: Annotated[list[Annotated[float, Field(gt=0, le=1e3)]], Field(min_length=1, max_length=10_000)]
    bias: Annotated[list[Annotated[float, Field(ge=-1e3, le=1e3)]], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _fits(self) -> _Content:
        if len(self.scale) != len(self.bias) or (self.method == "temperature" and len({*self.scale}) > 1):
            raise ValueError("its scales and biases do not fit together")
        return self


def softmax_of(logits: Floats) -> Floats:
    """Compute softmax of each row (N, C)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def write_calibrator(folder: Path, calibrator: Calibrator | None, head: str) -> None:
    """Write an artifact's calibration, or remove it (None). head: the SHA-256 of the artifact's head."""
    path = folder / FILE_NAME
    if calibrator is None:
        path.unlink(missing_ok=True)
        return
    write_json(path, {"format": _FORMAT, "head": head, "method": calibrator.method, "scale": list(calibrator.scale),
                      "bias": list(calibrator.bias)})


def read_calibrator(folder: Path, head: str, classes: int) -> Calibrator | None:
    """Read an artifact's calibration. Returns None where there is none, as in artifacts of earlier versions.

    Raises:
        ModelError: it is damaged, or of another head or number of classes.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    with reading(path, "the calibration of a matlens artifact", ModelError,
                 "Make it again with: matlens evaluate RUN. Or predict with --raw, which does without it."):
        content = read_json(inside(folder, FILE_NAME), _LIMIT)
        calibrator = Calibrator.from_json(content)
        if content["format"] != _FORMAT or content["head"] != head or len(calibrator.scale) != classes:
            raise ValueError("it is of another model, or of another version of matlens")
    return calibrator
