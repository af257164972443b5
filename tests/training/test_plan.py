"""What of a model is frozen, and so computed once, and what is trained on that."""

from __future__ import annotations

import pytest

from matlens.features.trunks import LAST_LAYERS
from matlens.settings.schema import Settings
from matlens.training.plan import Plan, plan

RESNET, MOBILENET, VGG, GOOGLENET = "resnet50_transfer", "mobilenetv2_transfer", "vgg19_scratch", "inception_v1"


@pytest.mark.parametrize(("name", "options", "pretrained", "wanted", "trunks"), [
    # The guide's first stage: the head on averaged features, or, where nothing is kept, on photos.
    (RESNET, {}, True, Plan(head=True, cut=None, keeps=True), (None,)),
    (RESNET, {"feature_cache": False}, True, Plan(), ()),
    (VGG, {}, False, Plan(), ()),
    (GOOGLENET, {}, True, Plan(), ()),
    # Its second stage: from the last single tensor before the layers that it unfreezes, or from where it is told.
    (RESNET, {"finetune_epochs": 2}, True, Plan(head=True, cut=LAST_LAYERS, keeps=True), (None, LAST_LAYERS)),
    (RESNET, {"finetune_epochs": 2, "cut": "conv5_block1_out"}, True,
     Plan(head=True, cut="conv5_block1_out", keeps=True), (None, "conv5_block1_out")),
    (RESNET, {"finetune_epochs": 2, "feature_cache": False}, True, Plan(cut=LAST_LAYERS), ()),
    (GOOGLENET, {"finetune_epochs": 2}, True, Plan(), ()),
    (GOOGLENET, {"finetune_epochs": 2, "cut": "inception4e"}, True, Plan(cut="inception4e", keeps=True),
     ("inception4e",)),
    # The recipe `strong`: from the model's own cut, all at once.
    (RESNET, {"recipe": "strong"}, True, Plan(cut="conv4_block6_out", keeps=True), ("conv4_block6_out",)),
    (MOBILENET, {"recipe": "strong"}, True, Plan(cut="block_12_add", keeps=True), ("block_12_add",)),
    (GOOGLENET, {"recipe": "strong"}, True, Plan(cut="inception4d", keeps=True), ("inception4d",)),
    (MOBILENET, {"recipe": "strong", "cut": "block_9_add"}, True, Plan(cut="block_9_add", keeps=True),
     ("block_9_add",)),
    (MOBILENET, {"recipe": "strong", "max_epochs": 2}, True, Plan(cut="block_12_add", keeps=True),
     ("block_12_add",)),
    (MOBILENET, {"recipe": "strong", "feature_cache": False}, True, Plan(cut="block_12_add"), ()),
    # Random weights: nothing can be frozen.
    *((name, {"recipe": recipe, "max_epochs": 2}, False, Plan(), ())
      for name in (RESNET, VGG, GOOGLENET) for recipe in ("guide", "strong")),
])
def test_what_is_frozen_is_kept_and_the_rest_is_trained(name, options, pretrained, wanted, trunks):
    """A plan that froze less would take several times as long, one that froze more would train another model."""
    found = plan(Settings.load(options=options), name, pretrained)
    assert found == wanted
    assert found.trunks == trunks
