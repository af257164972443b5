"""Plan the stages in which a model is trained, and the trunks that have to be converted for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matlens.errors import ModelError
from matlens.features.trunks import LAST_LAYERS, TrunkOrder
from matlens.models.registry import spec_of
from matlens.models.spec import ModelSpec
from matlens.runs.orders import build_order
from matlens.settings.schema import Settings
from matlens.training.stages.base import Stage
from matlens.training.stages.head_on_features import HeadOnFeatures
from matlens.training.stages.linear_head import LinearHead
from matlens.training.stages.nearest_photos import NearestPhotos
from matlens.training.stages.tail_on_activations import TailOnActivations
from matlens.training.stages.tail_on_photos import TailOnPhotos
from matlens.training.stages.whole_network import WholeNetwork
from matlens.training.strong import STRONG


def plan(settings: Settings, spec: ModelSpec, weights: Path | None) -> tuple[Stage, ...]:
    """Return the stages of a model's training, in their order.

    weights: the file of pretrained weights. Without one nothing can be frozen: the whole network is trained on photos.

    Raises:
        ModelError: the recipe `probe` without pretrained weights, or for a model whose features it cannot take.
    """
    epochs, cached = settings.epochs(spec.name), settings.feature_cache
    if settings.recipe == "strong":
        return _strong(settings, spec, weights is not None)
    if settings.recipe == "probe":
        refuse_no_probe(settings, spec)
        if weights is None:
            raise ModelError(f"{spec.name}: the recipe probe fits a head on a pretrained trunk, and there are no "
                             f"pretrained weights here. Put {_first_file(settings, spec)} into a folder and name it "
                             "with --weights-dir FOLDER, or use --recipe guide, which trains the whole network.")
        return (NearestPhotos(epochs) if settings.head == "knn" else LinearHead(epochs),)
    if weights is None or not settings.finetune_epochs:
        return (HeadOnFeatures(epochs) if weights and spec.head and cached else WholeNetwork(epochs),)
    more = settings.finetune_epochs
    if spec.head is None and settings.cut is None:
        return WholeNetwork(epochs), TailOnPhotos(more, is_second=True)
    if spec.head is None:  # no first stage: frozen up to the cut from the start
        tail = TailOnActivations if cached else TailOnPhotos
        return (tail(epochs + more, cut=settings.cut),)
    stages = HeadOnFeatures(epochs), TailOnActivations(more, cut=settings.cut or LAST_LAYERS, is_second=True)
    return stages if cached else tuple(stage.on_photos() for stage in stages)


def refuse_no_probe(settings: Settings, spec: ModelSpec) -> None:
    """Raise ModelError where the recipe `probe` cannot be that of a model, whatever weights are on this machine."""
    def reason(spec: ModelSpec) -> str:
        if spec.weights is None:
            return "has no published weights"
        if settings.features == "multi" and spec.framework == "keras" and spec.backbone is None:
            return "is no backbone under a head, so --features multi cannot look inside it"
        return "pools by a maximum" if spec.pooling == "max_flatten" else ""

    if not (why := reason(spec)):
        return
    able = ",".join(name for name in settings.models if not reason(spec_of(name)))
    raise ModelError(f"{spec.name}: the recipe probe fits a head on pooled features of a pretrained trunk, and this "
                     f"model {why}. "
                     + (f"Leave it out with --models {able}, or use" if able else "Use") + " --recipe guide.")


def _first_file(settings: Settings, spec: ModelSpec) -> str:
    return spec.weights_files(settings.options_of(spec.name), settings.img_size[0])[0].name


def _strong(settings: Settings, spec: ModelSpec, is_pretrained: bool) -> tuple[Stage, ...]:
    """Return the stages of the recipe `strong`: the head, where the model declares one, and what follows a cut."""
    epochs, cached, cut = settings.epochs(spec.name), settings.feature_cache, settings.cut or spec.strong_cut
    if not is_pretrained or (cut is None and spec.head is None):
        return (WholeNetwork(epochs, "strong"),)
    tail = TailOnActivations if cached and cut is not None else TailOnPhotos  # without a cut nothing stays frozen
    if spec.head is None:
        return (tail(epochs, "strong", cut),)
    head = HeadOnFeatures(min(STRONG.head_epochs, epochs), views=1)
    return head if cached else head.on_photos(), tail(epochs, "strong", cut, is_second=True)


def trunk_orders(settings: Settings, weights: Mapping[str, Path | None], num_classes: int) -> list[TrunkOrder]:
    """List the trunks that the plans of models need. weights: files of pretrained weights by model.

    Raises ModelError where there is no plan for one of them.
    """
    return [TrunkOrder(build_order(settings, model, num_classes, file and file.resolve(), device=settings.device),
                       until) for model, file in weights.items()
            for stage in plan(settings, spec_of(model), file) for until in stage.trunks]
