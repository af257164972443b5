"""What all stages of a training have in common, and their registry.

A stage is a frozen dataclass of plain values: the parent process plans and prepares it, and the child process executes
the same object, which reaches it as JSON under the stage's registered name.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Literal

from pydantic import PlainSerializer, PlainValidator

from matlens.data.batches import PhotoBatches
from matlens.data.imbalance import logit_shift
from matlens.data.pixels.store import PixelStore
from matlens.errors import WorkerError
from matlens.features.artifact import assemble_artifact
from matlens.features.model_file import HeadTask, write_model_file
from matlens.features.precision.comparison import PrecisionComparison
from matlens.models.head import AnyHead, Head
from matlens.models.heads.knn import KnnHead
from matlens.models.protocol import Divisible, Tunable
from matlens.runs.run import Run
from matlens.system.files import write_json
from matlens.system.registry import Registry
from matlens.system.transport import decode, encode, run_job
from matlens.training.checkpoints import Checkpoints, forget_states
from matlens.training.feature_batches import FeatureBatches
from matlens.training.frozen import FrozenFeatures
from matlens.training.history import History
from matlens.training.loop import TrainingListener, fit
from matlens.training.record import about_model, training_record
from matlens.training.strong import fit_strong

Batches = PhotoBatches | FeatureBatches


@dataclass(frozen=True)
class NetworkTraining:
    """A network that stages train in a child process, with the data and the listeners of the training."""

    run: Run
    model: str
    classifier: Divisible
    store: PixelStore
    listener: TrainingListener
    checkpoints: Checkpoints

    def save(self) -> None:
        """Write the model file."""
        self.classifier.save(self.run.paths.model_file(self.model),
                             about_model(self.model, self.run.split, self.run.settings))


@dataclass(frozen=True)
class TrainedHead:
    """A head, and the key of the features (of view 0) on which it was trained. remarks: on how it was chosen."""

    history: History
    head: AnyHead
    features_key: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage(ABC):
    """One stage of a training. epochs: their number at most."""

    epochs: int

    name: ClassVar[str]
    """Under which the stage is registered."""

    is_on_features: ClassVar[bool] = False
    """Whether it trains on cached features or activations, which show each photo in fixed views."""

    needs_features: ClassVar[bool] = False
    """Whether it cannot be done on photos, so that a trunk that cannot be converted fails the training."""

    @property
    def trunks(self) -> tuple[str | None, ...]:
        """The layers up to which the parent converts the trunk for this stage; None is the whole trunk."""
        return ()

    def prepare(self, frozen: FrozenFeatures) -> Stage | None:
        """Compute in the parent what the stage trains on, and return the stage with it.

        Returns None, after a warning, where there is no room: all stages of the training then train on photos.
        """
        return self

    def on_photos(self) -> Stage:
        """Return the stage that trains the same on photos, without any cache."""
        return self


@dataclass(frozen=True)
class HeadStage(Stage):
    """A stage that trains a head on features in the parent process, without a framework. It can only be the first."""

    is_on_features: ClassVar[bool] = True

    @property
    def trunks(self) -> tuple[str | None, ...]:
        """The whole trunk."""
        return (None,)

    @abstractmethod
    def train(self, frozen: FrozenFeatures, *, is_last: bool) -> TrainedHead:
        """Train the head and leave the model file. is_last: whether no other stage follows."""

    def finish(self, frozen: FrozenFeatures, trained: TrainedHead, remarks: tuple[str, ...],
               compared: PrecisionComparison | None = None) -> None:
        """Leave the artifact and, last, the record of the training. Called where no other stage follows.

        compared: what features in fewer bits cost, where they were asked for.
        """
        run, model, split, trunk = frozen.run, frozen.model, frozen.prepared.split, frozen.trunk(None)
        artifact = assemble_artifact(run.paths.artifact(model), trunk, trained.head, model, split.class_names,
                                     run.settings.img_size)
        frozen.clock.lap("export")
        write_json(run.paths.training_file(model), training_record(
            model, trained.history, split, artifact, frozen.clock.seconds, parameters=trunk.parameters,
            weights_file=frozen.weights_file, remarks=(*trained.remarks, *remarks), versions=trunk.versions,
            views=run.settings.views, features_key=trained.features_key, judged_features_key=frozen.judged_key(),
            feature_precision=compared))
        forget_states(run.paths, model)


def adjusted(head: AnyHead, frozen: FrozenFeatures) -> AnyHead:
    """Return a trained head with the logit adjustment that the settings ask for."""
    shift = logit_shift(frozen.run.settings, frozen.prepared.split)
    return head if shift is None else head.shifted(shift)


def leave_model_file(frozen: FrozenFeatures, head: AnyHead) -> None:
    """Write the model file: the converted model's own, with a trained head. Keras' takes no process of Keras.

    A framework's network holds no training photos: where they vote, its file calls all classes equally probable.
    """
    if isinstance(head, KnnHead):
        head = head.blank()
    assert isinstance(head, Head)
    run, model, trunk = frozen.run, frozen.model, frozen.trunk(None)
    path, about = run.paths.model_file(model), about_model(model, frozen.prepared.split, run.settings)
    if trunk.model_template.suffix == ".h5":
        write_model_file(trunk.model_template, head, path, about)
        return
    with TemporaryDirectory() as folder:
        head.save(file := Path(folder) / "head.npz")
        order = replace(frozen.conversions.of(model, None).order.build, weights_file=None)
        run_job("put_head", HeadTask(order, trunk.model_template, file, path.resolve(), json.dumps(about)),
                run.paths.log_file(model))


@dataclass(frozen=True)
class NetworkStage(Stage):
    """A stage that trains a network in a child process, with its framework."""

    recipe: Literal["guide", "strong"] = "guide"

    @property
    def cut_layer(self) -> str | None:
        """The layer at which the cached activations were taken; None where it trains on photos."""
        return None

    @property
    def trained_after(self) -> str | None:
        """The layer after which the network is trained; None where no layer was named."""
        return None

    @property
    def decided_by(self) -> list[str | int | None]:
        """What decides the training besides settings and weights: the cut, the layer of activations, their views."""
        return [None, None, 0]

    @property
    def views(self) -> int:
        """The number of fixed views of each photo on which it trains; 0 where it trains on photos."""
        return 0

    @property
    def states(self) -> str:
        """The name of the states that the stage leaves (`training.checkpoints`)."""
        return "strong" if self.recipe == "strong" else "train"

    def photos_an_epoch(self, photos: int) -> int:
        """Return the number of photos that an epoch takes of a training part of so many photos."""
        return photos

    @abstractmethod
    def network(self, classifier: Divisible) -> Tunable:
        """Make the classifier ready for this stage, and return what is trained of it."""

    @abstractmethod
    def batches(self, work: NetworkTraining) -> tuple[Batches, Batches]:
        """Return the batches of training and of validation."""

    def train(self, work: NetworkTraining, history: History) -> History:
        """Train the network by the stage's recipe, and continue the history of earlier stages."""
        train, val = self.batches(work)
        network, settings = self.network(work.classifier), work.run.settings
        if self.recipe == "strong":
            return fit_strong(network, train, val, work.listener, epochs=self.epochs, steps=len(train),
                              save_best=work.save, history=history, checkpoints=work.checkpoints)
        first = history.epochs[-1].number if history.epochs else 0
        return fit(network, train, val, work.listener, epochs=first + self.epochs, initial_epoch=first,
                   early_stopping_patience=settings.early_stopping_patience,
                   reduce_lr_patience=settings.reduce_lr_patience, history=history, save_best=work.save,
                   states=work.checkpoints.of(self.states, network))


STAGES: Registry[type[Stage]] = Registry("stage", "matlens.training.stages", WorkerError)
"""The stages by name."""

register = STAGES.register


def _to_json(stage: Stage) -> dict[str, Any]:
    return {"stage": stage.name, **encode(stage)}


def _from_json(content: Mapping[str, Any] | Stage) -> Stage:
    if isinstance(content, Stage):
        return content
    return decode({key: value for key, value in content.items() if key != "stage"}, STAGES[content["stage"]])


AnyStage = Annotated[Stage, PlainSerializer(_to_json), PlainValidator(_from_json)]
"""A stage as a field of a task: it crosses to another process under its registered name."""
