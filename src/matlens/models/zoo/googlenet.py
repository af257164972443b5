"""GoogLeNet, Inception V1 (Szegedy et al. 2014)."""

from __future__ import annotations

from typing import Any

from matlens.models.preprocess import Scale
from matlens.models.registry import register
from matlens.models.spec import ModelSpec, NetworkOrder, WeightsFile

_FILE = "googlenet-1378be20.pth"


def _network(order: NetworkOrder) -> Any:
    from matlens.models.torch.googlenet import googlenet

    return googlenet(order.num_classes, order.weights_file)


register(ModelSpec(
    "inception_v1", "GoogLeNet (Inception V1)", "torch", network=_network, preprocess=Scale(-1, 1),
    weights=(WeightsFile(_FILE, f"https://download.pytorch.org/models/{_FILE}", "sha256:1378be20"),),
    strong_cut="inception4d",
    input="2 x - 1 for x = RGB, float32 in [0, 1], (B, 3, H, W), in a plain torchvision GoogLeNet; "
          "matlens.InceptionV1Wrapper takes x as (B, H, W, 3)",
    in_default_run=True, rank=4))
