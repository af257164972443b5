"""Arguments of the notebook's model builders: what fits no network is refused by name, before a framework is loaded."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.errors import SettingsError
from matlens.notebook import builders
from matlens.notebook.inception import InceptionV1Wrapper

BUILDERS = {
    "vgg19": lambda **given: builders.build_vgg19_scratch(**given),
    "resnet50": lambda **given: builders.build_resnet50_transfer(weights=None, **given),
    "mobilenetv2": lambda **given: builders.build_mobilenetv2_transfer(weights=None, **given),
    "inception": lambda **given: InceptionV1Wrapper(pretrained=False, **given),
}


@pytest.fixture(autouse=True)
def no_framework(monkeypatch):
    """Nothing is built in these tests."""
    for module in ("builders", "inception"):
        for name in ("open_room", "room_of"):
            monkeypatch.setattr(f"matlens.notebook.{module}.{name}", lambda *_: pytest.fail("loaded"), raising=False)


@pytest.mark.parametrize("wrong", ["3", 0, -2, True, 2.5, None, [3], float("nan"), np.float32(3), np.bool_(True)])
@pytest.mark.parametrize("model", BUILDERS)
def test_a_number_of_classes_that_is_none_is_refused(model, wrong):
    with pytest.raises(SettingsError, match="num_classes="):
        BUILDERS[model](num_classes=wrong)


@pytest.mark.parametrize("wrong", ["224", (224, 224), (224, 224, 1), (0, 224, 3), (224.0, 224, 3), 224, None,
                                   (True, 224, 3), (-1, 224, 3)])
@pytest.mark.parametrize("model", ["vgg19", "resnet50", "mobilenetv2"])
def test_a_shape_that_is_none_of_photos_is_refused(model, wrong):
    with pytest.raises(SettingsError, match="input_shape="):
        BUILDERS[model](input_shape=wrong)


@pytest.mark.parametrize(("model", "given"), [
    ("vgg19", {"dropout_rate": 1.5}), ("vgg19", {"dropout_rate": "0.5"}), ("vgg19", {"l2_reg": -1}),
    ("vgg19", {"dropout_rate": float("nan")}), ("mobilenetv2", {"alpha": 0}), ("mobilenetv2", {"alpha": "1"}),
    ("mobilenetv2", {"alpha": True})])
def test_other_numbers_keep_to_their_bounds(model, given):
    with pytest.raises(SettingsError, match=f"{next(iter(given))}="):
        BUILDERS[model](**given)


def test_how_many_layers_to_unfreeze_is_a_number_of_layers(monkeypatch):
    monkeypatch.setattr(builders, "open_room", lambda _: None)
    for wrong in ("10", -1, True, None):
        with pytest.raises(SettingsError, match="num_layers_to_unfreeze="):
            builders.unfreeze_resnet_for_finetuning(None, None, wrong)
