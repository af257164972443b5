"""A trained model of a run, by its portable artifact, as something that can be explained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matlens.features.artifact import Artifact
from matlens.models.capabilities.attention import Attention, no_attention
from matlens.models.head import AnyHead
from matlens.models.heads.knn import KnnHead
from matlens.runs.run import Run
from matlens.system.transport import Event, run_job
from matlens.types import Array, Labels, Pixels
from matlens.workers.jobs.attention import AttentionTask
from matlens.workers.jobs.gradients import GradientsTask


@dataclass(frozen=True)
class Layer:
    """A layer of a trained model by the framework's name for it, such as `block_13_expand_relu`; "": the model's own.
    """

    run: Run
    model: str
    name: str


@dataclass(frozen=True)
class ArtifactModel:
    """An artifact, explained at the trunk's last layer without a framework, or at another layer with it.

    layer: None for the trunk's last.
    run: that trained it, whose model file a framework can open; None where the artifact is all there is.
    """

    artifact: Artifact
    layer: Layer | None = None
    run: Run | None = None

    @property
    def head(self) -> AnyHead | None:
        """The artifact's head, which follows the trunk's last layer; None at another layer."""
        return self.artifact.head if self.layer is None else None

    def features(self, images: Array) -> Array:
        """Return the trunk's feature maps, (B, h, w, K)."""
        return self.artifact.trunk.features(images)

    def predict(self, images: Array, of_photos: Array | None = None) -> Array:
        """Return probabilities (B, C), with the mirror images' where the artifact takes these too."""
        return self.artifact.predict(images, of_photos)

    @classmethod
    def of_run(cls, run: Run, artifact: Artifact, layer: str | None = None) -> ArtifactModel:
        """Return the model of an artifact of a run, explained at a layer; None: at the last that tells of places.

        Where a class token alone goes into the head, the trunk's last layer tells of none: its patches have no
        gradient. The framework then differentiates at the input of the last block; votes of training photos it does
        not know, and then nothing speaks for any place.
        """
        is_of_framework = layer is not None or not (
            artifact.head.tells_of_places or isinstance(artifact.head, KnnHead))
        return cls(artifact, Layer(run, artifact.model_name, layer or "") if is_of_framework else None, run)

    def gradients(self, photos: Pixels | Array, classes: Labels, heat: Callable[[Array, Array], Array]) -> Array:
        """Start a process in which the framework differentiates the model file at the layer.

        Raises:
            ModelError: the layer is not there or gives no feature map (the message names some that do), or the
                framework is not installed.
        """
        assert self.layer is not None
        run, name, layer = self.layer.run, self.layer.model, self.layer.name
        return _by_job("gradients", run, name, {"photos": photos, "classes": classes},
                       lambda given: GradientsTask(run.path.resolve(), name, layer, given),
                       lambda arrays: heat(arrays["features"], arrays["gradients"]))

    def attention(self, photos: Pixels | Array, heat: Callable[[Attention], Array]) -> Array:
        """Start a process in which the framework reads what tokens attend to from the model file.

        Raises:
            ModelError: the model is no vision transformer, its attention cannot be read, there is no model file, or the
                framework is not installed.
        """
        run, name = self.run, self.artifact.model_name
        if run is None:
            raise no_attention(name, "its artifact alone is given, and the attention is in its model file")
        return _by_job("attention", run, name, {"photos": photos},
                       lambda given: AttentionTask(run.path.resolve(), name, given),
                       lambda arrays: heat(Attention(arrays["blocks"], arrays["pooled"],
                                                     (int(arrays["grid"][0]), int(arrays["grid"][1])))))


def _by_job(kind: str, run: Run, model: str, given: Mapping[str, Any], task: Callable[[Path], object],
            heat: Callable[[Mapping[str, Array]], Array]) -> Array:
    """Return the heat maps (N, h, w) that `heat` makes of the arrays that a job writes, some photos a file.

    given: the arrays for the job. task: makes its task of the file of these.
    """
    maps: list[Array] = []

    def hear(event: Event) -> None:
        path = Path(event["file"])
        with np.load(path, allow_pickle=False) as file:
            maps.append(heat(file))
        path.unlink()

    with tempfile.TemporaryDirectory(prefix="matlens-") as scratch:
        path = (Path(scratch) / "photos.npz").resolve()
        np.savez(path, **given)
        run_job(kind, task(path), run.paths.log_file(model), hear)
    return np.concatenate(maps)
