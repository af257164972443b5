"""Put beside an artifact's network what an evaluation found: a calibration, and what it knows of unknown photos.

`copies` are artifacts that get the same, such as the INT8 version, where they have the same head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matlens.errors import ModelError
from matlens.features.artifact import of_same_head
from matlens.features.calibrator import Calibrator, write_calibrator
from matlens.features.novelty.stored import Novelty, write_novelty


def calibrate_artifact(folder: Path, calibrator: Calibrator | None, copies: Sequence[Path] = ()) -> None:
    """Give an artifact a calibration in place of any that it has; None takes it away. Raises ModelError or WriteError.
    """
    head, classes, places = of_same_head(folder, copies)
    if calibrator is not None and len(calibrator.scale) != classes:
        raise ModelError(f"{folder} has {classes} classes, and the calibration {len(calibrator.scale)}. "
                         "Make both again with: matlens export RUN; matlens evaluate RUN")
    for place in places:
        write_calibrator(place, calibrator, head)


def note_novelty(folder: Path, novelty: Novelty | None, copies: Sequence[Path] = ()) -> None:
    """Give an artifact what is known of unknown photos, likewise. Raises ModelError or WriteError."""
    head, _, places = of_same_head(folder, copies)
    for place in places:
        write_novelty(place, novelty, head)
