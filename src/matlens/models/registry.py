"""The four models by name: what each is, where it is built, what it leaves. No framework is imported here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from matlens.errors import ModelError

RoomName = Literal["keras", "torch"]

_KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"

_KERAS_SIDES = (96, 128, 160, 192, 224)
"""The photo sides for which MobileNetV2's ImageNet weights were published."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of ImageNet weights.

    hash: `md5:...`, `sha256:...` (the first digits are enough), or empty where none was published.
    """

    name: str
    url: str
    hash: str = ""


@dataclass(frozen=True)
class TransferHead:
    """The new head of a transfer model: Dense(hidden_units, relu), Dropout(dropout), Dense(classes, softmax)."""

    hidden_units: int
    dropout: float
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ModelInfo:
    """One of the guide's models.

    suffix: of the file that it leaves in `models/`.
    input: what that file takes, in words, for those who open it elsewhere.
    weights_files: the files that hold its ImageNet weights, the best first, for (alpha, side in pixels); None where
        there are none.
    transfer_head: what is trained on a frozen trunk that ends in average pooling; None where the whole network is
        trained.
    strong_cut: the layer after which the recipe `strong` trains.
    """

    name: str
    title: str
    room: RoomName
    suffix: str
    input: str = "RGB, float32 in [0, 1], (B, H, W, 3); preprocessing is inside the model"
    weights_files: Callable[[float, int], tuple[WeightsFile, ...]] | None = None
    transfer_head: TransferHead | None = None
    strong_cut: str | None = None


def _resnet50(alpha: float, side: int) -> tuple[WeightsFile, ...]:
    name = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return (WeightsFile(name, f"{_KERAS_URL}/resnet/{name}", "md5:4d473c1dd8becc155b73f8504c6f6626"),)


def _mobilenetv2(alpha: float, side: int) -> tuple[WeightsFile, ...]:
    """The file for this side, and the one for 224 that fits any."""
    exact = side if side in _KERAS_SIDES else 224
    names = [f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}_no_top.h5"
             for rows in dict.fromkeys((exact, 224))]
    return tuple(WeightsFile(name, f"{_KERAS_URL}/mobilenet_v2/{name}") for name in names)


def _googlenet(alpha: float, side: int) -> tuple[WeightsFile, ...]:
    name = "googlenet-1378be20.pth"
    return (WeightsFile(name, f"https://download.pytorch.org/models/{name}", "sha256:1378be20"),)


MODELS: dict[str, ModelInfo] = {info.name: info for info in (
    ModelInfo("vgg19_scratch", "VGG19 from scratch", "keras", ".h5"),
    ModelInfo("resnet50_transfer", "ResNet50 transfer", "keras", ".h5", weights_files=_resnet50,
              transfer_head=TransferHead(512, 0.5), strong_cut="conv4_block6_out"),
    ModelInfo("mobilenetv2_transfer", "MobileNetV2 transfer", "keras", ".h5", weights_files=_mobilenetv2,
              transfer_head=TransferHead(512, 0.6), strong_cut="block_12_add"),
    ModelInfo("inception_v1", "GoogLeNet (Inception V1)", "torch", ".pth", weights_files=_googlenet,
              strong_cut="inception4d",
              input="2 x - 1 for x = RGB, float32 in [0, 1], (B, 3, H, W), in a plain torchvision GoogLeNet; "
                    "matlens.InceptionV1Wrapper takes x as (B, H, W, 3)"),
)}


def model_info(name: str) -> ModelInfo:
    """Look a model up. Raises ModelError naming the known ones."""
    if name not in MODELS:
        raise ModelError(f"Unknown model '{name}'. Choose from {', '.join(MODELS)}.")
    return MODELS[name]
