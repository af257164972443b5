"""What of a model is frozen, and so computed once, and what is trained on that."""

from __future__ import annotations

from pathlib import Path

import pytest

from matlens.errors import ModelError
from matlens.features.trunks import LAST_LAYERS
from matlens.models.capabilities.cuts import no_cut
from matlens.models.registry import spec_of
from matlens.settings.schema import Settings
from matlens.training.plan import plan, trunk_orders
from matlens.training.stages.base import HeadStage, NetworkStage
from matlens.training.stages.head_on_features import HeadOnFeatures
from matlens.training.stages.linear_head import LinearHead
from matlens.training.stages.nearest_photos import NearestPhotos
from matlens.training.stages.tail_on_activations import TailOnActivations
from matlens.training.stages.tail_on_photos import TailOnPhotos
from matlens.training.stages.whole_network import WholeNetwork
from matlens.training.train import ignored_settings

RESNET, MOBILENET, VGG, GOOGLENET = "resnet50_transfer", "mobilenetv2_transfer", "vgg19_scratch", "inception_v1"
CACHELESS = {"feature_cache": False}
GUIDES_HEAD = HeadOnFeatures(4, views=1)


@pytest.mark.parametrize(("model", "options", "stages", "states"), [
    # The guide's first stage: the head on averaged features, or, without a cache, as a part of the network on photos.
    (RESNET, {}, (HeadOnFeatures(4),), ()),
    (RESNET, CACHELESS, (WholeNetwork(4),), ("train",)),
    (GOOGLENET, {}, (WholeNetwork(4),), ("train",)),
    # Its second stage: from the last single tensor before the layers that it unfreezes, or from where it is told.
    (RESNET, {"finetune_epochs": 2}, (HeadOnFeatures(4), TailOnActivations(2, cut=LAST_LAYERS, is_second=True)),
     ("finetune",)),
    (RESNET, {"finetune_epochs": 2, "cut": "conv5_block1_out"},
     (HeadOnFeatures(4), TailOnActivations(2, cut="conv5_block1_out", is_second=True)), ("finetune",)),
    (RESNET, {"finetune_epochs": 2, **CACHELESS}, (WholeNetwork(4), TailOnPhotos(2, cut=LAST_LAYERS, is_second=True)),
     ("train", "finetune")),
    (GOOGLENET, {"finetune_epochs": 2}, (WholeNetwork(4), TailOnPhotos(2, is_second=True)), ("train", "finetune")),
    (GOOGLENET, {"finetune_epochs": 2, "cut": "inception4e"}, (TailOnActivations(6, cut="inception4e"),), ("train",)),
    (GOOGLENET, {"finetune_epochs": 2, "cut": "inception4e", **CACHELESS}, (TailOnPhotos(6, cut="inception4e"),),
     ("train",)),
    # The recipe `strong`: the guide's head where there is one, then what follows the model's own cut.
    (RESNET, {"recipe": "strong"}, (GUIDES_HEAD, TailOnActivations(9, "strong", "conv4_block6_out", is_second=True)),
     ("strong",)),
    (MOBILENET, {"recipe": "strong"}, (GUIDES_HEAD, TailOnActivations(9, "strong", "block_12_add", is_second=True)),
     ("strong",)),
    (GOOGLENET, {"recipe": "strong"}, (TailOnActivations(9, "strong", "inception4d"),), ("strong",)),
    (MOBILENET, {"recipe": "strong", "cut": "block_9_add"},
     (GUIDES_HEAD, TailOnActivations(9, "strong", "block_9_add", is_second=True)), ("strong",)),
    (MOBILENET, {"recipe": "strong", "max_epochs": 2},
     (HeadOnFeatures(2, views=1), TailOnActivations(2, "strong", "block_12_add", is_second=True)), ("strong",)),
    (MOBILENET, {"recipe": "strong", **CACHELESS},
     (WholeNetwork(4), TailOnPhotos(9, "strong", "block_12_add", is_second=True)), ("train", "strong")),
    # The recipe `probe`: a linear head, for any pretrained trunk whose features are averaged.
    (RESNET, {"recipe": "probe"}, (LinearHead(1),), ()), (GOOGLENET, {"recipe": "probe"}, (LinearHead(1),), ()),
    (RESNET, {"recipe": "probe", "head": "knn"}, (NearestPhotos(1),), ()),
    # A model may have epochs of its own.
    (RESNET, {"epochs_of": {RESNET: 7}}, (HeadOnFeatures(7),), ()),
])
def test_what_is_frozen_is_cached_and_the_rest_is_trained(model, options, stages, states):
    """A plan that froze less would take several times as long, one that froze more would train another model."""
    found = plan(Settings.load(options=options), spec_of(model), Path("weights.h5"))
    assert found == stages
    assert tuple(stage.states for stage in found if isinstance(stage, NetworkStage)) == states, (
        "a run that an earlier version began goes on from states of these names")


@pytest.mark.parametrize("model", [RESNET, VGG, GOOGLENET])
@pytest.mark.parametrize("options", [{}, {"finetune_epochs": 3}, {"recipe": "strong"}])
def test_without_pretrained_weights_the_whole_network_is_trained(model, options):
    """Random weights must not be frozen."""
    settings = Settings.load(options={"max_epochs": 2, **options})
    assert plan(settings, spec_of(model), None) == (WholeNetwork(2, settings.recipe),)


@pytest.mark.parametrize(("models", "named"), [
    ((VGG, MOBILENET), rf"{VGG}.*--models {MOBILENET}"), ((VGG,), f"{VGG}.*--recipe guide"),
    ((MOBILENET,), f"{MOBILENET}.*_no_top.h5.*--weights-dir")])
def test_there_is_no_probe_of_a_trunk_that_was_not_pretrained(models, named):
    """A linear head on random features would be taken for what the network can do."""
    settings = Settings.load(options={"recipe": "probe", "models": ",".join(models)})
    with pytest.raises(ModelError, match=named):
        trunk_orders(settings, dict.fromkeys(models), 4)


def test_a_probe_of_the_same_trunk_has_the_same_features_and_a_model_file_of_its_own(tmp_path):
    """The guide's head and the linear one are put into different files, and the photos are computed once for both."""
    file = tmp_path / "weights.h5"
    file.touch()
    (guide,), (probe,) = (trunk_orders(Settings.load(options={"recipe": recipe}), {MOBILENET: file}, 4)
                          for recipe in ("guide", "probe"))
    assert guide.key == probe.key
    assert guide.folder(tmp_path) != probe.folder(tmp_path)
    (several,) = trunk_orders(Settings.load(options={"recipe": "probe", "features": "multi"}), {MOBILENET: file}, 4)
    assert several.key != probe.key, "features of several depths are others"


@pytest.mark.parametrize(("model", "options", "untils"), [
    (RESNET, {}, [None]), (RESNET, {"finetune_epochs": 2}, [None, LAST_LAYERS]),
    (RESNET, {"finetune_epochs": 2, "cut": "conv5_block1_out"}, [None, "conv5_block1_out"]),
    (MOBILENET, {"recipe": "strong"}, [None, "block_12_add"]), (GOOGLENET, {}, []), (RESNET, CACHELESS, [])])
def test_trunks_are_converted_in_the_order_in_which_stages_need_them(tmp_path, model, options, untils):
    """A trunk that nobody uses takes a minute; one that is missing ends the run."""
    (tmp_path / "weights.h5").touch()
    orders = trunk_orders(Settings.load(options=options), {model: tmp_path / "weights.h5", VGG: None}, 4)
    assert [(order.build.model, order.until) for order in orders] == [(model, until) for until in untils]
    assert all(order.build.weights_file == tmp_path / "weights.h5" for order in orders)


@pytest.mark.parametrize("options", [{}, {"finetune_epochs": 2}, {"recipe": "strong"}])
@pytest.mark.parametrize("model", [RESNET, GOOGLENET, MOBILENET])
def test_where_there_is_no_room_the_plan_on_photos_is_that_without_a_cache(model, options):
    """A full disk must not train another model, nor in other states."""
    cached = plan(Settings.load(options=options), spec_of(model), Path("weights.h5"))
    cacheless = plan(Settings.load(options={**options, **CACHELESS}), spec_of(model), Path("weights.h5"))
    assert tuple(stage.on_photos() for stage in cached) == cacheless
    assert not any(isinstance(stage, HeadStage) for stage in cacheless)


def test_what_random_weights_cannot_follow_is_named():
    """A user who asks for fine-tuning must not believe that it happened."""
    settings = Settings.load(options={"finetune_epochs": 2, "cut": "block_12_add", "views": 3})
    assert ignored_settings(settings, None) == ["finetune_epochs 2", "cut block_12_add", "views 3"]
    assert ignored_settings(settings, Path("weights.h5")) == []
    assert ignored_settings(Settings.load(options={}), None) == []


def test_a_misspelt_cut_is_answered_by_what_is_near():
    """A network may have hundreds of layers, which no message lists."""
    said = no_cut("A network", "block_12_ad", [f"block_{number}_add" for number in range(100)])
    assert "Did you mean block_12_add" in said
    assert "block_99_add" in said and "block_50_add" not in said
