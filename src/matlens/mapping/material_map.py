"""Say which material is where in a photo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.errors import SettingsError
from matlens.features.artifact import Artifact
from matlens.features.calibrator import SMALLEST
from matlens.features.novelty.stored import FALSE_ALARMS, Novelty
from matlens.mapping.pooling import Patches, agreed
from matlens.mapping.sizes import SCALES, Scaled, map_size, scaled_sizes
from matlens.mapping.superpixels import superpixels
from matlens.mapping.trunk import resized, whole_trunk
from matlens.mapping.windows import answered_windows, weights_of
from matlens.types import Array, Floats, Labels, Pixels

WINDOW = 1.25
"""The usual side of a neighbourhood, as a share of the side of the photos that a network was trained on."""

UNKNOWN = -1
"""The number of places that show none of the classes."""

_WIDER, _AROUND = 4.0, 1.0
"""How far the neighbourhoods reach whose features say whether a place is known, in that by which it is answered: one of
like colour, and one of any. Both must look strange: what says so was fitted on whole photos, and a small area, or one
of a single colour, differs from these by that alone. Chosen on validation mosaics."""

_SUPERPIXELS = 9
"""Along the side of a photo of the size that a network was trained on, where that does not make more than _MOST."""
_MOST = 2000
_ROWS = 256
"""Superpixels that a head answers at once."""


@dataclass(frozen=True)
class MapOptions:
    """How a map is made.

    scales: of the photo's sides. Their log-probabilities are averaged; what is unknown is so at each of them.
    window: the side of the neighbourhood that a place is answered by, as a share of the side of the photos that the
        network was trained on. It is that of a square whose places are as far from its middle as the weights reach.
    false_alarms: the share of photos like the validation photos that may be called unknown.
    """

    scales: tuple[float, ...] = SCALES
    window: float = WINDOW
    false_alarms: float = FALSE_ALARMS

    def __post_init__(self) -> None:
        if not 0.1 <= self.window <= 10:
            raise SettingsError(f"--window is from 0.1 to 10 sides of the network's photos, and not {self.window:g}.")


@dataclass(frozen=True, eq=False)
class MaterialMap:
    """Which material is where.

    photo: (H, W, 3) uint8, at the map's size. photo_size: (height, width) before it was made smaller for the map.
    segments: (H, W) int32, the superpixel of each pixel. answers: (S,), the class number of each, whether or not it is
    known. confidence: (S,), the probability of that class. unknown: (S,), whether it looks like none of the classes;
    None where the model does not tell. scales: those that were computed. whole: whether the trunk took the photo at
    once, and not in windows.
    """

    class_names: tuple[str, ...]
    photo: Pixels
    photo_size: tuple[int, int]
    segments: npt.NDArray[np.int32]
    answers: Labels
    confidence: Floats
    unknown: npt.NDArray[np.bool_] | None
    scales: tuple[Scaled, ...]
    whole: bool

    @property
    def numbers(self) -> Labels:
        """The class number of each pixel, (H, W); UNKNOWN where it is of none of the classes."""
        known = self.answers if self.unknown is None else np.where(self.unknown, UNKNOWN, self.answers)
        return np.asarray(known[self.segments], dtype=np.int64)

    @property
    def shares(self) -> dict[int, float]:
        """The share of the area of each class that is there, by number, the largest first; UNKNOWN last."""
        found, counts = np.unique(self.numbers, return_counts=True)
        shares = dict(zip(found.tolist(), (counts / counts.sum()).tolist(), strict=True))
        return dict(sorted(shares.items(), key=lambda entry: (entry[0] == UNKNOWN, -entry[1])))

    def confidence_of(self, number: int) -> float:
        """Return the mean confidence over the area of a class."""
        sizes = np.bincount(self.segments.ravel(), minlength=len(self.answers))
        own = self.answers == number
        if self.unknown is not None:
            own &= ~self.unknown
        return float((self.confidence * sizes)[own].sum() / max(sizes[own].sum(), 1))

    def about(self) -> dict[str, Any]:
        """Return what is known of the map but its pixels, as JSON values."""
        sizes = np.bincount(self.segments.ravel(), minlength=len(self.answers))
        shares = self.shares
        return {"classes": {self.class_names[number]: {"number": number, "share": round(share, 6),
                                                       "confidence": round(self.confidence_of(number), 6)}
                            for number, share in shares.items() if number != UNKNOWN},
                "unknown_share": None if self.unknown is None else round(shares.get(UNKNOWN, 0.0), 6),
                "confidence": round(float((self.confidence * sizes).sum() / sizes.sum()), 6),
                "size": list(self.segments.shape), "photo_size": list(self.photo_size),
                "scales": [{"factor": round(scaled.factor, 4), "size": list(scaled.size)} for scaled in self.scales],
                "by": "whole photo" if self.whole else "windows", "superpixels": len(self.answers)}


def material_map(artifact: Artifact, photo: Pixels, options: MapOptions = MapOptions()) -> MaterialMap:
    """Map the materials in a photo (H, W, 3) uint8 of any size. Raises ModelError."""
    photo_size = photo.shape[0], photo.shape[1]
    photo = resized(photo, map_size(*photo_size))
    height, width = photo.shape[:2]
    side = sum(artifact.img_size) / 2
    enlarged = min(1.0, min(height, width) / (side / 2))  # a tiny photo is enlarged for the trunk, superpixels are not
    step = max(1.0, side * enlarged / _SUPERPIXELS, math.sqrt(height * width / _MOST))
    while max(1, round(height / step)) * max(1, round(width / step)) > 1.2 * _MOST:  # it is far longer than wide
        step *= 1.2
    patches = Patches.of(photo, superpixels(photo, step))
    reach = max(options.window * side * enlarged / math.sqrt(12), 0.5)
    near = patches.neighbourhood(reach)
    found = _by_whole_photo(artifact, photo, patches, near, reach, options.scales)
    whole = found is not None
    scales, told = found or _by_windows(artifact, photo, patches, options.scales)
    calibrator = artifact.calibrator
    logs = np.asarray(np.mean([np.log(np.maximum(calibrator.apply(own) if calibrator else own, SMALLEST))
                               for own, _ in told], axis=0), dtype=np.float64)
    answers = agreed(logs, near)
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    confidence = (raised / raised.sum(axis=1, keepdims=True))[np.arange(len(answers)), answers]
    unknown = None
    if artifact.novelty is not None and artifact.novelty.tells(options.false_alarms):
        chances = np.max([chance for _, chance in told], axis=0)
        unknown = artifact.novelty.are_unknown(chances, options.false_alarms)
    return MaterialMap(artifact.class_names, photo, photo_size, patches.segments, answers, confidence, unknown,
                       tuple(scales), whole)


_Told = tuple[Array, Floats]
"""Of superpixels at one scale: the network's own probabilities (S, C), and p values of being known (S,)."""


def _by_whole_photo(artifact: Artifact, photo: Pixels, patches: Patches, near: Array, reach: float,
                    scales: Sequence[float]) -> tuple[list[Scaled], list[_Told]] | None:
    """Let the head answer the mean features around each superpixel; None where the trunk takes no whole photo."""
    trunk = whole_trunk(artifact)
    if trunk is None:
        return None
    sizes = scaled_sizes((photo.shape[0], photo.shape[1]), scales, artifact.img_size, trunk.step)
    wide = () if artifact.novelty is None else (
        patches.neighbourhood(_WIDER * reach), patches.neighbourhood(_AROUND * reach, of_any_colour=True))
    told = []
    for scaled in sizes:
        maps = trunk.features(resized(photo, scaled.size))
        if maps is None:
            return None
        means = patches.means_of(maps)
        pooled = near @ means
        own = np.concatenate([artifact.head.probabilities(pooled[first:first + _ROWS, None, None])
                              for first in range(0, len(pooled), _ROWS)])
        chances = [_chances(artifact.novelty, weights @ means) for weights in wide]
        told.append((own, np.max(chances, axis=0) if chances else np.ones(len(own))))
    return sizes, told


def _by_windows(artifact: Artifact, photo: Pixels, patches: Patches, scales: Sequence[float],
                ) -> tuple[list[Scaled], list[_Told]]:
    """Average over the windows around each superpixel what the network answers to them."""
    told: list[_Told] = []
    sizes: list[Scaled] = []
    for scaled in scaled_sizes((photo.shape[0], photo.shape[1]), scales, artifact.img_size, 1):
        size = tuple(max(length, side) for length, side in zip(scaled.size, artifact.img_size, strict=True))
        if any(size == before.size for before in sizes):
            continue
        sizes.append(Scaled(scaled.factor, (size[0], size[1])))
        answered = answered_windows(artifact, resized(photo, (size[0], size[1])))
        shape = np.array(photo.shape[:2])
        points = patches.places.astype(np.float64) * (np.array(size) / shape)
        down = weights_of(points[:, 0], answered.tops, artifact.img_size[0])
        right = weights_of(points[:, 1], answered.lefts, artifact.img_size[1])
        logs = np.log(np.maximum(answered.probabilities.astype(np.float64), SMALLEST))
        mean = np.exp(np.einsum("st,su,tuc->sc", down, right, logs, optimize=True))
        rows, columns, channels = answered.features.shape
        p_values = _chances(artifact.novelty, answered.features.reshape(-1, channels)).reshape(rows, columns)
        told.append(((mean / mean.sum(axis=1, keepdims=True)).astype(np.float32),
                     np.einsum("st,su,tu->s", down, right, p_values, optimize=True)))
    return sizes, told


def _chances(novelty: Novelty | None, features: Array) -> Floats:
    """Return p values of features (N, K): how many validation photos look as strange. All 1 where nothing tells."""
    return np.ones(len(features)) if novelty is None else novelty.p_values(features)
