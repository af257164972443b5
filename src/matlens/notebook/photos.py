"""Whether a dataset gives photos in the range that a model takes: [0, 1], or [0, 255]."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from matlens.errors import DataError, LabelsError, ModelError
from matlens.models.frameworks import is_keras
from matlens.system.untrusted import in_short

_FAR_ABOVE = 2.0
"""What no photo in [0, 1] reaches, interpolated or not, and every one in [0, 255] that is not black does."""

_BELOW = 0.1
"""Values below zero by more than this share of the largest one are of photos that were standardised."""

_OFF_ONE = 1e-2
"""How far the shares of all classes may be from 1 in sum: those in float16 are rounded."""

_LOOKED_AT = 8
"""Batches after which photos that are all within [0, 1] are not taken for dark ones in [0, 255]."""


_ENDLESS = -1
"""What tf.data answers to `cardinality` of a dataset without an end."""


class TakenRange(NamedTuple):
    """The range of the photos that a model takes: [0, `top`]; any, where `top` is None.

    sure: the model says so by a first layer of its own; else it is what `build_datasets` gives.
    """

    top: Literal[1, 255] | None
    sure: bool


def taken_range(model: Any) -> TakenRange:
    """Return the range that a model says it takes (`input_range`), that its first layer is made for, or [0, 1]."""
    said = getattr(model, "input_range", None)
    if said is not None:
        return TakenRange({(0, 1): 1, (0, 255): 255}.get(tuple(said)), True)  # type: ignore[arg-type]
    if is_keras(model):
        from matlens.models.keras.preprocessing import range_of_first_layer

        return TakenRange(*range_of_first_layer(model))
    return TakenRange(1, False)


def refuse_endless(dataset: Any, what: str) -> None:
    """Raise DataError for a tf.data.Dataset that is repeated for ever."""
    count = getattr(dataset, "cardinality", None)
    if count is not None and int(count()) == _ENDLESS:
        raise DataError(f"{what} is repeated for ever, so it has no end. Leave .repeat() out, or take a part: "
                        "dataset.take(100)")


def refuse_no_targets(labels: Any, what: str) -> None:
    """Raise LabelsError for labels (B, C) of a batch that a model cannot learn.

    They are shares of the classes, mostly one-hot: in [0, 1], and of several columns with a sum of 1 in each row.
    """
    try:
        rows = np.asarray(labels, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise LabelsError(f"The labels of {what} are no numbers ({in_short(str(error))}). Give one-hot labels."
                          ) from error
    wrong = np.argwhere(~((rows >= 0) & (rows <= 1)))
    if len(wrong):
        row, column = wrong[0]
        raise LabelsError(f"A label of {what} is {rows[row, column]:g} (row {row}, column {column} of a batch), which "
                          "is not between 0 and 1. Give one-hot labels, and leave photos without a label out.")
    sums = rows.sum(axis=1)
    if rows.shape[1] > 1 and len(outside := np.flatnonzero(np.abs(sums - 1) > _OFF_ONE)):
        raise LabelsError(f"The label in row {outside[0]} of a batch of {what} sums to {sums[outside[0]]:g}, not to 1. "
                          "Give one-hot labels: one 1, all else 0. A photo of several classes, or of none, cannot be "
                          "learnt; leave it out.")


def refuse_other_width(labels: Any, outputs: int, what: str) -> None:
    """Raise ModelError for labels (B, C) of a batch that have not a column for each output of a model.

    One column holds class numbers, unless the model's one output tells two classes apart.
    """
    columns = labels.shape[1]
    if columns == outputs:
        return
    if columns == 1:
        raise ModelError(f"The model has {outputs} outputs, and the labels of {what} are class numbers in one column. "
                         f"Make them one-hot: [(images, numpy.eye({outputs})[numpy.asarray(labels, int)[:, 0]]) for "
                         f"images, labels in {what}]")
    raise ModelError(f"The model has {outputs} outputs, but {what} has {columns} classes. Build it with "
                     f"num_classes={columns} (NUM_CLASSES).")


class PhotoCheck:
    """Hold the batches of one dataset to what a model takes. what: the dataset's name in messages.

    Batches after the first pass are those of the first, and are not looked at again.
    """

    def __init__(self, model: Any, what: str) -> None:
        self._taken, self._what = taken_range(model), what
        self._photos = self._batches = 0
        self._largest, self._between, self._ended = -np.inf, False, False

    def batch(self, images: Any) -> None:
        """Raise DataError for photos that are none, or of another range."""
        if self._ended:
            return
        photos = np.asarray(images)
        if photos.dtype.kind == "V":  # bfloat16
            photos = photos.astype(np.float32)
        if photos.dtype.kind not in "biuf" or not photos.size:
            raise DataError(f"{self._what} gives images of the shape {photos.shape} and type {photos.dtype}. Give "
                            "photos (B, H, W, 3) of numbers, at least one a batch.")
        low, high = float(photos.min()), float(photos.max())
        if not np.isfinite((low, high)).all():
            number = np.flatnonzero(~np.isfinite(photos.reshape(len(photos), -1)).all(axis=1))[0] + self._photos
            raise DataError(f"Photo {number} of {self._what} holds values that are no numbers (NaN or infinite). Look "
                            "at how it is read; a division by a deviation of 0 makes such values.")
        self._note(photos, low, high)
        if self._is_too_high(photos, low, high):
            self._refuse(1, f"those of batch {self._batches} go from {low:g} to {high:g}, {photos.dtype}", "/ 255", 255)
        if self._batches == _LOOKED_AT:
            self._refuse_units()
        self._photos += len(photos)

    def end(self) -> None:
        """End the first pass. Raises DataError where all photos were in [0, 1], and the model takes [0, 255]."""
        self._refuse_units()
        self._ended = True

    def _refuse_units(self) -> None:
        if self._taken.top == 255 and self._largest <= 1 + 1e-3 and self._between:
            self._refuse(255, f"no value is above {self._largest:g}", "* 255", 1)

    def _note(self, photos: npt.NDArray[Any], low: float, high: float) -> None:
        self._batches += 1
        self._largest = max(self._largest, high)
        if self._taken.top == 255 and self._largest <= 1 + 1e-3 and not self._between:
            self._between = low < 0 or bool(np.any(photos != np.round(photos)))

    def _is_too_high(self, photos: npt.NDArray[Any], low: float, high: float) -> bool:
        if self._taken.top != 1:
            return False
        if photos.dtype.kind in "iu" or (self._taken.sure and low < -0.5):
            return True
        return high > _FAR_ABOVE and low >= -_BELOW * high

    def _refuse(self, top: int, seen: str, mend: str, other: int) -> None:
        raise DataError(
            f"The photos of {self._what} are not in [0, {top}], which the model takes: {seen}. Scale them with: "
            f"{self._what}.map(lambda images, labels: (images {mend}, labels)), of a list with: [(images {mend}, "
            f"labels) for images, labels in {self._what}]. A model that takes [0, {other}] says so by: "
            f"model.input_range = (0, {other})")
