"""The setting that lets the features on which a head is trained be computed in fewer bits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationInfo

from matlens.settings.declaration import SECOND_VERSION, Setting
from matlens.settings.panels import MACHINE
from matlens.settings.protocols import is_series


def _of_heads(value: str, info: ValidationInfo) -> str:
    """Refuse bfloat16 where no head is trained on features, where nothing could check it, or where it saves nothing."""
    if value == "float32":
        return value
    chosen = info.data
    reasons = {
        "the recipe strong trains on activations inside the trunk, which stay float32; give --recipe guide or probe":
            chosen.get("recipe") == "strong",
        "fine-tuning trains on activations inside the trunk, which stay float32; leave --finetune-epochs out":
            bool(chosen.get("finetune_epochs")),
        "it is of cached features, and --no-feature-cache caches none; leave one of the two out":
            not chosen.get("feature_cache", True),
        "it is of the features of a pretrained trunk, and --weights none makes a random one; leave one of the two out":
            chosen.get("weights") == "none",
        "validation photos decide whether it is good enough, and --train-on train+val trains on them; give --train-on "
        "train": chosen.get("train_on") == "train+val",
        f"each photo is tested once under {chosen.get('protocol')}, and what is tested is computed in float32, so it "
        "would take longer; leave it out": is_series(chosen.get("protocol")),
        'OpenVINO computes bfloat16, and features_on = "framework" leaves it out; leave one of the two out':
            chosen.get("features_on") == "framework"}
    for reason, applies in reasons.items():
        if applies:
            raise ValueError(reason)
    return value


FeatureArithmetic = Literal["float32", "bfloat16"]

FeaturePrecision = Annotated[FeatureArithmetic, AfterValidator(_of_heads), Setting(
    option="--feature-precision", panel=MACHINE, resumed="must agree", since=SECOND_VERSION,
    help="The arithmetic in which OpenVINO computes the features that a head is trained on. bfloat16 takes about 60 % "
         "of the time on a processor that has it (AVX512-BF16 or AMX). What is judged is computed in float32 in any "
         "case, and where validation photos lose accuracy the features are computed again in float32.")]
