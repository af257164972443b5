"""Settings of the recipe `probe`: what stands on the frozen trunk, and what of the trunk it sees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationInfo

from matlens.settings.declaration import SECOND_VERSION, Setting
from matlens.settings.panels import TRAINING


def _of_probe(value: str, info: ValidationInfo) -> str:
    """Refuse anything but the default where the recipe is another."""
    if value not in ("linear", "last") and info.data.get("recipe") != "probe":
        option = "--head" if info.field_name == "head" else "--features"
        raise ValueError(f"{value} is of the recipe probe, and the recipe is {info.data.get('recipe')}; add --recipe "
                         f"probe, or leave {option} out")
    return value


ProbeHead = Annotated[Literal["linear", "knn"], AfterValidator(_of_probe), Setting(
    option="--head", panel=TRAINING, resumed="must agree", since=SECOND_VERSION,
    help="With --recipe probe: what is fitted on the features. linear is a dense layer (logistic regression). knn lets "
         "the most similar training photos vote, and its artifact holds the features of all training photos.")]

ProbeFeatures = Annotated[Literal["last", "multi"], AfterValidator(_of_probe), Setting(
    option="--features", panel=TRAINING, resumed="must agree", since=SECOND_VERSION,
    help="With --recipe probe: which features of the trunk it is fitted on. last is the mean of the last layer. multi "
         "adds mean and deviation of each of the last three stages.")]
