"""The trained models of a run, to predict and explain with: by their artifacts, or by their own frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from matlens.errors import ModelError
from matlens.features.artifact import Artifact, Trunk, remark_on
from matlens.models.remote.client import RemoteClassifier
from matlens.runs.orders import build_order
from matlens.runs.record import RunRecord


@dataclass(frozen=True)
class FrameworkArtifact(Artifact):
    """A marked artifact, of which only head and description are used: the model's framework computes the features.

    run, name: of the model. The framework gets a process of its own when features are first asked for, and computes
    them in float32. That process ends with this value.
    """

    run: RunRecord | None = None
    name: str = ""

    @cached_property
    def trunk(self) -> Trunk:
        """The model file, loaded in its framework. Raises ModelError where that, or the file, is not there."""
        assert self.run is not None
        settings = self.run.settings
        order = build_order(settings, self.name, len(self.class_names), img_size=self.img_size, device=settings.device)
        return RemoteClassifier(order, settings.seed, self.run.paths.model_file(self.name))


def trained_artifact(run: RunRecord, name: str) -> Artifact:
    """Open the artifact of a run's model; where it is marked, the model's framework computes the features instead.

    Raises:
        ModelError: the artifact is missing or damaged.
    """
    artifact = Artifact.open(run.paths.artifact(name), marked_too=True)
    return FrameworkArtifact(**vars(artifact), run=run, name=name) if artifact.unconfirmed else artifact


def remark_on_artifact(run: RunRecord, name: str) -> str:
    """Return the remark on a model's artifact. One that is gone, or damaged, has none: whoever predicts is told."""
    try:
        return remark_on(run.paths.artifact(name))
    except ModelError:
        return ""
