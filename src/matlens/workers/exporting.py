"""Export a trained classifier as the artifact of its run."""

from __future__ import annotations

from matlens.data.batches import read_photos
from matlens.features.artifact import Artifact, write_artifact
from matlens.runs.run import Run
from matlens.workers.voting import Trained

_PARITY_PHOTOS = 8
"""The number of validation photos on which the artifact is compared with the framework."""


def export_artifact(run: Run, model: str, classifier: Trained, *, keep_marked: bool) -> Artifact:
    """Write the artifact of a classifier, whole or not at all.

    keep_marked: where it differs from the framework, or cannot be converted, write it all the same, and mark it.

    Raises:
        ConversionError: it differs, or cannot be converted, and is not to be kept; what was there before stays.
    """
    settings, split = run.settings, run.split
    photos = next(read_photos(run.data_root, split.part("val")[:_PARITY_PHOTOS], settings.img_size,
                              keep_truncated=settings.keep_truncated))
    return write_artifact(run.paths.artifact(model), classifier.export_trunk, classifier.predict, photos, model,
                          split.class_names, mirrored=settings.recipe == "strong",
                          head_alone=classifier.head if keep_marked else None)
