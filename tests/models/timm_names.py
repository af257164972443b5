"""The networks of timm that the contract is tried on: three in each run, the rest with MATLENS_FAMILIES=all."""

from __future__ import annotations

from typing import Any

import pytest

QUICK = {"test_resnet": 64, "test_convnext": 64, "vit_small_patch14_reg4_dinov2": 56}
"""A residual network, one that normalises behind its pooling, a vision transformer with class token and registers."""

SLOW = {"resnet18": 64, "resnext50_32x4d": 64, "tf_efficientnetv2_b0": 64, "convnext_atto": 64,
        "mobilenetv3_small_050": 64, "mobilenetv4_conv_small": 64, "regnety_002": 64, "densenet121": 64,
        "vit_tiny_patch16_224": 64, "swin_tiny_patch4_window7_224": 64, "mixer_s32_224": 224,
        "tf_efficientnet_lite0": 75}
"""By name the side of the photos; one is odd, where padding is easily made for other sizes."""

SIDES = {**QUICK, **SLOW}

_EXPANDING = ("tf_efficientnetv2_b0", "mobilenetv3_small_050", "mobilenetv4_conv_small", "tf_efficientnet_lite0")

MARKED = {**SIDES, **dict.fromkeys(_EXPANDING, 128)}
"""By name the side of photos with a marked corner. In rows of expanding blocks, with gates over channels, each of 2 x 2
places at 64 pixels sees the whole photo: such a network learns the colours and its map lights any corner, by chance. At
128 pixels there are 4 x 4."""

OF_PLACES = {**dict.fromkeys(SIDES, 128), **dict.fromkeys((*_EXPANDING, "mixer_s32_224"), 224),
             "vit_small_patch14_reg4_dinov2": 126}
"""By name the side of photos of which each corner of the map sees one corner of the photo: 4 x 4 places, or 7 x 7."""

LEARNING_RATES = {"swin_tiny_patch4_window7_224": 1e-4}
"""Of Adam, from random weights: without a warm-up, the 1e-3 of a new head is too much for windows of attention."""


def by_name(names: dict[str, int] | None = None) -> Any:
    """Parametrise a test over the networks."""
    slow = (pytest.mark.slow, pytest.mark.families)
    return pytest.mark.parametrize("name", [
        pytest.param(name, marks=() if name in QUICK else slow) for name in names or SIDES])
