"""The training photos that a photo is most like, with small pictures where the run's photos still lie there.

Only photos that the run's split names are opened, only where their content still has the SHA-256 that it states, and
what is given away is decoded and encoded again. So a stranger's run, whatever folder it names, shows nothing that its
maker did not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.thumbnails import THUMBNAIL_SIDE, Thumbnail, small_jpeg
from matlens.data.pixels.values import as_floats
from matlens.data.split.splits import Split
from matlens.errors import DataError, MatlensError
from matlens.features.artifact import Artifact
from matlens.runs.record import RunRecord
from matlens.system.console import command
from matlens.types import Pixels

SHOWN = 5
"""Training photos that are given for each photo."""

_MOST_PIXELS = 50_000_000
_MOST_KEPT = 2000
"""Small pictures that are kept in memory: of 5 kB each, 10 MB."""


@dataclass(frozen=True, eq=False)
class RunPhotos:
    """The photos of a run. root: the dataset's folder, as the run records it. digests: the SHA-256 of each by path."""

    root: Path
    digests: Mapping[str, str]
    keep_truncated: bool = False
    _kept: dict[str, Thumbnail] = field(default_factory=dict)

    @classmethod
    def of_run(cls, run: RunRecord) -> RunPhotos | None:
        """Return the photos of a run's split; None where its split cannot be read."""
        try:
            split = Split.read(run.paths.split_file)
        except DataError:
            return None
        return cls(run.data_root, {photo.path: photo.sha256 for photo in split.photos}, run.settings.keep_truncated)

    @classmethod
    def of_artifact(cls, folder: Path) -> RunPhotos | None:
        """Return the photos of the run that an artifact lies in; None where it lies in none that can be read."""
        if folder.absolute().parent.name != "models":
            return None
        try:
            return cls.of_run(RunRecord.read(folder.absolute().parent.parent))
        except MatlensError:
            return None

    def thumbnail(self, path: str) -> Thumbnail | None:
        """Make a small picture of a photo of the split; None where the photo is not there, or is another one now."""
        if path in self._kept:
            return self._kept[path]
        digest = self.digests.get(path)
        if digest is None:
            return None
        reader = PhotoReader(min_size=(THUMBNAIL_SIDE, THUMBNAIL_SIDE), keep_truncated=self.keep_truncated,
                             most_pixels=_MOST_PIXELS)
        pixels = reader.attempt(self.root / path, digest)
        if isinstance(pixels, Problem):
            return None
        made = small_jpeg(pixels)
        if len(self._kept) < _MOST_KEPT:
            self._kept[path] = made
        return made


def nearest_to(artifact: Artifact, photo: Pixels) -> dict[str, Any]:
    """Find the training photos that are most like a photo (H, W, 3) uint8 of the model's size.

    Returns `photos`, a list of {path, class, similarity}, the most alike first, and `remark`: why there are none, or
    None.
    """
    novelty = artifact.novelty
    if novelty is None or novelty.training is None:
        return {"photos": [], "remark": "The artifact does not hold the names and features of its training photos. "
                                        f"This adds them, or says why not: {command('evaluate', 'RUN')}"}
    training = novelty.training
    _, features = artifact.predict_with_features(as_floats(photo[None]))
    places, similarities = training.nearest(features, SHOWN)
    return {"photos": [{"path": training.paths[place], "class": artifact.class_names[training.labels[place]],
                        "similarity": float(similarity)}
                       for place, similarity in zip(places[0], similarities[0], strict=True)], "remark": None}


def with_pictures(nearest: dict[str, Any], photos: RunPhotos | None) -> dict[str, Any]:
    """Add small pictures to what `nearest_to` returned: `jpeg` in base64, `width` and `height`; None without one.

    `remark` then says why pictures are missing.
    """
    found = nearest["photos"]
    pictures = [photos.thumbnail(each["path"]) if photos is not None else None for each in found]
    without, remark = sum(picture is None for picture in pictures), nearest["remark"]
    if found and photos is None:
        remark = ("The model is served without its run, which says where the photos lie, or the run's split cannot be "
                  "read: names stand alone.")
    elif without:
        remark = (f"{without} of these photos do not lie where they lay when the run was made, or were changed: their "
                  "names stand alone.")
    return {**nearest, "remark": remark, "photos": [
        {**each, "jpeg": small and small.base64, "width": small and small.width, "height": small and small.height}
        for each, small in zip(found, pictures, strict=True)]}
